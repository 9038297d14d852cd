"""How many objects of a class are found, and at which price.

Recall at few false alarms; precision, recall and F1 at one score threshold; and all of them by centre, with AP.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from yolox_gssam.data.coco_reader import CocoSplit
from yolox_gssam.data.labelled import LabelledImage
from yolox_gssam.evaluation.bootstrap import ClipAP
from yolox_gssam.evaluation.coco_metrics import unique_names
from yolox_gssam.evaluation.matching import Rule, SplitDetections, match_split, number_clips

SENSORS = {"V_": "visible", "IR_": "infrared"}
"""Prefix of a clip's or a file's name, as in the Svanström data set -> the sensor that it tells of."""


@dataclass(frozen=True)
class FalseAlarmPoint:
    """The best score threshold for one class within a bound on false alarms.

    Attributes:
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

    Attributes:
        clips: their names; an image without a group is a clip of its own.

    Raises:
        ValueError: the split has no such class.
    """

    def __init__(self, split: CocoSplit, detections: SplitDetections, class_name: str, rule: Rule = 0.5) -> None:
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
        allowed_points = np.flatnonzero(_last_of_score(scores) & (alarms <= allowed))
        if len(allowed_points) == 0 or found[allowed_points[-1]] == 0:
            return 0, 0, None
        # The highest threshold with that many finds has the fewest false alarms.
        best = allowed_points[np.argmax(found[allowed_points])]
        return int(found[best]), int(alarms[best]), float(scores[best])


def recall_at_false_alarms(
    split: CocoSplit,
    detections: SplitDetections,
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


@dataclass(frozen=True)
class OperatingPoint:
    """What a detector does with one class at one score threshold.

    Attributes:
        iou_threshold: the least IoU of a detection and the true object it found; None by centre.
        score_threshold: detections with a lower score are left out; None where no F1 is above 0.
        chosen: whether the threshold was given, or is the highest of those with the best F1 on these very images.
        images: images of the split, with and without objects.
        objects: true objects of the class, crowd regions left out.
        false_boxes: detections that found none; a second one of an object is false, one in a crowd region not.
        precision: the share of right ones among the detections; None without detections.
        recall: the share of objects that is found, Pd; None without objects.
        f1: the harmonic mean of the two, 0 where nothing is found; None without objects.
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
    detections: SplitDetections,
    class_name: str,
    rule: Rule,
    score_threshold: float | None = None,
) -> OperatingPoint:
    """The numbers at a score threshold, or at the one with the best F1.

    Raises:
        ValueError: the split has no such class.
    """
    outcomes = match_split(split, detections, rule)[split.classes.index(class_name)]
    scores, objects = outcomes.scores, int(outcomes.objects.sum())
    right, wrong = np.cumsum(outcomes.right[0]), np.cumsum(outcomes.wrong[0])
    if score_threshold is None:
        points = np.flatnonzero(_last_of_score(scores))
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


@dataclass(frozen=True)
class CentreScores:
    """How well objects are found by centre, see `matching.centre_distances`; fractions in [0, 1].

    Attributes:
        ap: average precision, mean over the classes; None without a true object.
        ap_by_class: class name -> its AP; None without a true object of it.
        false_alarms: the recall at few false alarms, of the classes that raise alarms.
        points: precision, recall and F1 of these classes, by centre and at IoU 0.5.
    """

    images: int
    ap: float | None
    ap_by_class: Mapping[str, float | None]
    false_alarms: Sequence[FalseAlarmPoint]
    points: Sequence[OperatingPoint]


def score_by_centre(
    split: CocoSplit,
    detections: SplitDetections,
    alarm_classes: Sequence[str],
    score_threshold: float | None = None,
) -> CentreScores:
    """Scores a split.

    Args:
        alarm_classes: those that the false alarms and F1 are told of.
        score_threshold: of precision, recall and F1; None: the one with the best F1, of each class and rule.
    """
    measure = ClipAP(split, detections, by="centre")
    return CentreScores(
        images=len(split.images),
        ap=measure.ap(),
        ap_by_class=dict(zip(unique_names(split), measure.ap_by_class(), strict=True)),
        false_alarms=[
            point for name in alarm_classes for point in recall_at_false_alarms(split, detections, name, rule="centre")
        ],
        points=[
            operating_point(split, detections, name, rule, score_threshold)
            for name in alarm_classes
            for rule in ("centre", 0.5)
        ],
    )


def split_by_sensor(split: CocoSplit) -> dict[str, CocoSplit]:
    """The images of each of `SENSORS`, where every image tells its sensor and there are two; else nothing."""
    images: dict[str | None, list[LabelledImage]] = {}
    for image in split.images:
        images.setdefault(_sensor(image), []).append(image)
    if None in images or len(images) < 2:
        return {}
    return {str(sensor): replace(split, images=tuple(own)) for sensor, own in images.items()}


def _sensor(image: LabelledImage) -> str | None:
    names = (image.group or "", image.file_name.rpartition("/")[2])
    return next((sensor for start, sensor in SENSORS.items() if any(name.startswith(start) for name in names)), None)


def _last_of_score(scores: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which of falling scores are points of a sweep: equal ones pass a threshold together, so only the last of them."""
    return np.append(scores[1:] != scores[:-1], True)[: len(scores)]
