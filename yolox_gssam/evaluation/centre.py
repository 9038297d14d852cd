"""The numbers by centre of one evaluation, with precision, recall and F1 at IoU 0.5 beside them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from yolox_gssam.data.coco import CocoImage, CocoSplit
from yolox_gssam.detections import Detections
from yolox_gssam.evaluation.bootstrap import ClipAP
from yolox_gssam.evaluation.coco import unique_names
from yolox_gssam.evaluation.false_alarms import FalseAlarmPoint, recall_at_false_alarms
from yolox_gssam.evaluation.operating import OperatingPoint, operating_point

SENSORS = {"V_": "visible", "IR_": "infrared"}
"""Prefix of a clip's or a file's name, as in the Svanström data set -> the sensor that it tells of."""


@dataclass(frozen=True)
class CentreScores:
    """How well objects are found by centre, see `matching.centre_distances`; fractions in [0, 1].

    Attributes:
        images: how many there are.
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
    detections: Mapping[int, Detections],
    alarm_classes: Sequence[str],
    score_threshold: float | None = None,
) -> CentreScores:
    """Scores a split.

    Args:
        detections: image id -> what was found there; images that are missing count as images without detections.
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
    images: dict[str | None, list[CocoImage]] = {}
    for image in split.images:
        images.setdefault(_sensor(image), []).append(image)
    if None in images or len(images) < 2:
        return {}
    return {str(sensor): replace(split, images=tuple(own)) for sensor, own in images.items()}


def _sensor(image: CocoImage) -> str | None:
    names = (image.group or "", image.file_name.rpartition("/")[2])
    return next((sensor for start, sensor in SENSORS.items() if any(name.startswith(start) for name in names)), None)
