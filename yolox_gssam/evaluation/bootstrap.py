"""How far an average precision is to be trusted: the same number over and over, on clips drawn anew.

The frames of a clip resemble each other, so that whole clips are drawn, not images. Source: Efron and Tibshirani, "An
Introduction to the Bootstrap", 1993, chapter 13 (percentile intervals).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from yolox_gssam.common.progress import progress_bar
from yolox_gssam.data.coco_reader import CocoSplit
from yolox_gssam.evaluation.coco_metrics import RECALLS
from yolox_gssam.evaluation.matching import ClassOutcomes, SplitDetections, match_split, number_clips

_MOST_DETECTIONS = 100
_IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10).tolist()


class ClipAP:
    """Average precision of one network on any draw of a split's clips; what matches what is found out once.

    Args:
        one_class: whether an object is found where it stands, whatever class it is taken for.
        by: "iou": COCO's mAP50:95; "centre": the mean AP of detections that lie on objects by
            `matching.centre_distances`.

    Attributes:
        clips: their names; an image without a group is a clip of its own.
    """

    def __init__(
        self,
        split: CocoSplit,
        detections: SplitDetections,
        one_class: bool = False,
        by: Literal["iou", "centre"] = "iou",
    ) -> None:
        self.clips = number_clips(split).names
        self._classes = (
            match_split(split, detections, "centre", most=_MOST_DETECTIONS, one_class=one_class)
            if by == "centre"
            else _match_by_iou(split, detections, one_class)
        )

    def ap(self, weights: Sequence[int] | NDArray[np.int64] | None = None) -> float | None:
        """The mean of `ap_by_class`, over the classes that have a true object: by IoU the number of `evaluate_coco`."""
        values = [value for value in self.ap_by_class(weights) if value is not None]
        return float(np.mean(values)) if values else None

    def ap_by_class(self, weights: Sequence[int] | NDArray[np.int64] | None = None) -> list[float | None]:
        """AP in [0, 1] of each class, where each clip counts as often as `weights`, one for each of `clips`, says.

        Without weights every clip counts once. None without a true object.
        """
        counts = np.ones(len(self.clips), np.int64) if weights is None else np.asarray(weights)
        return [_class_ap(outcomes, counts) for outcomes in self._classes]


def _match_by_iou(split: CocoSplit, detections: SplitDetections, one_class: bool) -> list[ClassOutcomes]:
    """The outcomes of each class at IoU 0.50 to 0.95, a row of `right` and `wrong` for each threshold."""
    of_thresholds = [
        match_split(split, detections, threshold, most=_MOST_DETECTIONS, one_class=one_class)
        for threshold in _IOU_THRESHOLDS
    ]
    return [
        replace(
            rows[0],
            right=np.concatenate([row.right for row in rows]),
            wrong=np.concatenate([row.wrong for row in rows]),
        )
        for rows in zip(*of_thresholds, strict=True)
    ]


def _class_ap(outcomes: ClassOutcomes, counts: NDArray[np.int64]) -> float | None:
    """The mean over the thresholds of the area below the interpolated precision-recall curve, at 101 recalls."""
    total = int(outcomes.objects @ counts)
    if not total:
        return None
    weights = counts[outcomes.clips]
    right, wrong = (outcomes.right * weights).cumsum(axis=1), (outcomes.wrong * weights).cumsum(axis=1)
    recall = right / total
    precision = right / np.maximum(right + wrong, 1)
    # From here on the best precision at this recall or a higher one.
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    area = 0.0
    for one_recall, one_precision in zip(recall, precision, strict=True):
        at = np.searchsorted(one_recall, RECALLS, side="left")
        area += float(one_precision[at[at < len(one_recall)]].sum())
    return area / len(RECALLS) / len(recall)


@dataclass(frozen=True)
class APInterval:
    """95 % of the draws of whole clips have an mAP50:95 between `low` and `high`, fractions in [0, 1]."""

    low: float
    high: float
    clips: int
    draws: int


def ap_interval(split: CocoSplit, detections: SplitDetections, draws: int) -> APInterval | None:
    """The interval of one network's mAP50:95, with a progress bar; None for no draws, one clip, or no true object."""
    if draws <= 0:
        return None
    measure = ClipAP(split, detections)
    if len(measure.clips) < 2:
        return None
    with progress_bar(draw_clips(len(measure.clips), draws, seed=0), description="interval", unit="draws") as drawn:
        values = [value for counts in drawn if (value := measure.ap(counts)) is not None]
    return APInterval(*interval(np.array(values)), len(measure.clips), len(values)) if values else None


def draw_clips(count: int, draws: int, seed: int) -> NDArray[np.int64]:
    """How often each of `count` clips counts in each draw of as many, with replacement: (draws, count)."""
    return np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=draws)


def interval(values: NDArray[np.float64], share: float = 0.95) -> tuple[float, float]:
    """The percentiles between which this share of the values lies."""
    low, high = np.quantile(values, [(1 - share) / 2, (1 + share) / 2])
    return float(low), float(high)
