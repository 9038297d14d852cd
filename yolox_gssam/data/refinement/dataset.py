"""Tight boxes for a whole data set in this layout, and how loose its boxes are."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.images import read_image_bytes
from yolox_gssam.common.progress import progress_bar
from yolox_gssam.common.text import printable
from yolox_gssam.data.builder import EncodedImage, build_dataset
from yolox_gssam.data.check import read_splits
from yolox_gssam.data.coco_reader import CocoSplit, read_image
from yolox_gssam.data.faults import raise_fatal
from yolox_gssam.data.labelled import LabelledImage, xywh_to_xyxy, xyxy_to_xywh
from yolox_gssam.data.refinement.clip import MIN_KNOWN, PADDING, WAYS, Refined, combine, padded_xywh
from yolox_gssam.data.refinement.measure import SURE_SIGMAS, Candidate, measure_box
from yolox_gssam.data.refinement.singles import combine_singles

LOOSE_FROM = 1.6
"""Median side of the boxes over that of what stands out in them from which a set is called loose."""
LEAST_MEASURED = 10
"""Boxes that must be measured before anything is said of a set."""


@dataclass(frozen=True)
class Looseness:
    """How much larger than their objects the boxes of a set are.

    Attributes:
        drawn: how many boxes were looked at.
        measured: those in which something stands out.
        ratio: median side of the box over that of what stands out; nan where nothing does.
    """

    drawn: int
    measured: int
    ratio: float

    def __str__(self) -> str:
        """One line for the user."""
        if self.measured < LEAST_MEASURED:
            return f"box margins: of {self.drawn} boxes drawn only {self.measured} could be measured"
        line = f"box margins: {self.ratio:.1f} times the side of the object, median of {self.measured} boxes measured"
        if self.ratio >= LOOSE_FROM:
            line += "; loose boxes cost accuracy: see docs/labels.md, and prepare_dataset.py refine"
        return line


@dataclass(frozen=True, eq=False)
class _Labelled:
    """An image of the set and what was found in its boxes."""

    split_name: str
    split: CocoSplit
    image: LabelledImage
    found: list[list[Candidate]]

    def boxes_xywh(self) -> NDArray[np.float64]:
        return xyxy_to_xywh(self.image.boxes_xyxy)


def looseness(splits: Mapping[str, CocoSplit], sample: int = 200, seed: int = 0) -> Looseness:
    """How loose the boxes of a set are, from boxes drawn by seed; images that cannot be read are passed over."""
    boxes = [
        (split, image, index)
        for split in splits.values()
        for image in split.images
        for index in range(len(image.boxes_xyxy))
    ]
    drawn = np.random.default_rng(seed).permutation(len(boxes))[:sample].tolist()
    ratios = []
    for split, image, index in (boxes[number] for number in drawn):
        try:
            pixels = read_image(split.image_path(image))
        except UserError:
            continue
        left, top, right, bottom = image.boxes_xyxy[index].tolist()
        candidates = measure_box(pixels, (left, top, right - left, bottom - top))
        if candidates and candidates[0].sigmas >= SURE_SIGMAS:
            x0, y0, x1, y1 = candidates[0].box_xyxy
            ratios.append(np.sqrt((right - left) * (bottom - top) / ((x1 - x0) * (y1 - y0))))
    return Looseness(len(drawn), len(ratios), float(np.median(ratios)) if ratios else float("nan"))


def refine_dataset(root: Path, out: Path, *, command: str) -> dict[str, Any]:
    """Writes the set `root` with tight boxes into `out`; returns what its dataset.json holds.

    The splits stay. Images of one group are taken for frames of one film, in the order of their names; images that
    have no group, or one of few images, are judged by the whole set. Each annotation keeps its box in "original_bbox"
    and says in "refined" how the new one came about. Crowd regions stay as they are.

    Raises:
        UserError: no such set, one with folds, faults in it, an image that cannot be read, or `out` is there.
    """
    if any((root / "annotations").glob("fold*")):
        raise UserError(f"{printable(root)}: has folds, which would be lost; refine the set that it was made of")
    splits = read_splits(root, raise_fatal)
    labelled = _measure(splits)
    refined = _combine(labelled)
    ways = Counter(WAYS[way] for own in refined for way in own.way.tolist())
    details = {"padding": PADDING, "refined": {name: ways[name] for name in WAYS}}
    return build_dataset(
        out,
        labelled[0].split.classes,
        _records(labelled, refined),
        source=f"refined boxes of {root}",
        command=command,
        seed=0,
        total=len(labelled),
        details=details,
    )


def _measure(splits: Mapping[str, CocoSplit]) -> list[_Labelled]:
    """What stands out in each box of each image; shows a progress bar."""
    labelled = []
    everything = [(split_name, split, image) for split_name, split in splits.items() for image in split.images]
    with progress_bar(everything, description="measure", unit="images") as bar:
        for split_name, split, image in bar:
            pixels = read_image(split.image_path(image)) if len(image.boxes_xyxy) else np.zeros((1, 1), np.uint8)
            found = [measure_box(pixels, box) for box in xyxy_to_xywh(image.boxes_xyxy).tolist()]
            labelled.append(_Labelled(split_name, split, image, found))
    return labelled


def _combine(labelled: Sequence[_Labelled]) -> list[Refined]:
    """The tight boxes of each image, in its order."""
    groups: dict[str, list[int]] = defaultdict(list)
    for number, own in enumerate(labelled):
        groups[own.image.group or own.image.file_name].append(number)
    refined: dict[int, Refined] = {}
    singles: list[int] = []
    for numbers in groups.values():
        if len(numbers) < MIN_KNOWN:
            singles += numbers
        else:
            _film(labelled, sorted(numbers, key=lambda number: labelled[number].image.file_name), refined)
    if singles:
        boxes = np.concatenate([labelled[number].boxes_xywh() for number in singles])
        labels = np.concatenate([labelled[number].image.labels for number in singles])
        found = [candidates for number in singles for candidates in labelled[number].found]
        _distribute(combine_singles(found, boxes, labels), [labelled[number] for number in singles], singles, refined)
    return [refined[number] for number in range(len(labelled))]


def _film(labelled: Sequence[_Labelled], numbers: list[int], refined: dict[int, Refined]) -> None:
    """Puts the tight boxes of one film's images into `refined`."""
    images = [labelled[number] for number in numbers]
    boxes = np.concatenate([own.boxes_xywh() for own in images])
    frame = np.repeat(np.arange(len(images)), [len(own.found) for own in images])
    found = [candidates for own in images for candidates in own.found]
    size_wh = (max(own.image.width for own in images), max(own.image.height for own in images))
    labels = np.concatenate([own.image.labels for own in images])
    _distribute(combine(found, boxes, frame, labels, size_wh), images, numbers, refined)


