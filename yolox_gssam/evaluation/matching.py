"""Which detection found which true object, by IoU or by centre: greedy, best score first, as in COCO.

By centre, as work on small infrared targets counts (Pd of Li et al., "Dense Nested Attention Network for Infrared Small
Target Detection", 2023): the margin that labels leave around an object of a few pixels differs between data sets, and
the IoU with it.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask

from yolox_gssam.detections import Detections
from yolox_gssam.evaluation.truth import Truth

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
        truth_index: (n,) int64, the true object that the detection found, -1 where none.
        repeated: (n,) bool, found none, but lies on an object that a detection of a better score had found.
        on_crowd: (n,) bool, found none, but lies in a crowd region.
    """

    truth_index: NDArray[np.int64]
    repeated: NDArray[np.bool_]
    on_crowd: NDArray[np.bool_]


def match_greedy(detections: Detections, truth: Truth, rule: Rule, same_class: bool = False) -> Matches:
    """Gives each detection, best score first, the free true object of greatest IoU, or of nearest centre.

    Args:
        rule: in a crowd region the shared part of the detection counts, or where its centre lies.
        same_class: whether the object must be of the detection's class; else labels do not matter.
    """
    closeness, lies_on = _closeness(detections, truth, rule)
    if same_class:
        lies_on &= detections.labels[:, None] == truth.labels
    truth_index = np.full(len(detections), -1, dtype=np.int64)
    free = ~truth.crowd
    on_object: NDArray[np.bool_] = np.any(lies_on & free, axis=1)
    order = np.argsort(-detections.scores, kind="stable")
    for row in order[on_object[order]]:
        candidates = np.flatnonzero(lies_on[row] & free)
        if len(candidates):
            truth_index[row] = candidates[np.argmax(closeness[row, candidates])]
            free[truth_index[row]] = False
    unmatched = truth_index < 0
    return Matches(truth_index, unmatched & on_object, unmatched & (lies_on & truth.crowd).any(axis=1))


def _closeness(detections: Detections, truth: Truth, rule: Rule) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """How near each detection is to each true object, greater is nearer, and whether it lies on it: (n, m) each."""
    if isinstance(rule, str):
        distances, lies_on = centre_distances(detections, truth)
        return -distances, lies_on
    iou = pairwise_iou(detections, truth)
    return iou, iou >= rule


def centre_distances(detections: Detections, truth: Truth) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The rule by centre: pixels from the centre of each detection to that of each object, and which are near enough.

    Near enough is at most `CENTRE_PIXELS` or half the side of the labelled box, whichever is more; the side is the
    square root of the box's area. In a crowd region lies a detection whose centre is in it, its border included.

    Returns:
        (n, m) float64 and (n, m) bool.
    """
    boxes_xyxy = detections.boxes_xyxy.astype(np.float64)
    found = (boxes_xyxy[:, None, :2] + boxes_xyxy[:, None, 2:]) / 2  # (n, 1, 2)
    sizes = truth.boxes_xywh[:, 2:]
    offsets = np.abs(found - (truth.boxes_xywh[:, :2] + sizes / 2))  # (n, m, 2)
    distances = np.hypot(offsets[..., 0], offsets[..., 1])
    near = distances <= np.maximum(CENTRE_PIXELS, np.sqrt(sizes.prod(axis=1)) / 2)
    return distances, np.where(truth.crowd, (offsets <= sizes / 2).all(axis=-1), near)


def pairwise_iou(detections: Detections, truth: Truth) -> NDArray[np.float64]:
    """(n, m) IoU of n detections and m true objects; for a crowd region, the share of the detection in it."""
    if len(detections) == 0 or len(truth.labels) == 0:
        return np.zeros((len(detections), len(truth.labels)))
    boxes_xywh = detections.boxes_xyxy.astype(np.float64)
    boxes_xywh[:, 2:] -= boxes_xywh[:, :2]
    iou: NDArray[np.float64] = mask.iou(boxes_xywh, truth.boxes_xywh, truth.crowd.astype(np.uint8))
    return iou
