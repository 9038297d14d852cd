"""Which detection found which true object: greedy, best score first, as in COCO."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask

from yolox_gssam.detections import Detections
from yolox_gssam.evaluation.truth import Truth


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


def match_greedy(detections: Detections, truth: Truth, iou_threshold: float) -> Matches:
    """Gives each detection, best score first, the free true object of greatest IoU; labels do not matter.

    Args:
        iou_threshold: the least IoU of a match, above 0. In a crowd region the shared part of the detection counts.
    """
    iou = pairwise_iou(detections, truth)
    lies_on = iou >= iou_threshold
    truth_index = np.full(len(detections), -1, dtype=np.int64)
    free = ~truth.crowd
    for row in np.argsort(-detections.scores, kind="stable"):
        candidates = np.flatnonzero(lies_on[row] & free)
        if len(candidates):
            truth_index[row] = candidates[np.argmax(iou[row, candidates])]
            free[truth_index[row]] = False
    unmatched = truth_index < 0
    repeated = unmatched & lies_on[:, ~truth.crowd].any(axis=1)
    return Matches(truth_index, repeated, unmatched & lies_on[:, truth.crowd].any(axis=1))


def pairwise_iou(detections: Detections, truth: Truth) -> NDArray[np.float64]:
    """(n, m) IoU of n detections and m true objects; for a crowd region, the share of the detection in it."""
    if len(detections) == 0 or len(truth.labels) == 0:
        return np.zeros((len(detections), len(truth.labels)))
    boxes_xywh = detections.boxes_xyxy.astype(np.float64)
    boxes_xywh[:, 2:] -= boxes_xywh[:, :2]
    iou: NDArray[np.float64] = mask.iou(boxes_xywh, truth.boxes_xywh, truth.crowd.astype(np.uint8))
    return iou
