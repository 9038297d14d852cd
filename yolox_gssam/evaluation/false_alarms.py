"""How many drones are found when false alarms must be rare?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from yolox_gssam.data.coco import CocoSplit
from yolox_gssam.detections import Detections
from yolox_gssam.evaluation.matching import Rule
from yolox_gssam.evaluation.outcomes import match_split, number_clips


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
        iou_threshold: the least IoU of a detection and the true object it found; None by centre.
    """

    class_name: str
    images_per_alarm: int
    images: int
    objects: int
    recall: float | None
    score_threshold: float | None
    false_alarms: int | None
    iou_threshold: float | None


class FalseAlarmSweep:
    """The recall of one class within a bound on false alarms, on any draw of a split's clips; matched once.

    A false alarm is a detection of the class that lies on no true object of the class: a bird taken for a drone is
    one. A second hit on the same object is, by IoU, neither a false alarm nor a find, and by centre a false alarm; one
    in a crowd region is neither.
    The recall cannot exceed what the detections hold, so take them at a low score threshold.

    Args:
        detections: image id -> what was found there; images that are missing count as images without detections.

    Attributes:
        clips: their names; an image without a group is a clip of its own.

    Raises:
        ValueError: the split has no such class.
    """

    def __init__(
        self, split: CocoSplit, detections: Mapping[int, Detections], class_name: str, rule: Rule = 0.5
    ) -> None:
        label = split.classes.index(class_name)
        clips = number_clips(split)
        self.clips = clips.names
        self._images = clips.images
        self._class_name, self._rule = class_name, rule
        self._outcomes = match_split(split, detections, rule, repeats_are_wrong=rule == "centre")[label]

    def point(self, images_per_alarm: int, weights: Sequence[int] | NDArray[np.int64] | None = None) -> FalseAlarmPoint:
        """The best recall at one false alarm in so many images, by lowering the score threshold as far as that allows.

        Args:
            weights: how often each of `clips` counts; without them every clip counts once.
        """
        counts = np.ones(len(self.clips), np.int64) if weights is None else np.asarray(weights)
        images, objects = int(self._images @ counts), int(self._outcomes.objects @ counts)
        recall, threshold, alarms = None, None, None
        if objects and images >= images_per_alarm:
            found, alarms, threshold = self._best_threshold(counts, images // images_per_alarm)
            recall = found / objects
        iou_threshold = None if self._rule == "centre" else self._rule
        return FalseAlarmPoint(
            self._class_name, images_per_alarm, images, objects, recall, threshold, alarms, iou_threshold
        )

    def _best_threshold(self, counts: NDArray[np.int64], allowed: int) -> tuple[int, int, float | None]:
        """Finds, false alarms and score threshold of the sweep's point with the most finds within the bound."""
        scores, weights = self._outcomes.scores, counts[self._outcomes.clips]
        found = np.cumsum(self._outcomes.right[0] * weights)
        alarms = np.cumsum(self._outcomes.wrong[0] * weights)
        allowed_points = np.flatnonzero(last_of_score(scores) & (alarms <= allowed))
        if len(allowed_points) == 0 or found[allowed_points[-1]] == 0:
            return 0, 0, None
        # The highest threshold with that many finds has the fewest false alarms.
        best = allowed_points[np.argmax(found[allowed_points])]
        return int(found[best]), int(alarms[best]), float(scores[best])


def recall_at_false_alarms(
    split: CocoSplit,
    detections: Mapping[int, Detections],
    class_name: str,
    images_per_alarm: tuple[int, ...] = (10, 100),
    rule: Rule = 0.5,
) -> tuple[FalseAlarmPoint, ...]:
    """The recall of one class at each of the bounds, as `FalseAlarmSweep` counts.

    Raises:
        ValueError: the split has no such class.
    """
    sweep = FalseAlarmSweep(split, detections, class_name, rule)
    return tuple(sweep.point(bound) for bound in images_per_alarm)


def last_of_score(scores: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which of falling scores are points of a sweep: equal ones pass a threshold together, so only the last of them."""
    return np.append(scores[1:] != scores[:-1], True)[: len(scores)]
