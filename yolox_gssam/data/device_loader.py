"""Batches made on the device that trains: no loader processes, and nothing to wait for."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property

import torch
from torch import Tensor

from yolox_gssam.data.device_rendering import render_batch, to_device
from yolox_gssam.data.training_set import SampleRequest, TrainingSampler, TrainingSet, stack_targets, targets_of

Batch = tuple[Tensor, Tensor]
"""Images (B, 3, H, W) uint8 and targets (B, n, 5) float32, see `collate`."""


class DeviceLoader:
    """What a `DataLoader` with the same set and sampler gives, to within rounding, but already on the device.

    The cache of the set is on that device. On CUDA a batch is made while the network is trained on the one before, in a
    thread and on a stream of its own.
    """

    def __init__(self, dataset: TrainingSet, batch_sampler: TrainingSampler) -> None:
        if dataset.cache is None:
            raise ValueError("the data set must have its images on the device: call its fill_cache first")
        self.dataset = dataset
        self.batch_sampler = batch_sampler
        self.cache = dataset.cache
        self.device = dataset.cache.device

    def __len__(self) -> int:
        """Batches in a whole epoch."""
        return len(self.batch_sampler)

    def __iter__(self) -> Iterator[Batch]:
        return self._made_ahead() if self.device.type == "cuda" else map(self._make, self.batch_sampler)

    def _make(self, requests: list[SampleRequest]) -> Batch:
        recipes = [self.dataset.draw(request) for request in requests]
        images = render_batch(recipes, self.cache.__getitem__, self.device, are_grey=self.cache.are_grey)
        return images, to_device(
            stack_targets([targets_of(recipe.boxes_xyxy, recipe.labels) for recipe in recipes]).numpy(), self.device
        )

    @cached_property
    def _stream(self) -> torch.cuda.Stream:
        # One for all epochs: memory that torch has taken for a stream is not used for another.
        return torch.cuda.Stream(self.device)

    def _make_on_stream(self, requests: list[SampleRequest]) -> tuple[Batch, torch.cuda.Event]:
        """The batch as ordered from the device, and what tells when it is there."""
        with torch.cuda.stream(self._stream):
            batch = self._make(requests)
            done = torch.cuda.Event()
            done.record(self._stream)
        return batch, done

    def _made_ahead(self) -> Iterator[Batch]:
        """Each batch once the next one is begun."""

        def hand_over(future: "Future[tuple[Batch, torch.cuda.Event]]") -> Batch:
            batch, done = future.result()
            training = torch.cuda.current_stream(self.device)
            training.wait_event(done)
            for tensor in batch:
                tensor.record_stream(training)
            return batch

        self._stream.wait_stream(torch.cuda.current_stream(self.device))
        coming: Future[tuple[Batch, torch.cuda.Event]] | None = None
        with ThreadPoolExecutor(1) as pool:
            for requests in self.batch_sampler:
                ready, coming = coming, pool.submit(self._make_on_stream, requests)
                if ready is not None:
                    yield hand_over(ready)
            if coming is not None:
                yield hand_over(coming)
