"""How many drones are found when false alarms must be rare?"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from yolox_gssam.data.coco import CocoSplit
from yolox_gssam.detections import Detections
from yolox_gssam.evaluation.matching import match_greedy
from yolox_gssam.evaluation.truth import truth_by_image


@dataclass(frozen=True)
class FalseAlarmPoint:
    """The best score threshold for one class within a bound on false alarms.

    Attributes:
        class_name: the class that raises the alarm.
        images_per_alarm: at most one false alarm in so many images was allowed.
        images: images of the split, with and without objects.
        objects: true objects of the class, crowd regions left out.
        recall: the share of them that is found, in [0, 1]; None where there is none, or where the split has fewer
            than `images_per_alarm` images, too few to tell.
        score_threshold: the highest threshold with that recall; None where recall is None or 0.
        false_alarms: how many there are at that threshold; None where recall is None.
        iou_threshold: the least IoU of a detection and the true object it found.
    """

    class_name: str
    images_per_alarm: int
    images: int
    objects: int
    recall: float | None
    score_threshold: float | None
    false_alarms: int | None
    iou_threshold: float


def recall_at_false_alarms(
    split: CocoSplit,
    detections: Mapping[int, Detections],
    class_name: str,
    images_per_alarm: tuple[int, ...] = (10, 100),
    iou_threshold: float = 0.5,
) -> tuple[FalseAlarmPoint, ...]:
    """The recall of one class at each of the bounds, by lowering the score threshold as far as the bound allows.

    A false alarm is a detection of the class that lies on no true object of the class: a bird taken for a drone is
    one. A second hit on the same object is neither a false alarm nor a find; nor is a hit in a crowd region.
    The recall cannot exceed what the detections hold, so take them at a low score threshold.

    Args:
        detections: image id -> what was found there; images that are missing count as images without detections.

    Raises:
        ValueError: the split has no such class.
    """
    scores, finds, objects = _outcomes(split, detections, split.classes.index(class_name), iou_threshold)
    points = []
    for bound in images_per_alarm:
        recall, threshold, alarms = None, None, None
        if objects and len(split.images) >= bound:
            found, alarms, threshold = _best_threshold(scores, finds, len(split.images) // bound)
            recall = found / objects
        point = (class_name, bound, len(split.images), objects, recall, threshold, alarms, iou_threshold)
        points.append(FalseAlarmPoint(*point))
    return tuple(points)


def _outcomes(
    split: CocoSplit, detections: Mapping[int, Detections], label: int, iou_threshold: float
) -> tuple[NDArray[np.float32], NDArray[np.bool_], int]:
    """Of one class over all images: the scores of finds and false alarms, which are finds, and the true objects."""
    scores, finds, objects = [np.zeros(0, np.float32)], [np.zeros(0, bool)], 0
    for image_id, truth_of_image in truth_by_image(split).items():
        truth = truth_of_image.of_class(label)
        objects += int((~truth.crowd).sum())
        found = detections.get(image_id, Detections.empty())
        of_class = found.labels == label
        found = Detections(found.boxes_xyxy[of_class], found.scores[of_class], found.labels[of_class])
        matches = match_greedy(found, truth, iou_threshold)
        counts = ~matches.repeated & ~matches.on_crowd
        scores.append(found.scores[counts])
        finds.append(matches.truth_index[counts] >= 0)
    return np.concatenate(scores), np.concatenate(finds), objects


def _best_threshold(
    scores: NDArray[np.float32], finds: NDArray[np.bool_], allowed: int
) -> tuple[int, int, float | None]:
    """Finds, false alarms and score threshold of the sweep's point with the most finds within the bound."""
    order = np.argsort(-scores, kind="stable")
    scores, finds = scores[order], finds[order]
    found, alarms = np.cumsum(finds), np.cumsum(~finds)
    # Equal scores pass a threshold together: only the last of them is a point of the sweep.
    last_of_score = np.append(scores[1:] != scores[:-1], True)[: len(scores)]
    allowed_points = np.flatnonzero(last_of_score & (alarms <= allowed))
    if len(allowed_points) == 0 or found[allowed_points[-1]] == 0:
        return 0, 0, None
    # The highest threshold with that many finds has the fewest false alarms.
    best = allowed_points[np.argmax(found[allowed_points])]
    return int(found[best]), int(alarms[best]), float(scores[best])
