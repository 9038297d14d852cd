"""Images by class, as torchvision's ImageFolder lays them out, and batches that a run can be resumed within."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.images import IMAGE_SUFFIXES, read_image
from yolox_gssam.common.text import printable
from yolox_gssam.data.split import SPLITS

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's images, RGB in [0, 1]: what torchvision's pretrained weights expect."""

Request = tuple[int, int]
"""Number of an image within the run, from which its augmentation is drawn, and its index."""


class LabelledImages(Dataset[tuple[Tensor, int]]):
    """One split of a folder `<root>/<split>/<class>/<image>`: (3, size, size) uint8 RGB images and their labels.

    A training image is cropped, scaled, mirrored and coloured at random, as a function of the seed and its number
    alone; any other is scaled so that its shorter side fits, and cut in the middle.

    Args:
        seed: of the augmentation; None for none.

    Attributes:
        class_names: sorted; a label is the index.
        labels: of the images, in the order of their paths.

    Raises:
        UserError: no such folder, or a class without images.
    """

    def __init__(self, root: Path, split: str, image_size: int, seed: int | None = None) -> None:
        try:
            self.folder = ImageFolder(
                str(root / split),
                loader=read_rgb,
                is_valid_file=lambda name: Path(name).suffix.lower() in IMAGE_SUFFIXES,
            )
        except FileNotFoundError as error:
            raise UserError(
                f"{printable(root / split)}: {error}; needed are <split>/<class>/<image>, splits {', '.join(SPLITS)}, "
                "as tools/prepare_dataset.py crops makes them"
            ) from error
        self.class_names: list[str] = list(self.folder.classes)
        self.labels: list[int] = list(self.folder.targets)
        self.seed = seed
        self.transform = middle_square(image_size) if seed is None else _augmentation(image_size)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, request: Request) -> tuple[Tensor, int]:
        number, index = request
        image, label = self.folder[index]
        if self.seed is None:
            return self.transform(image), label
        with torch.random.fork_rng(devices=[]):  # v2 draws from torch's generator of the CPU
            torch.default_generator.manual_seed(int(np.random.default_rng((self.seed, 1, number)).integers(2**62)))
            return self.transform(image), label

    def hash(self) -> str:
        """SHA-256 over the images' paths and sizes in bytes: tells another data set, not a changed pixel."""
        lines = [
            f"{Path(path).relative_to(self.folder.root)} {Path(path).stat().st_size}" for path, _ in self.folder.imgs
        ]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


class EpochBatches(Sampler[list[Request]]):
    """Batches of one epoch, every image once. The order is drawn from (seed, epoch); without a seed it is that of the
    paths.

    In training the last images, too few for a batch, are left out of that epoch: of a single image BatchNorm could not
    take a variance. A set smaller than the batch is one batch.
    """

    def __init__(self, length: int, batch_size: int, seed: int | None = None) -> None:
        self.length = length
        self.batch_size = min(batch_size, length)
        self.seed = seed
        self.set_epoch(0)

    def set_epoch(self, epoch: int, first_batch: int = 0) -> None:
        """Chooses the epoch, from 0, and the batch of it to begin with."""
        self.epoch, self.first_batch = epoch, first_batch

    def __len__(self) -> int:
        return self.length // self.batch_size if self.seed is not None else -(-self.length // self.batch_size)

    def __iter__(self) -> Iterator[list[Request]]:
        order = np.arange(self.length)
        if self.seed is not None:
            order = np.random.default_rng((self.seed, 0, self.epoch)).permutation(self.length)
        for batch in range(self.first_batch, len(self)):
            places = range(batch * self.batch_size, min((batch + 1) * self.batch_size, self.length))
            yield [(self.epoch * self.length + place, int(order[place])) for place in places]


def middle_square(side: int) -> v2.Transform:
    """Scales an image so that its shorter side fits, and cuts out the middle."""
    return v2.Compose([v2.Resize(side, antialias=True), v2.CenterCrop(side)])


def batches_of(images: LabelledImages, sampler: EpochBatches, workers: int) -> DataLoader[tuple[Tensor, int]]:
    """Loads (B, 3, size, size) uint8 images and (B,) labels, in so many processes; 0: in this one."""
    return DataLoader(
        images,
        batch_sampler=sampler,
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator(),  # of its own: it draws a number for each pass, which would move the training's
    )


def normalised(images: Tensor, device: torch.device) -> Tensor:
    """(B, 3, H, W) uint8 RGB -> float32 on `device`, as the networks take it, channels last in memory."""
    images = images.to(device, non_blocking=True).contiguous(memory_format=torch.channels_last)
    mean = torch.tensor(MEAN, device=device).view(3, 1, 1)
    deviation = torch.tensor(DEVIATION, device=device).view(3, 1, 1)
    return (images.float() / 255 - mean) / deviation


def read_rgb(path: str) -> Any:
    """An image file as a (3, H, W) uint8 RGB tensor, upright.

    Raises:
        UserError: unreadable, truncated or too large.
    """
    return torch.from_numpy(np.ascontiguousarray(read_image(Path(path))[:, :, ::-1].transpose(2, 0, 1)))


def _augmentation(side: int) -> v2.Transform:
    crop = v2.RandomResizedCrop(side, scale=(0.4, 1.0), antialias=True)
    return v2.Compose([crop, v2.RandomHorizontalFlip(), v2.ColorJitter(brightness=0.2, contrast=0.2, saturation=0.2)])
