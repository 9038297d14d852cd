"""Precision, recall and F1 of one class at one score threshold."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from yolox_gssam.data.coco import CocoSplit
from yolox_gssam.detections import Detections
from yolox_gssam.evaluation.false_alarms import last_of_score
from yolox_gssam.evaluation.matching import Rule
from yolox_gssam.evaluation.outcomes import match_split


@dataclass(frozen=True)
class OperatingPoint:
    """What a detector does with one class at one score threshold.

    Attributes:
        class_name: the class.
        iou_threshold: the least IoU of a detection and the true object it found; None by centre.
        score_threshold: detections with a lower score are left out; None where no F1 is above 0.
        chosen: whether the threshold was given, or is the highest of those with the best F1 on these very images.
        images: images of the split, with and without objects.
        objects: true objects of the class, crowd regions left out.
        found: how many of them are found.
        false_boxes: detections that found none; a second one of an object is false, one in a crowd region not.
        precision: the share of right ones among the detections; None without detections.
        recall: the share of objects that is found, Pd; None without objects.
        f1: the harmonic mean of the two, 0 where nothing is found; None without objects.
        false_boxes_per_image: how many there are an image.
    """

    class_name: str
    iou_threshold: float | None
    score_threshold: float | None
    chosen: Literal["given", "best F1"]
    images: int
    objects: int
    found: int
    false_boxes: int
    precision: float | None
    recall: float | None
    f1: float | None
    false_boxes_per_image: float


def operating_point(
    split: CocoSplit,
    detections: Mapping[int, Detections],
    class_name: str,
    rule: Rule,
    score_threshold: float | None = None,
) -> OperatingPoint:
    """The numbers at a score threshold, or at the one with the best F1.

    Args:
        detections: image id -> what was found there; images that are missing count as images without detections.

    Raises:
        ValueError: the split has no such class.
    """
    outcomes = match_split(split, detections, rule)[split.classes.index(class_name)]
    scores, objects = outcomes.scores, int(outcomes.objects.sum())
    right, wrong = np.cumsum(outcomes.right[0]), np.cumsum(outcomes.wrong[0])
    if score_threshold is None:
        points = np.flatnonzero(last_of_score(scores))
        f1 = 2 * right[points] / np.maximum(right[points] + wrong[points] + objects, 1)
        last = int(points[np.argmax(f1)]) if f1.any() else -1
        shown = float(scores[last]) if f1.any() else None
    else:
        # Scores are float32: at 0.7 the score 0.7 counts.
        last = int((scores >= float(np.float32(score_threshold))).sum()) - 1
        shown = score_threshold
    found, false = (int(right[last]), int(wrong[last])) if last >= 0 else (0, 0)
    return OperatingPoint(
        class_name=class_name,
        iou_threshold=None if rule == "centre" else rule,
        score_threshold=shown,
        chosen="best F1" if score_threshold is None else "given",
        images=len(split.images),
        objects=objects,
        found=found,
        false_boxes=false,
        precision=found / (found + false) if found + false else None,
        recall=found / objects if objects else None,
        f1=2 * found / (found + false + objects) if objects else None,
        false_boxes_per_image=false / len(split.images),
    )
