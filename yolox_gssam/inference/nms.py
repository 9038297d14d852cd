"""From the candidates of a batch to the detections of each image: score threshold and NMS, as YOLOX's `postprocess`."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from yolox_gssam.detections import Detections

_PAIRS = 2**18
"""Pairs of boxes compared at a time, which bounds the memory."""


def choose_detections(
    candidates: NDArray[np.float32],
    ratios: Sequence[float],
    score_threshold: float,
    nms_threshold: float,
    class_agnostic: bool,
    class_names: tuple[str, ...] = (),
    votes: bool = False,
) -> list[Detections]:
    """Keeps, of boxes that overlap, the one with the best score.

    Args:
        candidates: (n, 6 + classes): number of the image in the batch, centre x, centre y, width, height in pixels of
            the network's input, objectness, class probabilities; what a `Backend` gives.
        ratios: for each of the B images, the factor from its pixels to those of the network's input.
        score_threshold: least score, objectness times the probability of the class.
        nms_threshold: of two boxes with a greater IoU, the one with the lower score goes.
        class_agnostic: compare boxes of all classes; otherwise of each class on its own.
        class_names: of the classes, for the result.
        votes: the anchors on one object decide on its box and class together, see `voted`; and without
            `class_agnostic` an anchor is a box of every class that reaches the threshold. Otherwise an anchor is its
            own box of its best class, as in YOLOX.

    Returns:
        B detections, best score first, in pixels of the original images.
    """
    # A network that diverged can give a box of infinite size, which says nothing.
    rows = candidates[np.isfinite(candidates).all(axis=1)]
    halves = rows[:, 3:5] / 2
    boxes: NDArray[np.float32] = np.concatenate(
        (rows[:, 1:3] - halves, rows[:, 1:3] + halves), axis=1, dtype=np.float32
    )
    found = []
    for number, ratio in enumerate(ratios):
        own = np.flatnonzero(rows[:, 0] == number)
        corners, probabilities = boxes[own], rows[own, 6:]
        if votes:
            agreed = voted(corners, rows[own, 5], np.concatenate((corners, probabilities), axis=1), nms_threshold)
            corners, probabilities = agreed[:, :4], agreed[:, 4:]
        scores = rows[own, 5:6] * probabilities
        if class_agnostic or not votes:
            best = probabilities.argmax(axis=1) if len(own) else np.zeros(0, np.int64)
            anchors, labels = np.arange(len(own)), best
        else:
            anchors, labels = np.nonzero(scores >= np.float64(score_threshold))
        scores, places = scores[anchors, labels], boxes[own[anchors]]
        # In 64 bit, as torch compares: a threshold of 0.3 is not rounded to 32 bit first.
        chosen = np.flatnonzero(scores >= np.float64(score_threshold))
        chosen = chosen[np.argsort(-scores[chosen], kind="stable")]
        kept = chosen[suppress(places[chosen], None if class_agnostic else labels[chosen], nms_threshold)]
        found.append(
            Detections(
                np.asarray(corners[anchors[kept]] / np.float32(ratio), np.float32),
                scores[kept],
                labels[kept],
                class_names,
            )
        )
    return found


def voted(
    boxes_xyxy: NDArray[np.float32],
    objectness: NDArray[np.float32],
    values: NDArray[np.float32],
    threshold: float,
) -> NDArray[np.float32]:
    """What the anchors on one object agree on: their mean, weighted by objectness.

    One anchor of a far helicopter may be sure of a drone where its neighbours are not, and of a box that is a pixel too
    wide, which is much of a target of five. (For boxes this is the voting of Gidaris and Komodakis, 2015.)
    docs/results.md has what the vote brings.

    Args:
        boxes_xyxy: (n, 4) of one image.
        objectness: (n,) in [0, 1].
        values: (n, k), such as corners and class probabilities.
        threshold: anchors whose boxes have a greater IoU than this are on one object.
    """
    weights = objectness.astype(np.float64)
    sums, total = weights[:, None] * values, weights.copy()
    one, other = _overlapping_pairs(boxes_xyxy, threshold)
    for voters, heard in ((one, other), (other, one)):
        total += np.bincount(heard, weights[voters], len(total))
        for column in range(sums.shape[1]):
            sums[:, column] += np.bincount(heard, weights[voters] * values[voters, column], len(total))
    return np.where(total[:, None] > 0, sums / np.maximum(total, 1e-12)[:, None], values).astype(np.float32)


def suppress(boxes_xyxy: NDArray[np.float32], labels: NDArray[np.int64] | None, threshold: float) -> NDArray[np.int64]:
    """Non-maximum suppression: the indices of the boxes that stay, in ascending order.

    Args:
        boxes_xyxy: (n, 4), best score first.
        labels: (n,) class of each box, compared with its own class only; None: every box with every other.
        threshold: of two boxes with a greater IoU, the later one goes.
    """
    stays = np.ones(len(boxes_xyxy), bool)
    groups = [np.arange(len(stays))] if labels is None else [np.flatnonzero(labels == one) for one in np.unique(labels)]
    for group in groups:
        better, worse = _overlapping_pairs(boxes_xyxy[group], threshold)
        starts = np.searchsorted(better, np.arange(len(group) + 1)).tolist()
        own = np.ones(len(group), bool)
        for index in np.unique(better).tolist():
            if own[index]:
                own[worse[starts[index] : starts[index + 1]]] = False
        stays[group] = own
    return np.flatnonzero(stays)


def _overlapping_pairs(
    boxes_xyxy: NDArray[np.float32], threshold: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The indices of all pairs of boxes with an IoU above the threshold: the lower ones, ascending, and the higher.

    From the left, each box is compared with those alone that begin before it ends.
    """
    count = len(boxes_xyxy)
    order = np.argsort(boxes_xyxy[:, 0], kind="stable")
    boxes = boxes_xyxy[order]
    places = np.arange(count)
    partners = np.searchsorted(boxes[:, 0], boxes[:, 2], side="right") - places - 1
    before = np.cumsum(partners) - partners
    lower, higher = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    start = 0
    while start < count:
        stop = max(start + 1, int(np.searchsorted(before, before[start] + _PAIRS)))
        some = np.repeat(places[start:stop], partners[start:stop])
        others = some + 1 + np.arange(len(some)) - (before[some] - before[start])
        above = _iou(boxes[some], boxes[others]) > np.float64(threshold)
        first, second = order[some[above]], order[others[above]]
        lower.append(np.minimum(first, second))
        higher.append(np.maximum(first, second))
        start = stop
    better, worse = np.concatenate(lower), np.concatenate(higher)
    ascending = np.argsort(better, kind="stable")
    return better[ascending], worse[ascending]


def _iou(some: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n,) IoU of each box of `some` with the one at its place in `others`; nan for two without an area."""
    (left, top, right, bottom), (left2, top2, right2, bottom2) = some.T, others.T
    width = np.minimum(right, right2) - np.maximum(left, left2)
    height = np.minimum(bottom, bottom2) - np.maximum(top, top2)
    shared = np.maximum(width, 0) * np.maximum(height, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        areas = (right - left) * (bottom - top) + (right2 - left2) * (bottom2 - top2)
        return np.asarray(shared / (areas - shared), np.float32)
