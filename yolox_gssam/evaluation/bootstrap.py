"""How far an average precision is to be trusted: the same number over and over, on clips drawn anew.

The frames of a clip resemble each other, so that whole clips are drawn, not images. Source: Efron and Tibshirani, "An
Introduction to the Bootstrap", 1993, chapter 13 (percentile intervals).
"""

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from yolox_gssam.data.coco import CocoSplit
from yolox_gssam.detections import Detections
from yolox_gssam.evaluation.coco import RECALLS, coco_index, coco_results
from yolox_gssam.evaluation.truth import load_annotations
from yolox_gssam.progress import progress_bar

_MOST_DETECTIONS = 100


@dataclass(frozen=True, eq=False)
class _ClassMatches:
    """The detections of one class, best first; T IoU thresholds.

    Attributes:
        clips: (n,) int, number of each detection's clip.
        right, wrong: (T, n) bool; a detection on a crowd region is neither.
        objects: (clips,) int, how many true objects each clip has.
    """

    clips: NDArray[np.int64]
    right: NDArray[np.bool_]
    wrong: NDArray[np.bool_]
    objects: NDArray[np.int64]


class ClipAP:
    """COCO's mAP50:95 of one network on any draw of a split's clips; what matches what is found out once.

    Args:
        detections: image id -> what was found there, as `evaluate_coco` takes them.
        one_class: whether an object is found where it stands, whatever class it is taken for.

    Attributes:
        clips: their names; an image without a group is a clip of its own.
    """

    def __init__(self, split: CocoSplit, detections: Mapping[int, Detections], one_class: bool = False) -> None:
        names = {
            image.image_id: f"image {image.image_id}" if image.group is None else image.group for image in split.images
        }
        self.clips = tuple(dict.fromkeys(names.values()))
        numbers = {name: number for number, name in enumerate(self.clips)}
        clip_of_image = np.array([numbers[names[image_id]] for image_id in sorted(names)])
        truth, results = load_annotations(split), coco_results(split, detections)
        with contextlib.redirect_stdout(io.StringIO()):
            evaluator = COCOeval(coco_index(COCO, split, truth), coco_index(COCO, split, results), "bbox")
            evaluator.params.areaRng, evaluator.params.areaRngLbl = [[0.0, 1e10]], ["all"]
            evaluator.params.maxDets = [_MOST_DETECTIONS]
            evaluator.params.useCats = int(not one_class)
            evaluator.evaluate()
        images, classes = len(split.images), 1 if one_class else len(split.classes)
        self._classes = [
            self._matches(evaluator.evalImgs[label * images : (label + 1) * images], clip_of_image)
            for label in range(classes)
        ]

    def ap(self, weights: Sequence[int] | NDArray[np.int64] | None = None) -> float | None:
        """mAP50:95 in [0, 1] where each clip counts as often as `weights`, one for each of `clips`, says.

        Without weights every clip counts once: the number of `evaluate_coco`. None without a true object.
        """
        counts = np.ones(len(self.clips), np.int64) if weights is None else np.asarray(weights)
        values = [value for matches in self._classes if (value := _class_ap(matches, counts)) is not None]
        return float(np.mean(values)) if values else None

    def _matches(
        self, of_images: Sequence[dict[str, NDArray[np.float64]] | None], clips: NDArray[np.int64]
    ) -> _ClassMatches:
        objects = np.zeros(len(self.clips), np.int64)
        scores, right, wrong, clip = [np.zeros(0)], [np.zeros((10, 0), bool)], [np.zeros((10, 0), bool)], [clips[:0]]
        for number, result in zip(clips, of_images, strict=True):
            if result is None:  # neither objects nor detections of this class
                continue
            counted, matched = ~result["dtIgnore"].astype(bool), result["dtMatches"] > 0
            objects[number] += int((result["gtIgnore"] == 0).sum())
            scores.append(np.array(result["dtScores"], dtype=np.float64))
            right.append(counted & matched)
            wrong.append(counted & ~matched)
            clip.append(np.full(len(scores[-1]), number))
        # Stable, as pycocotools sorts: of equal scores the one of the earlier image comes first.
        order = np.argsort(-np.concatenate(scores), kind="mergesort")
        right_all, wrong_all = (np.concatenate(parts, axis=1)[:, order] for parts in (right, wrong))
        return _ClassMatches(np.concatenate(clip)[order], right_all, wrong_all, objects)


def _class_ap(matches: _ClassMatches, counts: NDArray[np.int64]) -> float | None:
    """The mean over the IoU thresholds of the area below the interpolated precision-recall curve, at 101 recalls."""
    total = int(matches.objects @ counts)
    if not total:
        return None
    weights = counts[matches.clips]
    right, wrong = (matches.right * weights).cumsum(axis=1), (matches.wrong * weights).cumsum(axis=1)
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


def ap_interval(split: CocoSplit, detections: Mapping[int, Detections], draws: int, seed: int = 0) -> APInterval | None:
    """The interval of one network's mAP50:95, with a progress bar; None for no draws, one clip, or no true object.

    Args:
        detections: image id -> what was found there, as `evaluate_coco` takes them.
    """
    if draws <= 0:
        return None
    measure = ClipAP(split, detections)
    if len(measure.clips) < 2:
        return None
    with progress_bar(draw_clips(len(measure.clips), draws, seed), description="interval", unit="draws") as drawn:
        values = [value for counts in drawn if (value := measure.ap(counts)) is not None]
    return APInterval(*interval(np.array(values)), len(measure.clips), len(values)) if values else None


def draw_clips(count: int, draws: int, seed: int) -> NDArray[np.int64]:
    """How often each of `count` clips counts in each draw of as many, with replacement: (draws, count)."""
    return np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=draws)


def interval(values: NDArray[np.float64], share: float = 0.95) -> tuple[float, float]:
    """The percentiles between which this share of the values lies."""
    low, high = np.quantile(values, [(1 - share) / 2, (1 + share) / 2])
    return float(low), float(high)
