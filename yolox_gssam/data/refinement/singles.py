"""Tight boxes of images without neighbours, judged by the other images of the set."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from yolox_gssam.data.refinement.clip import MEASURED, MIN_KNOWN, SHRUNK, USUAL_RATIO, Refined
from yolox_gssam.data.refinement.measure import SURE_SIGMAS, Candidate

FACTOR = 2.5
"""A box's ratio of object to label may differ from its class's median by this factor."""
MAX_SHIFT = 0.35
"""How far an object's centre may lie from its label's, over the label's side."""


def combine_singles(
    found: Sequence[Sequence[Candidate]], boxes_xywh: NDArray[np.float64], labels: NDArray[np.int64]
) -> Refined:
    """Tight boxes from what was found in loose boxes of unrelated images: measured, or shrunk by their class's ratio.

    Args:
        found: candidates of each loose box, the likeliest first.
        boxes_xywh: (n, 4) the loose boxes in pixels.
        labels: (n,) class of each.
    """
    centre, side = boxes_xywh[:, :2] + boxes_xywh[:, 2:] / 2, boxes_xywh[:, 2:]
    boxes, way = np.zeros((len(found), 4)), np.full(len(found), SHRUNK, np.uint8)
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label).tolist()
        first = [_size(found[index][0]) / side[index] for index in own if _is_sure(found[index][:1])]
        usual = np.median(first, axis=0) if len(first) >= MIN_KNOWN else np.full(2, USUAL_RATIO)
        for index in own:
            size = usual * side[index]
            boxes[index] = [*(centre[index] - size / 2), *(centre[index] + size / 2)]
            for candidate in found[index]:
                ratio = _size(candidate) / (usual * side[index])
                shift = np.abs(np.array(candidate.box_xyxy).reshape(2, 2).mean(axis=0) - centre[index]) / side[index]
                alike = 1 / FACTOR < ratio.prod() ** 0.5 < FACTOR and (shift < MAX_SHIFT).all()
                if alike and _is_sure([candidate]):
                    boxes[index], way[index] = candidate.box_xyxy, MEASURED
                    break
    return Refined(boxes, way)


def _size(candidate: Candidate) -> NDArray[np.float64]:
    left, top, right, bottom = candidate.box_xyxy
    return np.array([right - left, bottom - top])


def _is_sure(candidates: Sequence[Candidate]) -> bool:
    return bool(candidates) and candidates[0].sigmas >= SURE_SIGMAS
