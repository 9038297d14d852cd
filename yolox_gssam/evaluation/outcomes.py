"""What became of every detection of a split, class by class and clip by clip: what any draw of clips is scored from."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolox_gssam.data.coco import CocoSplit
from yolox_gssam.detections import Detections
from yolox_gssam.evaluation.matching import Rule, match_greedy
from yolox_gssam.evaluation.truth import Truth, truth_by_image


@dataclass(frozen=True, eq=False)
class Clips:
    """The clips of a split; an image without a group is a clip of its own.

    Attributes:
        names: in the order of the split.
        of_image: image id -> number of its clip.
        images: (clips,) int, how many images each has.
    """

    names: tuple[str, ...]
    of_image: Mapping[int, int]
    images: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ClassOutcomes:
    """The detections of one class, best first; T thresholds of IoU, or 1 by centre.

    Attributes:
        scores: (n,) float64, falling; of equal ones that of the lower image id comes first.
        clips: (n,) int, number of each detection's clip.
        right, wrong: (T, n) bool; a detection on a crowd region is neither.
        objects: (clips,) int, how many true objects each clip has, crowd regions left out.
    """

    scores: NDArray[np.float64]
    clips: NDArray[np.int64]
    right: NDArray[np.bool_]
    wrong: NDArray[np.bool_]
    objects: NDArray[np.int64]


def number_clips(split: CocoSplit) -> Clips:
    """The clips of a split, by the group of each image."""
    names = {
        image.image_id: f"image {image.image_id}" if image.group is None else image.group for image in split.images
    }
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names.values()))}
    of_image = {image_id: numbers[name] for image_id, name in names.items()}
    return Clips(tuple(numbers), of_image, np.bincount(list(of_image.values()), minlength=len(numbers)))


def match_split(
    split: CocoSplit,
    detections: Mapping[int, Detections],
    rule: Rule,
    repeats_are_wrong: bool = True,
    most: int | None = None,
    one_class: bool = False,
) -> list[ClassOutcomes]:
    """Matches every detection with the true objects of its class, for each class of the split.

    Args:
        detections: image id -> what was found there; images that are missing count as images without detections.
        repeats_are_wrong: whether a second detection of one object is wrong, or neither right nor wrong.
        most: only so many detections of an image and class count, those of the highest scores.
        one_class: whether classes do not matter: the outcomes are those of a single class.
    """
    clips = number_clips(split)
    classes = 1 if one_class else len(split.classes)
    objects = np.zeros((classes, len(clips.names)), np.int64)
    no_labels, no_flags = np.zeros(0, np.int64), np.zeros(0, bool)
    columns: list[tuple[NDArray[Any], ...]] = [(np.zeros(0), no_labels, no_labels, no_flags, no_flags)]
    nothing = Detections.empty()
    for image_id, truth in sorted(truth_by_image(split).items()):
        found = detections.get(image_id, nothing)
        if one_class:
            found, truth = _one_class(found, truth)
        clip = clips.of_image[image_id]
        np.add.at(objects[:, clip], truth.labels[~truth.crowd], 1)
        if not len(found):
            continue
        matches = match_greedy(found, truth, rule, same_class=True)
        right = matches.truth_index >= 0
        wrong = ~right & ~matches.on_crowd & (~matches.repeated | repeats_are_wrong)
        keep = slice(None) if most is None or len(found) <= most else _best_of_each_class(found, most)
        of_image = (found.scores.astype(np.float64), found.labels, np.full(len(found), clip), right, wrong)
        columns.append(tuple(column[keep] for column in of_image))
    scores, labels, clip_numbers, right, wrong = (np.concatenate(parts) for parts in zip(*columns, strict=True))
    # Stable, as pycocotools sorts.
    order = np.argsort(-scores, kind="stable")
    rows = [order[labels[order] == label] for label in range(classes)]
    return [
        ClassOutcomes(scores[row], clip_numbers[row], right[None, row], wrong[None, row], objects[label])
        for label, row in enumerate(rows)
    ]


def _one_class(found: Detections, truth: Truth) -> tuple[Detections, Truth]:
    """The same, all of class 0."""
    return replace(found, labels=np.zeros_like(found.labels)), replace(truth, labels=np.zeros_like(truth.labels))


def _best_of_each_class(found: Detections, most: int) -> NDArray[np.int64]:
    """The rows of an image's `most` best detections of each class, in their order."""
    order = np.argsort(-found.scores, kind="stable")
    kept = [order[found.labels[order] == label][:most] for label in np.unique(found.labels)]
    return np.sort(np.concatenate(kept))
