"""How far a precision, a recall and an F1 are to be trusted: the same numbers over and over, on images drawn anew.

Images of one clip resemble each other, so that whole clips are drawn where the data tell them; else each image.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolox_gssam.data.coco_reader import CocoSplit
from yolox_gssam.evaluation.bootstrap import draw_clips, interval
from yolox_gssam.evaluation.matching import ClassOutcomes, Rule, SplitDetections, match_split, number_clips
from yolox_gssam.evaluation.operating import OperatingPoint, operating_point


@dataclass(frozen=True)
class F1Interval:
    """95 % of the draws lie between these pairs of fractions; a pair is None where no draw tells it.

    Attributes:
        score_threshold: detections with a lower score are left out.
        clips: how many were drawn from, images without a clip as one each.
        draws: how many times.
    """

    score_threshold: float
    precision: tuple[float, float] | None
    recall: tuple[float, float] | None
    f1: tuple[float, float] | None
    clips: int
    draws: int


@dataclass(frozen=True)
class F1Point:
    """The numbers of one class by one rule: at a threshold from other images, and at the best one on these.

    Attributes:
        at_given: at the threshold that is best on the validation split, an honest number; None: no such was found.
        at_best: at the one that is best on these very images, as published figures mostly are.
        interval: of `at_given`, or without it of `at_best`; None where nothing can be drawn.
    """

    at_given: OperatingPoint | None
    at_best: OperatingPoint
    interval: F1Interval | None


def f1_interval(
    split: CocoSplit,
    detections: SplitDetections,
    class_name: str,
    rule: Rule,
    score_threshold: float,
    draws: int = 1000,
) -> F1Interval | None:
    """The intervals at one threshold; None for no draws, a single clip, or no true object.

    Args:
        rule: the least IoU, or "centre".

    Raises:
        ValueError: the split has no such class.
    """
    outcomes = match_split(split, detections, rule)[split.classes.index(class_name)]
    clips = len(number_clips(split).names)
    if draws <= 0 or clips < 2 or not outcomes.objects.any():
        return None
    found, false, objects = drawn_counts(outcomes, draw_clips(clips, draws, seed=0), score_threshold)
    return F1Interval(
        score_threshold,
        _interval(found, found + false),
        _interval(found, objects),
        _interval(2 * found, found + false + objects),
        clips,
        draws,
    )


def drawn_counts(
    outcomes: ClassOutcomes, weights: NDArray[np.int64], score_threshold: float
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Objects found, false boxes and objects of one class at one threshold, in each draw of clips.

    Args:
        weights: (draws, clips), how often each clip counts.
    """
    clips = weights.shape[1]
    kept = outcomes.scores >= float(np.float32(score_threshold))  # scores are float32: at 0.7 the score 0.7 counts
    right = np.bincount(outcomes.clips[kept], outcomes.right[0, kept], clips)
    wrong = np.bincount(outcomes.clips[kept], outcomes.wrong[0, kept], clips)
    return weights @ right, weights @ wrong, weights @ outcomes.objects


def f1_points(
    split: CocoSplit,
    detections: SplitDetections,
    validation: tuple[CocoSplit, SplitDetections],
    class_name: str,
    draws: int,
) -> tuple[F1Point, F1Point]:
    """The numbers of a class at IoU 0.5 and by centre, each at the threshold of the best F1 on the validation split."""

    def point(rule: Rule) -> F1Point:
        best = operating_point(split, detections, class_name, rule)
        threshold = operating_point(*validation, class_name, rule).score_threshold
        given = None if threshold is None else operating_point(split, detections, class_name, rule, threshold)
        at = best.score_threshold if given is None else given.score_threshold
        spread = None if at is None else f1_interval(split, detections, class_name, rule, at, draws)
        return F1Point(given, best, spread)

    return point(0.5), point("centre")


def _interval(numerator: NDArray[Any], denominator: NDArray[Any]) -> tuple[float, float] | None:
    """The interval of a share, of the draws in which there is anything to share."""
    told = denominator > 0
    return interval(numerator[told] / denominator[told]) if told.any() else None


def table_lines(points: Mapping[str, tuple[F1Point, F1Point]], validated_on: str) -> list[str]:
    """What is said of them in text, a line for each class and rule."""
    lines = []
    for name, pair in points.items():
        for point, how in zip(pair, ("at IoU 0.5", "by centre"), strict=True):
            shown = point.at_given or point.at_best
            if shown.f1 is None:
                continue
            where = f"the threshold of {validated_on}" if point.at_given else "the best threshold on these images"
            drawn = point.interval
            spread = "" if drawn is None or drawn.f1 is None else f" ({drawn.f1[0]:.3f} to {drawn.f1[1]:.3f})"
            best = f", {point.at_best.f1:.3f} at the best one here" if point.at_given and point.at_best.f1 else ""
            lines.append(
                f"F1 of {name} {how}: {shown.f1:.3f}{spread} at {where}, {shown.score_threshold or 0:.3f}{best}; "
                f"precision {shown.precision or 0:.3f}, recall {shown.recall or 0:.3f}, "
                f"{shown.false_boxes_per_image:.3f} false boxes per image"
            )
    return lines
