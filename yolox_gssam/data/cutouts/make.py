"""A bank of cut-outs from data sets and from pictures with alpha."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.progress import progress_bar
from yolox_gssam.common.text import printable
from yolox_gssam.data.coco_reader import CocoSplit, read_image
from yolox_gssam.data.cutouts.bank import Cutout, CutoutBank
from yolox_gssam.data.cutouts.extract import cut_out, from_picture, shrink

MIN_SIDE = 10.0
"""Longer side in pixels from which an object is worth cutting out."""
LEAST_SIDE = 8
"""The same of a cut-out."""
TRIES_EACH = 5
"""Objects that are tried for each cut-out wanted."""


def cutouts_of_split(
    split: CocoSplit, source: str, most: int, seed: int, kinds: Mapping[str, str] | None = None
) -> Iterator[Cutout]:
    """Objects of a split that stand clearly before a calm background, at most so many of each class, drawn by seed.

    Args:
        split: images and boxes, tight or loose.
        source: what the cut-outs say of where they come from.
        most: of each class.
        kinds: other names for classes.
    """
    objects = [(image, index) for image in split.images for index in range(len(image.labels))]
    order = np.random.default_rng(seed).permutation(len(objects)).tolist()
    tried, found = Counter[int](), Counter[int]()
    for number in progress_bar(order, description=f"cut-outs of {source}", unit="objects"):
        image, index = objects[number]
        label, box = int(image.labels[index]), image.boxes_xyxy[index]
        if found[label] >= most or tried[label] >= TRIES_EACH * most or (box[2:] - box[:2]).max() < MIN_SIDE:
            continue
        tried[label] += 1
        bgra = cut_out(read_image(split.image_path(image)), box)
        if bgra is not None and max(bgra.shape[:2]) >= LEAST_SIDE:
            found[label] += 1
            name = split.classes[label]
            yield Cutout(shrink(bgra), (kinds or {}).get(name, name), source)


def cutouts_of_pictures(folder: Path, kind: str, source: str) -> Iterator[Cutout]:
    """The PNG pictures with alpha in a folder and those below it.

    Raises:
        UserError: no such picture, or one without alpha.
    """
    paths = sorted(folder.rglob("*.png"))
    if not paths:
        raise UserError(f"{printable(folder)}: no PNG pictures in it; give pictures with alpha")
    for path in paths:
        bgra = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if bgra is None or bgra.ndim != 3 or bgra.shape[2] != 4:
            raise UserError(f"{printable(path)}: has no alpha channel; cut the object out first, or leave it away")
        pixels = from_picture(np.asarray(bgra, np.uint8))
        if pixels is not None:
            yield Cutout(pixels, kind, source)


def merge(banks: Iterable[CutoutBank], cutouts: Iterable[Cutout], sources: Mapping[str, str]) -> CutoutBank:
    """Cut-outs beside those of other banks."""
    found, known = list(cutouts), dict(sources)
    for bank in banks:
        found += bank.cutouts
        known |= bank.sources
    return CutoutBank(found, known)


def draw_sheet(bank: CutoutBank, each: int, seed: int) -> list[NDArray[np.uint8]]:
    """Pixels of so many cut-outs of each kind, drawn by seed, kind after kind."""
    rng = np.random.default_rng(seed)
    return [bank.draw(kind, rng).pixels for kind in bank.kinds for _ in range(each)]
