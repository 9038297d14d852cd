"""All numbers of one evaluation, as a table for people and as JSON for programs."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from yolox_gssam.common.text_table import text_table
from yolox_gssam.data.labelled import AREAS, SIZE_LIMITS
from yolox_gssam.evaluation.bootstrap import APInterval
from yolox_gssam.evaluation.coco_metrics import RECALLS, Accuracy, CocoMetrics, percent
from yolox_gssam.evaluation.confusion import ConfusionMatrix
from yolox_gssam.evaluation.matching import CENTRE_RULE
from yolox_gssam.evaluation.operating import CentreScores, FalseAlarmPoint, OperatingPoint
from yolox_gssam.evaluation.provenance import Provenance
from yolox_gssam.evaluation.timing import InferenceTime

MOST_COLUMNS = 15
"""Up to so many classes the confusion matrix is printed."""

_STEP_NAMES = {"preprocess": "pre-processing", "network": "network", "nms": "NMS", "total": "together"}


@dataclass(frozen=True, eq=False)
class EvalReport:
    """One evaluation of one network, or of detections from elsewhere, on one split of a data set.

    Attributes:
        split: "train", "val" or "test".
        settings: what the network ran with: experiment, input size, thresholds, precision; plain values.
        interval: of the mAP50:95 over clips; None where none was drawn.
        false_alarms: by IoU.
        timing: None where time was not taken.
        centre: the numbers by centre, and F1 at IoU 0.5.
        sensors: name -> the same of the images of one sensor; empty where the data do not tell them apart.
    """

    split: str
    images: int
    settings: Mapping[str, Any]
    coco: CocoMetrics
    interval: APInterval | None
    confusion: ConfusionMatrix
    false_alarms: Sequence[FalseAlarmPoint]
    timing: InferenceTime | None
    provenance: Provenance
    centre: CentreScores
    sensors: Mapping[str, CentreScores]

    def to_json(self) -> dict[str, Any]:
        """Plain values: fractions in [0, 1], times in milliseconds, None for what cannot be measured."""
        return {
            "split": self.split,
            "images": self.images,
            "settings": dict(self.settings),
            "coco": self.coco.twelve(),
            "overall": asdict(self.coco.overall),
            "ap_interval_95": None if self.interval is None else asdict(self.interval),
            "by_size": {
                name: {"area_from": AREAS[name][0], "area_to": AREAS[name][1], **asdict(accuracy)}
                for name, accuracy in self.coco.by_size.items()
            },
            "by_class": {name: asdict(accuracy) for name, accuracy in self.coco.by_class.items()},
            "precision_recall_iou_50": {
                "recall": list(RECALLS),
                "precision": {name: curve and list(curve) for name, curve in self.coco.precision_50.items()},
            },
            "evaluator": self.coco.evaluator,
            "confusion": {
                "rows_truth": list(self.confusion.row_names),
                "columns_prediction": list(self.confusion.column_names),
                "counts": self.confusion.counts.tolist(),
                "score_threshold": self.confusion.score_threshold,
                "iou_threshold": self.confusion.iou_threshold,
            },
            "false_alarms": [asdict(point) for point in self.false_alarms],
            "by_centre": {"rule": CENTRE_RULE, **_centre_json(self.centre)},
            "by_sensor": {name: _centre_json(scores) for name, scores in self.sensors.items()},
            "milliseconds": None if self.timing is None else asdict(self.timing),
            "provenance": asdict(self.provenance),
        }

    def table(self) -> str:
        """Text of several short tables, in percent and milliseconds; "-" for what cannot be measured."""
        sections = (self._accuracy(), self._confusion(), self._false_alarms(), self._centre(), self._time())
        settings = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in self.settings.items())
        head = f"{self.provenance.annotations} ({self.split}): {self.images} images\n{settings}"
        return "\n\n".join((head, *(section for section in sections if section)))

    def _accuracy(self) -> str:
        by_size = [(f"{name}, {SIZE_LIMITS[name]} px", group) for name, group in self.coco.by_size.items()]
        groups = [("all", self.coco.overall), *by_size, *self.coco.by_class.items()]
        rows = [(name, *_accuracy_cells(group)) for name, group in groups]
        table = text_table(rows, ("percent", "objects", "AP", "AP50", "AP75", "AR"))
        few = f"AR with 1 detection an image {percent(self.coco.ar_1)}, with 10 {percent(self.coco.ar_10)}"
        lines = [table, f"AP and AR: mean over IoU 0.50 to 0.95, at most 100 detections an image; {few}"]
        if (drawn := self.interval) is not None:
            lines.append(
                f"AP of all: {percent(drawn.low)} to {percent(drawn.high)} in 95 % of {drawn.draws} draws of "
                f"{drawn.clips} clips"
            )
        return "\n".join(lines)

    def _confusion(self) -> str:
        matrix = self.confusion
        if len(matrix.classes) > MOST_COLUMNS:
            return ""
        rows = [
            (name, *map(str, counts)) for name, counts in zip(matrix.row_names, matrix.counts.tolist(), strict=True)
        ]
        thresholds = f"score at least {matrix.score_threshold:g}, IoU at least {matrix.iou_threshold:g}"
        return f"{text_table(rows, ('truth / taken for', *matrix.column_names))}\n{thresholds}"

    def _false_alarms(self) -> str:
        points = [*self.false_alarms, *self.centre.false_alarms]
        headers = ("class", "found", "one false alarm in", "recall", "score at least", "false alarms")
        return text_table([_false_alarm_cells(point) for point in points], headers)

    def _centre(self) -> str:
        """AP by centre and F1, of all images and of each sensor's."""
        groups = {"all images": self.centre, **self.sensors}
        classes = tuple(self.centre.ap_by_class) if len(self.centre.ap_by_class) <= MOST_COLUMNS else ()
        aps = [
            (name, str(own.images), *map(percent, (own.ap, *(own.ap_by_class[of] for of in classes))))
            for name, own in groups.items()
        ]
        points = [(name, *_point_cells(point)) for name, own in groups.items() for point in own.points]
        headers = ("", "class", "found", "score at least", "precision", "recall (Pd)", "F1", "false boxes an image")
        how = "given" if all(own.chosen == "given" for own in self.centre.points) else "that of the best F1 here"
        return "\n\n".join(
            (
                text_table(aps, ("AP by centre, percent", "images", "mean", *classes)) + f"\n{CENTRE_RULE}",
                text_table(points, headers) + f"\nthe score is {how}",
            )
        )

    def _time(self) -> str:
        if self.timing is None:
            return ""
        rows = [
            (_STEP_NAMES[name], f"{step.mean:.2f}", f"{step.median:.2f}", f"{step.p95:.2f}")
            for name, step in self.timing.steps.items()
        ]
        hardware = self.provenance.hardware
        how = f"batch 1, {self.timing.repeats} inferences after {self.timing.warmup} to warm up"
        table = text_table(rows, ("ms per image", "mean", "median", "95 % below"))
        return f"{table}\n{how}; {hardware['device']}, {hardware['cpu']}"


