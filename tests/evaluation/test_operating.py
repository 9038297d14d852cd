"""Precision, recall and F1 at one score, counted by hand."""

from pathlib import Path

import pytest
from evaluation.cases import found, make_split, moved

from yolox_gssam.data.coco_reader import CocoSplit
from yolox_gssam.detections import Detections
from yolox_gssam.evaluation.operating import operating_point

BIRD, DRONE, PLANE = range(3)
SMALL, LARGE, FAR = (100, 100, 4, 4), (200, 200, 16, 9), (400, 300, 4, 4)


def operating_case(tmp_path: Path) -> tuple[CocoSplit, dict[int, Detections]]:
    """Three drones; by falling score: found, false, found, repeated and found together."""
    split = make_split(tmp_path, [[(7, SMALL), (7, FAR)], [(7, LARGE)], [(3, FAR)], []])
    first = found((DRONE, 0.9, moved(SMALL, 3, 0)), (DRONE, 0.7, FAR), (DRONE, 0.5, FAR))
    return split, {1: first, 2: found((DRONE, 0.5, LARGE)), 3: found((DRONE, 0.8, FAR), (BIRD, 0.95, SMALL))}


@pytest.mark.parametrize(
    ("given", "threshold", "hits", "false"),
    [
        pytest.param(None, 0.5, 3, 2, id="best"),  # 6/8, against 2/4, 2/5, 4/6
        pytest.param(0.7, 0.7, 2, 1, id="at-a-score"),
        pytest.param(0.71, 0.71, 1, 1, id="between-scores"),
        pytest.param(1, 1, 0, 0, id="above-all"),
    ],
)
def test_precision_recall_and_f1(tmp_path: Path, given: float | None, threshold: float, hits: int, false: int) -> None:
    split, detections = operating_case(tmp_path)
    point = operating_point(split, detections, "drone", "centre", given)
    assert (point.score_threshold, point.found, point.false_boxes, point.objects) == (threshold, hits, false, 3)
    assert point.chosen == ("best F1" if given is None else "given")
    assert point.precision == (hits / (hits + false) if hits else None)
    assert point.recall == hits / 3
    assert point.f1 == pytest.approx(2 * hits / (hits + false + 3))
    assert (point.images, point.false_boxes_per_image) == (4, false / 4)


def test_precision_and_recall_at_iou(tmp_path: Path) -> None:
    """The one 3 pixels off has no IoU of 0.5."""
    split, detections = operating_case(tmp_path)
    point = operating_point(split, detections, "drone", 0.5, 0.1)
    assert (point.found, point.false_boxes, point.iou_threshold) == (2, 3, 0.5)


def test_of_equal_f1_the_highest_score(tmp_path: Path) -> None:
    split = make_split(tmp_path, [[(7, SMALL), (7, FAR)]])
    detections = {1: found((DRONE, 0.75, SMALL), (DRONE, 0.5, LARGE), (DRONE, 0.25, LARGE), (DRONE, 0.125, FAR))}
    # 2/3, 2/4, 2/5, 4/6
    assert operating_point(split, detections, "drone", "centre").score_threshold == 0.75


def test_without_objects_or_detections(tmp_path: Path) -> None:
    split = make_split(tmp_path, [[(7, SMALL)], []])
    nothing = operating_point(split, {}, "drone", "centre")
    assert (nothing.score_threshold, nothing.precision, nothing.recall, nothing.f1) == (None, None, 0, 0)
    no_planes = operating_point(split, {1: found((PLANE, 0.5, SMALL))}, "plane", "centre", 0.5)
    assert (no_planes.precision, no_planes.recall, no_planes.f1, no_planes.false_boxes) == (0, None, None, 1)
    all_false = operating_point(split, {1: found((DRONE, 0.5, FAR))}, "drone", "centre")
    assert (all_false.score_threshold, all_false.precision, all_false.f1) == (None, None, 0)
