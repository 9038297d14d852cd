"""Which detection found which true object, by IoU or by centre: greedy, best score first, as in COCO.

From it follows what became of every detection of a split, by class and clip: what any draw of clips is scored from.

By centre, as work on small infrared targets counts (Pd of Li et al., "Dense Nested Attention Network for Infrared Small
Target Detection", 2023): the margin that labels leave around an object of a few pixels differs between data sets, and
the IoU with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask

from yolox_gssam.data.coco_reader import CocoSplit
from yolox_gssam.data.labelled import LabelledImage, xyxy_to_xywh
from yolox_gssam.detections import Detections

SplitDetections = Mapping[int, Detections]
"""Image id -> what was found there, in its pixels; images that are missing count as images without detections."""
Rule = float | Literal["centre"]
"""When a detection lies on an object: the least IoU, above 0, or "centre", see `centre_distances`."""

CENTRE_PIXELS = 3.0
"""By centre, a detection may always be so far off, in pixels of the image."""
CENTRE_RULE = (
    f"by centre: found where the centres are at most {CENTRE_PIXELS:g} px apart, or half the side of the label (the "
    "square root of its area) if that is more"
)
"""The rule of `centre_distances` in words."""


@dataclass(frozen=True, eq=False)
class Matches:
    """What became of each of an image's n detections.

    Attributes:
        truth_index: (n,) int64, the object of the image that the detection found, -1 where none.
        repeated: (n,) bool, found none, but lies on an object that a detection of a better score had found.
        on_crowd: (n,) bool, found none, but lies in a crowd region.
    """

    truth_index: NDArray[np.int64]
    repeated: NDArray[np.bool_]
    on_crowd: NDArray[np.bool_]


def match_greedy(detections: Detections, truth: LabelledImage, rule: Rule, same_class: bool = False) -> Matches:
    """Gives each detection, best score first, the free true object of greatest IoU, or of nearest centre.

    Args:
        rule: in a crowd region the shared part of the detection counts, or where its centre lies.
        same_class: whether the object must be of the detection's class; else labels do not matter.
    """
    if isinstance(rule, str):
        distances, lies_on = centre_distances(detections, truth.boxes_xyxy)
        closeness, in_crowd = -distances, _centre_inside(detections, truth.crowd_xyxy)
    else:
        closeness = pairwise_iou(detections, truth.boxes_xyxy)
        lies_on, in_crowd = closeness >= rule, pairwise_iou(detections, truth.crowd_xyxy, are_crowds=True) >= rule
    if same_class:
        lies_on &= detections.labels[:, None] == truth.labels
        in_crowd &= detections.labels[:, None] == truth.crowd_labels
    truth_index = np.full(len(detections), -1, dtype=np.int64)
    free = np.ones(len(truth.labels), bool)
    on_object: NDArray[np.bool_] = np.any(lies_on, axis=1)
    order = np.argsort(-detections.scores, kind="stable")
    for row in order[on_object[order]]:
        candidates = np.flatnonzero(lies_on[row] & free)
        if len(candidates):
            truth_index[row] = candidates[np.argmax(closeness[row, candidates])]
            free[truth_index[row]] = False
    unmatched = truth_index < 0
    return Matches(truth_index, unmatched & on_object, unmatched & in_crowd.any(axis=1))


def centre_distances(
    detections: Detections, boxes_xyxy: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The rule by centre: pixels from the centre of each detection to that of each box, and which are near enough.

    Near enough is at most `CENTRE_PIXELS` or half the side of the labelled box, whichever is more; the side is the
    square root of the box's area.

    Returns:
        (n, m) float64 and (n, m) bool.
    """
    offsets, _ = _centre_offsets(detections, boxes_xyxy)
    distances = np.hypot(offsets[..., 0], offsets[..., 1])
    return distances, distances <= centre_limits(boxes_xyxy)


def centre_limits(boxes_xyxy: NDArray[np.float64]) -> NDArray[np.float64]:
    """(m,) pixels from the centre of each labelled box within which a detection lies on it, by centre."""
    return np.asarray(np.maximum(CENTRE_PIXELS, np.sqrt(xyxy_to_xywh(boxes_xyxy)[:, 2:].prod(axis=1)) / 2))


def _centre_inside(detections: Detections, crowd_xyxy: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(n, m) whether the centre of each detection is in each crowd region, its border included."""
    offsets, sizes = _centre_offsets(detections, crowd_xyxy)
    return np.asarray((offsets <= sizes / 2).all(axis=-1))


def _centre_offsets(
    detections: Detections, boxes_xyxy: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Offsets (n, m, 2) of the centres along both axes, and width and height (m, 2) of the boxes."""
    found = detections.boxes_xyxy.astype(np.float64)
    found_centres = (found[:, None, :2] + found[:, None, 2:]) / 2  # (n, 1, 2)
    boxes_xywh = xyxy_to_xywh(boxes_xyxy)
    return np.abs(found_centres - (boxes_xywh[:, :2] + boxes_xywh[:, 2:] / 2)), boxes_xywh[:, 2:]


def pairwise_iou(
    detections: Detections, boxes_xyxy: NDArray[np.float64], are_crowds: bool = False
) -> NDArray[np.float64]:
    """(n, m) IoU of n detections and m boxes; of crowd regions, the share of the detection in them."""
    if len(detections) == 0 or len(boxes_xyxy) == 0:
        return np.zeros((len(detections), len(boxes_xyxy)))
    found_xywh = xyxy_to_xywh(detections.boxes_xyxy.astype(np.float64))
    crowd = np.full(len(boxes_xyxy), are_crowds, np.uint8)
    iou: NDArray[np.float64] = mask.iou(found_xywh, xyxy_to_xywh(boxes_xyxy), crowd)
    return iou


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
    detections: SplitDetections,
    rule: Rule,
    repeats_are_wrong: bool = True,
    most: int | None = None,
    one_class: bool = False,
) -> list[ClassOutcomes]:
    """Matches every detection with the true objects of its class, for each class of the split.

    Args:
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
    for truth in sorted(split.images, key=lambda image: image.image_id):
        found = detections.get(truth.image_id, nothing)
        if one_class:
            found, truth = _one_class(found, truth)
        clip = clips.of_image[truth.image_id]
        np.add.at(objects[:, clip], truth.labels, 1)
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


def _one_class(found: Detections, truth: LabelledImage) -> tuple[Detections, LabelledImage]:
    """The same, all of class 0."""
    return replace(found, labels=np.zeros_like(found.labels)), replace(
        truth, labels=np.zeros_like(truth.labels), crowd_labels=np.zeros_like(truth.crowd_labels)
    )


def _best_of_each_class(found: Detections, most: int) -> NDArray[np.int64]:
    """The rows of an image's `most` best detections of each class, in their order."""
    order = np.argsort(-found.scores, kind="stable")
    kept = [order[found.labels[order] == label][:most] for label in np.unique(found.labels)]
    return np.sort(np.concatenate(kept))
