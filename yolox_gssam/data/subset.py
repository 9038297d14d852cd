"""A few classes of a large folder of images, such as ten of ImageNet-1K, drawn by a seed."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.images import IMAGE_SUFFIXES, read_image_bytes
from yolox_gssam.common.progress import progress_bar
from yolox_gssam.common.text import printable
from yolox_gssam.data.builder import write_image_folder
from yolox_gssam.data.split import SPLITS

VAL_SHARE = 0.1
"""Of the training images of each class that become validation images where the source has no test split."""


def copy_classes(root: Path, out: Path, count: int, seed: int, source: Mapping[str, Any]) -> dict[str, Any]:
    """Copies `count` classes of the ImageFolder `root` into `out` and writes dataset.json; returns what it holds.

    `root` has train/ and val/, each with a folder for each class, and may have test/. Where it has none, as ImageNet,
    whose val/ has the labels that its test images lack, val/ becomes the test split and a tenth of each class of
    train/ the validation split.

    Raises:
        UserError: no such folders, fewer classes than asked for, a class without enough images, or `out` is there.
    """
    splits = [split for split in SPLITS if (root / split).is_dir()]
    if splits[:2] != ["train", "val"]:
        raise UserError(
            f"{printable(root)}: not a folder of images: train/ and val/ with one folder a class are needed"
        )
    names = sorted(entry.name for entry in (root / "train").iterdir() if entry.is_dir())
    if not 2 <= count <= len(names):
        raise UserError(f"{printable(root / 'train')}: {len(names)} classes are there; draw 2 to as many, not {count}")
    rng = np.random.default_rng(seed)
    drawn = sorted(names[index] for index in rng.permutation(len(names))[:count])
    images = {split: {name: _images(root / split / name) for name in drawn} for split in splits}
    if "test" not in images:
        images["test"], images["val"] = images["val"], {}
        for name, paths in images["train"].items():
            order, held = rng.permutation(len(paths)), max(1, round(VAL_SHARE * len(paths)))
            images["val"][name] = [paths[index] for index in sorted(order[:held])]
            images["train"][name] = [paths[index] for index in sorted(order[held:])]
    summary = {
        **source,
        "seed": seed,
        "classes": drawn,
        "splits": {split: {name: len(paths) for name, paths in images[split].items()} for split in SPLITS},
    }
    return write_image_folder(out, _files(images), summary)


def _files(images: Mapping[str, Mapping[str, list[Path]]]) -> Iterator[tuple[str, bytes]]:
    """Path in the new set, and content, of split -> class -> images; shows a progress bar."""
    everything = [
        (f"{split}/{name}/{path.name}", path)
        for split in images
        for name in images[split]
        for path in images[split][name]
    ]
    with progress_bar(everything, description="copy", unit="images") as bar:
        for name, path in bar:
            yield name, read_image_bytes(path)


def _images(folder: Path) -> list[Path]:
    """The image files of a class, sorted.

    Raises:
        UserError: fewer than 2, one to train on and one to validate on.
    """
    paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    if len(paths) < 2:
        raise UserError(f"{printable(folder)}: {len(paths)} images; a class needs at least 2 in each split")
    return paths
