"""Batches to train on. Every random choice is a function of the seed and the sample's number in the run.

So the data do not depend on how many workers load them, and a run that goes on from iteration n sees what the
uninterrupted run saw.
"""

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from yolox_gssam.data import augmentation as aug
from yolox_gssam.data.coco import CocoSplit, read_image
from yolox_gssam.data.snapshot import Snapshot
from yolox_gssam.progress import progress_bar


class SampleRequest(NamedTuple):
    """One training sample to make: which image, its number in the whole run, and whether mosaic is on."""

    image_index: int
    number: int
    mosaic: bool


class TrainingSampler(Sampler[list[SampleRequest]]):
    """Batches of one epoch: every image once, in an order drawn from (seed, epoch).

    The last images that do not fill a batch are left out (the next epoch draws another order); a set smaller than a
    batch is repeated to fill one. With several processes each gets its share of every batch.

    Args:
        length: images in the set, at least 1.
        batch_size: images a step over all processes, a multiple of `world_size`.
        seed: of the run.
        rank, world_size: this process and how many there are.
    """

    def __init__(self, length: int, batch_size: int, seed: int, rank: int = 0, world_size: int = 1) -> None:
        if batch_size % world_size:
            raise ValueError(f"batch size {batch_size} must be a multiple of the number of processes, {world_size}")
        self.length = length
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0
        self.mosaic = True
        self.first_batch = 0

    def set_epoch(self, epoch: int, *, mosaic: bool, first_batch: int = 0) -> None:
        """Chooses the epoch, from 0, that the next iteration gives, whether its images are mosaics, and how many of its
        batches are passed over."""
        self.epoch = epoch
        self.mosaic = mosaic
        self.first_batch = first_batch

    def __len__(self) -> int:
        """Batches in a whole epoch."""
        return max(self.length // self.batch_size, 1)

    def __iter__(self) -> Iterator[list[SampleRequest]]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.length)
        order = np.resize(order, len(self) * self.batch_size)
        first = self.epoch * len(order)
        share = self.batch_size // self.world_size
        for start in range(self.first_batch * self.batch_size + self.rank * share, len(order), self.batch_size):
            yield [SampleRequest(int(order[i]), first + i, self.mosaic) for i in range(start, start + share)]

    def batch(self, number: int) -> list[SampleRequest]:
        """This process's share of batch `number`, from 0, of the epoch chosen."""
        return next(islice(iter(self), number - self.first_batch, None))


class TrainingSet(Dataset[tuple[NDArray[np.uint8], NDArray[np.float32]]]):
    """Augmented training samples of one size; ask for them with a `SampleRequest`.

    Args:
        split: the images and their true boxes.
        size_hw: every image is fitted to it; the size of what comes out unless it is cropped.
        augmentation: what is drawn.
        seed: of the run.
        crop_hw: give crops of this size around objects instead of whole images.
        cache: keep every image in memory, decoded and at the size used (about size_hw x 3 bytes an image).

    Attributes:
        snapshot: of the split; where it is set, an image that is no longer as it was then is an error.
    """

    def __init__(
        self,
        split: CocoSplit,
        size_hw: tuple[int, int],
        augmentation: aug.Augmentation,
        seed: int,
        crop_hw: tuple[int, int] | None = None,
        cache: bool = False,
    ) -> None:
        self.split = split
        self.size_hw = size_hw
        self.augmentation = augmentation
        self.seed = seed
        self.crop_hw = crop_hw
        self.snapshot: Snapshot | None = None
        self._with_objects = [index for index, image in enumerate(split.images) if len(image.labels)]
        self._cached: list[NDArray[np.uint8]] = []
        if cache:
            bar = progress_bar(range(len(split.images)), description="reading images", unit="img")
            self._cached = [self._read(index).image for index in bar]

    def __len__(self) -> int:
        return len(self.split.images)

    def __getitem__(self, request: SampleRequest) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Returns the image (3, H, W) uint8, BGR, and its boxes (n, 5): class, centre x, centre y, width, height in
        pixels of that image, as YOLOX's head takes them."""
        sample = self._draw(request, np.random.default_rng((self.seed, 1, request.number)))
        boxes = sample.boxes_xyxy
        sides = boxes[:, 2:] - boxes[:, :2]
        targets = np.column_stack([sample.labels, boxes[:, :2] + sides / 2, sides]).astype(np.float32)
        return sample.image.transpose(2, 0, 1), targets

    def image_names(self, request: SampleRequest) -> list[str]:
        """File names of all images that the sample is made of."""
        indices = self._choose(request, np.random.default_rng((self.seed, 1, request.number)))
        return [self.split.images[index].file_name for index in indices]

    def _choose(self, request: SampleRequest, rng: Generator) -> list[int]:
        """Indices of the images to use: one, or the four of a mosaic, or these and the one to blend in."""
        settings = self.augmentation
        if not request.mosaic or rng.random() >= settings.mosaic_prob:
            return [request.image_index]
        chosen = [request.image_index, *map(int, rng.integers(0, len(self), 3))]
        if self._with_objects and rng.random() < settings.mixup_prob:
            chosen.append(self._with_objects[rng.integers(0, len(self._with_objects))])
        return chosen

    def _draw(self, request: SampleRequest, rng: Generator) -> aug.Sample:
        settings = self.augmentation
        samples = [self._read(index) for index in self._choose(request, rng)]
        if len(samples) == 1:
            sample = aug.pad(samples[0], self.size_hw)
        else:
            sample = aug.mosaic(samples[:4], self.size_hw, settings, rng)
            for other in samples[4:]:
                sample = aug.mixup(sample, other, settings, rng)
        if self.crop_hw is not None:
            sample = aug.crop(sample, self.crop_hw, settings, rng)
        if rng.random() < settings.hsv_prob:
            sample = aug.jitter_hsv(sample, rng)
        if rng.random() < settings.flip_prob:
            sample = aug.flip(sample)
        return sample

    def _read(self, index: int) -> aug.Sample:
        """One image fitted to the size used, with its boxes."""
        truth = self.split.images[index]
        scale = aug.fit_scale((truth.height, truth.width), self.size_hw)
        if self._cached:
            return aug.Sample(self._cached[index], truth.boxes_xyxy * scale, truth.labels)
        path = self.split.image_path(truth)
        if self.snapshot is not None:
            self.snapshot.check_image(path)
        image = read_image(path)
        return aug.resize(aug.Sample(image, truth.boxes_xyxy, truth.labels), scale)


def collate(samples: list[tuple[NDArray[np.uint8], NDArray[np.float32]]]) -> tuple[Tensor, Tensor]:
    """Stacks samples: images (B, 3, H, W) uint8, channels last in memory, and targets (B, n, 5) float32, where n is
    the most boxes an image of this batch has (at least 1); the rows after an image's boxes are zero. No box is dropped.

    OpenCV and the network both have the channels last: the other order is 10 times slower to make and to convert.
    """
    images = torch.from_numpy(np.stack([image.transpose(1, 2, 0) for image, _ in samples])).permute(0, 3, 1, 2)
    targets = torch.zeros(len(samples), max(1, *(len(boxes) for _, boxes in samples)), 5)
    for row, (_, boxes) in zip(targets, samples, strict=True):
        row[: len(boxes)] = torch.from_numpy(boxes)
    return images, targets