def _distribute(
    together: Refined, images: Sequence[_Labelled], numbers: Sequence[int], refined: dict[int, Refined]
) -> None:
    """Gives each image its share of boxes that were refined together."""
    start = 0
    for number, own in zip(numbers, images, strict=True):
        share = slice(start, start + len(own.found))
        refined[number] = Refined(together.boxes_xyxy[share], together.way[share])
        start += len(own.found)


def _records(labelled: Sequence[_Labelled], refined: Sequence[Refined]) -> Iterator[EncodedImage]:
    for own, tight in zip(labelled, refined, strict=True):
        image = own.image
        boxes = padded_xywh(tight.boxes_xyxy, size_wh=(image.width, image.height))
        boxes = np.where((boxes[:, 2:] > 0).all(axis=1, keepdims=True), boxes, own.boxes_xywh())
        notes: list[dict[str, Any]] = [
            {"original_bbox": box, "refined": WAYS[way]}
            for box, way in zip(own.boxes_xywh().round(3).tolist(), tight.way.tolist(), strict=True)
        ]
        tight_image = replace(
            image,
            boxes_xyxy=xywh_to_xyxy(boxes),
            group=image.group or image.file_name,
            split=own.split_name,
            notes=notes,
        )
        yield tight_image, read_image_bytes(own.split.image_path(image))
