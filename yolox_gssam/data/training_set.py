"""Batches to train on. Every random choice is a function of the seed and the sample's number in the run.

So the data do not depend on how many workers load them, and a run that goes on from iteration n sees what the
uninterrupted run saw.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from yolox_gssam.common.letterbox import letterbox_ratio
from yolox_gssam.data import augmentation as aug
from yolox_gssam.data.cache import ImageCache
from yolox_gssam.data.coco_reader import CocoSplit
from yolox_gssam.data.cutouts.paste import Paster
from yolox_gssam.data.rendering import render, resize
from yolox_gssam.data.snapshot import Snapshot


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
        batch_size: images per step over all processes, a multiple of `world_size`.
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
        input_size: height and width that every image is fitted to; the size of what comes out unless it is cropped.
        crop_size: give crops of this height and width around objects instead of whole images.

    Attributes:
        cache: the decoded images, None to read them each time; see `fill_cache`.
        snapshot: of the split; where it is set, an image that is no longer as it was then is an error.
        paster: pastes objects into the rendered images; None for no pasting.
    """

    def __init__(
        self,
        split: CocoSplit,
        input_size: tuple[int, int],
        augmentation: aug.Augmentation,
        seed: int,
        crop_size: tuple[int, int] | None = None,
    ) -> None:
        self.split = split
        self.input_size = input_size
        self.augmentation = augmentation
        self.seed = seed
        self.crop_size = crop_size
        self.cache: ImageCache | None = None
        self.snapshot: Snapshot | None = None
        self.paster: Paster | None = None
        self._with_objects = [index for index, image in enumerate(split.images) if len(image.labels)]

    def __len__(self) -> int:
        return len(self.split.images)

    def __getitem__(self, request: SampleRequest) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Returns the image (3, H, W) uint8, BGR, and its boxes (n, 5) as in `targets_of`."""
        recipe = self.draw(request)
        image, boxes, labels = render(recipe, self._image), recipe.boxes_xyxy, recipe.labels
        if self.paster is not None:
            # A generator of its own, so that the rest is drawn as without pasting.
            rng = np.random.default_rng((self.seed, 2, request.number))
            image, boxes, labels = self.paster.paste(image, boxes, labels, rng)
        return image.transpose(2, 0, 1), targets_of(boxes, labels)

    @property
    def training_size(self) -> tuple[int, int]:
        """Height and width of what comes out."""
        return self.input_size if self.crop_size is None else self.crop_size

    def fill_cache(self, device: torch.device) -> None:
        """Reads and decodes every image, and keeps it on `device` at the size used."""
        cache = ImageCache([self._size(index) for index in range(len(self))], device)
        cache.fill(self._read)
        self.cache = cache

    def cache_bytes(self) -> int:
        """What `fill_cache` takes."""
        return sum(3 * height * width for height, width in map(self._size, range(len(self))))

    def image_names(self, request: SampleRequest) -> list[str]:
        """File names of all images that the sample is made of."""
        indices = self._choose(request, self._generator(request))
        return [self.split.images[index].file_name for index in indices]

    def draw(self, request: SampleRequest) -> aug.Recipe:
        """What the sample is made of, and its boxes."""
        rng, settings = self._generator(request), self.augmentation
        images = [self._whole(index) for index in self._choose(request, rng)]
        if len(images) == 1:
            recipe = aug.place(images[0], self.input_size)
        else:
            recipe = aug.mosaic(images[:4], self.input_size, settings, rng)
            for other in images[4:]:
                recipe = aug.mixup(recipe, other, settings, rng)
        if self.crop_size is not None:
            recipe = aug.crop(recipe, self.crop_size, settings, rng)
        if rng.random() < settings.hsv_prob:
            recipe = aug.jitter_hsv(recipe, settings, rng)
        if rng.random() < settings.flip_prob:
            recipe = aug.flip(recipe)
        return recipe

    def _generator(self, request: SampleRequest) -> Generator:
        return np.random.default_rng((self.seed, 1, request.number))

    def _choose(self, request: SampleRequest, rng: Generator) -> list[int]:
        """Indices of the images to use: one, or the four of a mosaic, or these and the one to blend in."""
        settings = self.augmentation
        if not request.mosaic or rng.random() >= settings.mosaic_prob:
            return [request.image_index]
        chosen = [request.image_index, *map(int, rng.integers(0, len(self), 3))]
        if self._with_objects and rng.random() < settings.mixup_prob:
            chosen.append(self._with_objects[rng.integers(0, len(self._with_objects))])
        return chosen

    def _scale(self, index: int) -> float:
        """From the image as it is to the size used."""
        truth = self.split.images[index]
        return letterbox_ratio((truth.height, truth.width), self.input_size)

    def _size(self, index: int) -> tuple[int, int]:
        """Height and width of an image at the size used."""
        truth = self.split.images[index]
        return aug.scaled_size((truth.height, truth.width), self._scale(index))

    def _whole(self, index: int) -> aug.Recipe:
        truth = self.split.images[index]
        return aug.whole(index, self._size(index), truth.boxes_xyxy * self._scale(index), truth.labels)

    def _image(self, index: int) -> NDArray[np.uint8]:
        return self._read(index) if self.cache is None else self.cache[index].numpy()

    def _read(self, index: int) -> NDArray[np.uint8]:
        """One image (H, W, 3), BGR, decoded and fitted to the size used."""
        truth = self.split.images[index]
        if self.snapshot is not None:
            self.snapshot.check_image(self.split.image_path(truth))
        return resize(self.split.read(truth), self._scale(index))


def targets_of(boxes_xyxy: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """The boxes (n, 5): class, centre x, centre y, width, height in pixels of the training image, as YOLOX's head takes
    them."""
    sides = boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]
    return np.column_stack([labels, boxes_xyxy[:, :2] + sides / 2, sides]).astype(np.float32)


def stack_targets(targets: Sequence[NDArray[np.float32]]) -> Tensor:
    """(B, n, 5) float32, where n is the most boxes an image of this batch has (at least 1); the rows after an image's
    boxes are zero. No box is ever dropped."""
    stacked = torch.zeros(len(targets), max(1, *map(len, targets)), 5)
    for row, boxes in zip(stacked, targets, strict=True):
        row[: len(boxes)] = torch.from_numpy(boxes)
    return stacked


def collate(samples: list[tuple[NDArray[np.uint8], NDArray[np.float32]]]) -> tuple[Tensor, Tensor]:
    """Stacks samples: images (B, 3, H, W) uint8, channels last in memory as the network takes them, and targets as
    `stack_targets` gives them."""
    images = torch.from_numpy(np.stack([image.transpose(1, 2, 0) for image, _ in samples]))
    return images.permute(0, 3, 1, 2), stack_targets([targets for _, targets in samples])
