"""Batches made on the device: the same samples as a loader with processes gives."""

import time
from unittest.mock import MagicMock

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from yolox_gssam.data.augmentation import Augmentation
from yolox_gssam.data.coco_reader import CocoSplit
from yolox_gssam.data.device_loader import DeviceLoader
from yolox_gssam.data.labelled import LabelledImage
from yolox_gssam.data.training_set import SampleRequest, TrainingSampler, TrainingSet, collate


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> TrainingSet:
    """Thirteen soft images, image i with i % 3 boxes, read onto the CPU."""
    folder, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    images = []
    for i in range(13):
        image = cv2.GaussianBlur(rng.integers(0, 256, (60, 80, 3), dtype=np.uint8), (0, 0), 2)
        cv2.imwrite(str(folder / f"{i}.png"), image)
        corners = rng.uniform(0, 40, (i % 3, 2))
        boxes = np.hstack([corners, corners + rng.uniform(5, 20, (i % 3, 2))])
        images.append(LabelledImage(f"{i}.png", 80, 60, boxes, rng.integers(0, 2, i % 3), image_id=i + 1))
    split = CocoSplit(folder / "train.json", folder, ("bird", "drone"), (1, 2), tuple(images))
    data = TrainingSet(split, (64, 96), Augmentation(), seed=0)
    data.fill_cache(torch.device("cpu"))
    return data


@pytest.mark.parametrize("mosaic", [pytest.param(True, id="mosaic"), pytest.param(False, id="plain")])
def test_batches_are_those_of_a_loader(data: TrainingSet, mosaic: bool) -> None:
    samplers = [TrainingSampler(13, 4, seed=0) for _ in range(2)]
    for sampler in samplers:
        sampler.set_epoch(3, mosaic=mosaic)
    device, loader = DeviceLoader(data, samplers[0]), DataLoader(data, batch_sampler=samplers[1], collate_fn=collate)
    assert len(device) == len(loader) == 3
    for (images, targets), (expected, boxes) in zip(device, loader, strict=True):
        assert images.dtype == torch.uint8
        assert torch.equal(targets, boxes)
        assert (images.int() - expected.int()).abs().float().mean() < 0.1


def test_an_epoch_begun_in_the_middle_ends_as_the_whole_one(data: TrainingSet) -> None:
    sampler = TrainingSampler(13, 4, seed=0)
    loader = DeviceLoader(data, sampler)
    sampler.set_epoch(1, mosaic=True)
    whole = list(loader)
    sampler.set_epoch(1, mosaic=True, first_batch=2)
    ((images, targets),) = loader
    assert torch.equal(images, whole[2][0])
    assert torch.equal(targets, whole[2][1])


def test_processes_share_a_batch(data: TrainingSet) -> None:
    whole = DeviceLoader(data, TrainingSampler(13, 6, seed=1))
    shares = [DeviceLoader(data, TrainingSampler(13, 6, seed=1, rank=rank, world_size=2)) for rank in range(2)]
    for (images, _), (first, _), (second, _) in zip(whole, *shares, strict=True):
        assert (torch.cat([first, second]).int() - images.int()).abs().max() <= 3


def test_a_set_without_its_images_is_refused(data: TrainingSet) -> None:
    unread = TrainingSet(data.split, (64, 96), Augmentation(), seed=0)
    with pytest.raises(ValueError, match="fill_cache"):
        DeviceLoader(unread, TrainingSampler(13, 4, seed=0))


def test_the_next_batch_is_begun_before_one_is_handed_over(data: TrainingSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """The way of CUDA, whose streams do nothing here: all batches come, in order."""
    stream = MagicMock()
    for name in ("Stream", "stream", "current_stream", "Event"):
        monkeypatch.setattr(torch.cuda, name, lambda *_: stream)
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda *_: None)
    loader = DeviceLoader(data, TrainingSampler(13, 4, seed=0))
    begun: list[int] = []

    def make(requests: list[SampleRequest]) -> tuple[torch.Tensor, torch.Tensor]:
        begun.append(requests[0].number)
        return DeviceLoader._make(loader, requests)

    monkeypatch.setattr(loader, "_make", make)
    batches = loader._made_ahead()
    first = next(batches)
    while len(begun) < 2:  # in its thread
        time.sleep(0.001)
    for (images, targets), (expected, boxes) in zip([first, *batches], loader, strict=True):
        assert torch.equal(images, expected)
        assert torch.equal(targets, boxes)
    assert begun[:3] == [0, 4, 8]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_made_ahead_on_a_gpu(data: TrainingSet) -> None:
    there = TrainingSet(data.split, (64, 96), Augmentation(), seed=0)
    there.fill_cache(torch.device("cuda", 0))
    for _ in range(2):
        pairs = zip(*(DeviceLoader(d, TrainingSampler(13, 4, seed=0)) for d in (there, data)), strict=True)
        for (images, targets), (expected, boxes) in pairs:
            assert images.is_cuda
            assert torch.equal(targets.cpu(), boxes)
            assert (images.cpu().int() - expected.int()).abs().float().mean() < 0.1
