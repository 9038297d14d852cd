"""From the candidates of a batch to the detections of each image: score threshold and NMS, as YOLOX's `postprocess`."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from yolox_gssam.detections import Detections

_BLOCK = 256
"""Boxes compared at a time: few enough that their matrix stays in the processor's cache."""


def choose_detections(
    candidates: NDArray[np.float32],
    ratios: Sequence[float],
    score_threshold: float,
    nms_threshold: float,
    class_agnostic: bool,
    class_names: tuple[str, ...] = (),
) -> list[Detections]:
    """Keeps, of boxes that overlap, the one with the best score.

    Args:
        candidates: (n, 6 + classes): number of the image in the batch, centre x, centre y, width, height in pixels of
            the network's input, objectness, class probabilities; what a `Backend` gives.
        ratios: for each of the B images, the factor from its pixels to those of the network's input.
        score_threshold: least score, objectness times the probability of the best class.
        nms_threshold: of two boxes with a greater IoU, the one with the lower score goes.
        class_agnostic: compare boxes of all classes; otherwise of each class on its own.
        class_names: of the classes, for the result.

    Returns:
        B detections, best score first, in pixels of the original images.
    """
    # A network that diverged can give a box of infinite size, which says nothing.
    rows = candidates[np.isfinite(candidates).all(axis=1)]
    labels = rows[:, 6:].argmax(axis=1) if len(rows) else np.zeros(0, np.int64)
    scores = rows[:, 5] * rows[np.arange(len(rows)), 6 + labels]
    halves = rows[:, 3:5] / 2
    boxes: NDArray[np.float32] = np.concatenate(
        (rows[:, 1:3] - halves, rows[:, 1:3] + halves), axis=1, dtype=np.float32
    )
    # In 64 bit, as torch compares: a threshold of 0.3 is not rounded to 32 bit first.
    reached = scores >= np.float64(score_threshold)
    found = []
    for number, ratio in enumerate(ratios):
        chosen = np.flatnonzero(reached & (rows[:, 0] == number))
        chosen = chosen[np.argsort(-scores[chosen], kind="stable")]
        kept = chosen[suppress(boxes[chosen], None if class_agnostic else labels[chosen], nms_threshold)]
        found.append(
            Detections(np.asarray(boxes[kept] / np.float32(ratio), np.float32), scores[kept], labels[kept], class_names)
        )
    return found


def suppress(boxes_xyxy: NDArray[np.float32], labels: NDArray[np.int64] | None, threshold: float) -> NDArray[np.int64]:
    """Non-maximum suppression: the indices of the boxes that stay, in ascending order.

    Args:
        boxes_xyxy: (n, 4), best score first.
        labels: (n,) class of each box, compared with its own class only; None: every box with every other.
        threshold: of two boxes with a greater IoU, the later one goes.
    """
    waiting = np.arange(len(boxes_xyxy))
    kept: list[NDArray[np.int64]] = []
    while len(waiting):
        block, waiting = waiting[:_BLOCK], waiting[_BLOCK:]
        overlaps = _overlaps(boxes_xyxy, labels, block, block, threshold)
        stays = np.ones(len(block), bool)
        for index in range(len(block)):
            if stays[index]:
                stays[index + 1 :] &= ~overlaps[index, index + 1 :]
        kept.append(block[stays])
        if len(waiting):
            waiting = waiting[~_overlaps(boxes_xyxy, labels, kept[-1], waiting, threshold).any(axis=0)]
    return np.concatenate(kept) if kept else waiting


def _overlaps(
    boxes_xyxy: NDArray[np.float32],
    labels: NDArray[np.int64] | None,
    some: NDArray[np.int64],
    others: NDArray[np.int64],
    threshold: float,
) -> NDArray[np.bool_]:
    """(len(some), len(others)): whether two boxes have an IoU above the threshold and, with `labels`, one class."""
    one, other = boxes_xyxy[some][:, None], boxes_xyxy[others][None]
    areas, other_areas = (np.prod(boxes[..., 2:] - boxes[..., :2], axis=2) for boxes in (one, other))
    sides = np.minimum(one[..., 2:], other[..., 2:]) - np.maximum(one[..., :2], other[..., :2])
    shared = np.prod(np.maximum(sides, 0), axis=2)
    with np.errstate(divide="ignore", invalid="ignore"):  # boxes without an area overlap nothing
        above = np.asarray(shared / (areas + other_areas - shared) > np.float64(threshold))
    return above if labels is None else above & (labels[some][:, None] == labels[others][None])