def _accuracy_cells(group: Accuracy) -> tuple[str, ...]:
    return str(group.objects), *map(percent, (group.ap, group.ap50, group.ap75, group.ar))


def _false_alarm_cells(point: FalseAlarmPoint) -> tuple[str, ...]:
    name = (point.class_name, _rule_name(point), f"{point.images_per_alarm} images")
    if point.recall is None:
        return (*name, "-", "no objects" if point.objects == 0 else f"only {point.images} images", "-")
    threshold = "-" if point.score_threshold is None else f"{point.score_threshold:.3f}"
    return (*name, percent(point.recall), threshold, str(point.false_alarms))


def _point_cells(point: OperatingPoint) -> tuple[str, ...]:
    threshold = "-" if point.score_threshold is None else f"{point.score_threshold:.3f}"
    shares = map(percent, (point.precision, point.recall, point.f1))
    return point.class_name, _rule_name(point), threshold, *shares, f"{point.false_boxes_per_image:.3f}"


def _rule_name(point: FalseAlarmPoint | OperatingPoint) -> str:
    return "by centre" if point.iou_threshold is None else f"at IoU {point.iou_threshold:g}"


def _centre_json(scores: CentreScores) -> dict[str, Any]:
    values = asdict(scores)
    points = values.pop("points")
    return {**values, "precision_recall_f1": points}
