"""How good tight boxes are without anyone's truth: their jitter from frame to frame, and what a detector can reach."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from yolox_gssam.data.refinement.clip import MEASURED, Refined
from yolox_gssam.data.refinement.packed import LooseBoxes
from yolox_gssam.data.refinement.tracks import find_tracks

THRESHOLDS = np.arange(0.5, 1, 0.05)
SIZE_BINS = 12


@dataclass(frozen=True)
class Quality:
    """Numbers of one set of boxes.

    Attributes:
        ratio: median side of the loose boxes over that of the tight ones.
        jitter: median relative change of a box's side (root of its area) to the next frame, (loose, tight).
        over_75: share of boxes above an IoU of 0.75, (loose, tight): of the loose ones against the best guess of a
            detector that knows the tight box and what margin boxes of its size usually have; of the padded tight ones
            against one around the same centre with the mean size of the frames before and after.
        mean_share: the same, mean over the IoU thresholds 0.5 to 0.95, as COCO's mAP counts them.
    """

    ratio: float
    jitter: tuple[float, float]
    over_75: tuple[float, float]
    mean_share: tuple[float, float]


def measure_quality(clips: Sequence[tuple[LooseBoxes, Refined]], padding: float) -> Quality:
    """Quality of the measured boxes of some clips; carried and shrunk ones are left out of it."""
    loose, tight, before, after = ([] for _ in range(4))
    jitter: tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]] = ([], [])
    for labels, refined in clips:
        edges = np.concatenate([labels.boxes_xywh[:, :2], labels.boxes_xywh[:, :2] + labels.boxes_xywh[:, 2:]], axis=1)
        known = refined.way == MEASURED
        loose.append(edges[known])
        tight.append(refined.boxes_xyxy[known])
        for track in find_tracks(labels.boxes_xywh, labels.frame, labels.labels):
            own = track[known[track]]
            if len(own) < 3:
                continue
            for kept, boxes in zip(jitter, (edges, refined.boxes_xyxy), strict=True):
                kept.append(np.abs(np.diff(np.log(_side(boxes[own])))))
            boxes = refined.boxes_xyxy[own]
            size, centre = boxes[:, 2:] - boxes[:, :2], (boxes[1:-1, :2] + boxes[1:-1, 2:]) / 2
            half = (size[:-2] + size[2:]) / 4
            before.append(np.concatenate([centre - half, centre + half], axis=1))
            after.append(boxes[1:-1])
    loose_xyxy, tight_xyxy = np.concatenate(loose), np.concatenate(tight)
    pads = np.array([-padding, -padding, padding, padding])
    ious = (
        box_iou(loose_xyxy, _guessed(loose_xyxy, tight_xyxy)),
        box_iou(np.concatenate(after) + pads, np.concatenate(before) + pads),
    )
    return Quality(
        float(np.median(_side(loose_xyxy) / _side(tight_xyxy))),
        (float(np.median(np.concatenate(jitter[0]))), float(np.median(np.concatenate(jitter[1])))),
        (float((ious[0] > 0.75).mean()), float((ious[1] > 0.75).mean())),
        (_mean_share(ious[0]), _mean_share(ious[1])),
    )


def box_iou(first_xyxy: NDArray[np.float64], second_xyxy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of each pair of boxes, row by row: (n,)."""
    low = np.maximum(first_xyxy[:, :2], second_xyxy[:, :2])
    high = np.minimum(first_xyxy[:, 2:], second_xyxy[:, 2:])
    shared = np.maximum(high - low, 0).prod(axis=1)
    return np.asarray(shared / (_side(first_xyxy) ** 2 + _side(second_xyxy) ** 2 - shared))


def _guessed(loose_xyxy: NDArray[np.float64], tight_xyxy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Around each tight box the loose one that is usual for its width and height."""
    centre, size = (tight_xyxy[:, :2] + tight_xyxy[:, 2:]) / 2, tight_xyxy[:, 2:] - tight_xyxy[:, :2]
    wide = loose_xyxy[:, 2:] - loose_xyxy[:, :2]
    guess = np.zeros_like(size)
    for axis in range(2):
        bounds = np.quantile(size[:, axis], np.linspace(0, 1, SIZE_BINS + 1)[1:-1])
        bins = np.digitize(size[:, axis], bounds)
        usual = np.array([np.median(wide[bins == b, axis]) if (bins == b).any() else np.nan for b in range(SIZE_BINS)])
        guess[:, axis] = usual[bins]
    return np.concatenate([centre - guess / 2, centre + guess / 2], axis=1)


def _side(boxes_xyxy: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.sqrt((boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]).prod(axis=1)))


def _mean_share(ious: NDArray[np.float64]) -> float:
    return float((ious[:, None] > THRESHOLDS).mean())
