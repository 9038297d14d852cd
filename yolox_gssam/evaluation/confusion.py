"""The confusion matrix of a detector: is a bird taken for a drone?"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from yolox_gssam.data.coco_reader import CocoSplit
from yolox_gssam.detections import Detections
from yolox_gssam.evaluation.matching import SplitDetections, match_greedy


@dataclass(frozen=True, eq=False)
class ConfusionMatrix:
    """How often each class was taken for each other.

    Attributes:
        counts: (C + 1, C + 1) int64. Rows are the truth, the last one background; columns are the prediction, the last
            one missed. The corner, background that was missed, is always 0.
        classes: the C class names, in the order of rows and columns.
        score_threshold: detections with a lower score were left out.
        iou_threshold: the least IoU of a detection and the true object it stands for.
    """

    counts: NDArray[np.int64]
    classes: tuple[str, ...]
    score_threshold: float
    iou_threshold: float

    @property
    def row_names(self) -> tuple[str, ...]:
        return (*self.classes, "background")

    @property
    def column_names(self) -> tuple[str, ...]:
        return (*self.classes, "missed")


def confusion_matrix(
    split: CocoSplit, detections: SplitDetections, score_threshold: float = 0.3, iou_threshold: float = 0.5
) -> ConfusionMatrix:
    """Counts what each true object was taken for.

    Each detection, best score first, takes the free true object of greatest IoU, of whatever class. One that finds
    none free is counted as background, a second hit on the same object too. Detections in crowd regions do not count.

    Args:
        iou_threshold: 0.5 is strict for a box of a few pixels, where one pixel of shift halves the IoU.
    """
    size = len(split.classes) + 1
    counts = np.zeros((size, size), dtype=np.int64)
    for image in split.images:
        found = detections.get(image.image_id, Detections.empty()).above(score_threshold)
        matches = match_greedy(found, image, iou_threshold)
        hits = matches.truth_index >= 0
        np.add.at(counts, (image.labels[matches.truth_index[hits]], found.labels[hits]), 1)
        np.add.at(counts[-1], found.labels[~hits & ~matches.on_crowd], 1)
        missed = np.delete(image.labels, matches.truth_index[hits])
        np.add.at(counts[:, -1], missed, 1)
    return ConfusionMatrix(counts, split.classes, score_threshold, iou_threshold)
