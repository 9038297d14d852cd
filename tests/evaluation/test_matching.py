"""Greedy matching by IoU and by centre: exact cases."""

import numpy as np
import pytest
from evaluation.cases import Box, found, moved

from yolox_gssam.data.labelled import LabelledImage, xywh_to_xyxy
from yolox_gssam.detections import Detections
from yolox_gssam.evaluation.matching import match_greedy

LEFT, RIGHT, FAR = (0, 0, 10, 10), (4, 0, 10, 10), (100, 100, 10, 10)
BETWEEN = (1, 0, 10, 10)  # IoU 9/11 with LEFT, 7/13 with RIGHT
SMALL, LARGE = (100, 100, 4, 4), (200, 200, 16, 9)  # sides 4 and 12: by centre, reaches 3 and 6


def truth(*boxes: Box, crowd: tuple[Box, ...] = ()) -> LabelledImage:
    labels, crowd_labels = (np.zeros(len(given), np.int64) for given in (boxes, crowd))
    return LabelledImage("a.jpg", 640, 512, xywh_to_xyxy(boxes), labels, None, xywh_to_xyxy(crowd), crowd_labels)


@pytest.mark.parametrize(
    ("detections", "of_image", "threshold", "index", "repeated", "on_crowd"),
    [
        pytest.param([], [], 0.5, [], [], [], id="nothing"),
        pytest.param([], [LEFT], 0.5, [], [], [], id="no-detections"),
        pytest.param([(0.9, LEFT)], [], 0.5, [-1], [False], [False], id="no-objects"),
        pytest.param([(0.9, BETWEEN)], [RIGHT, LEFT], 0.5, [1], [False], [False], id="greatest-iou"),
        pytest.param([(0.8, BETWEEN), (0.9, LEFT)], [LEFT], 0.5, [-1, 0], [True, False], [False] * 2, id="best-score"),
        pytest.param(
            [(0.9, LEFT), (0.8, BETWEEN)], [LEFT, RIGHT], 0.5, [0, 1], [False] * 2, [False] * 2, id="next-best"
        ),
        pytest.param(
            [(0.9, LEFT), (0.8, BETWEEN)], [LEFT, RIGHT], 0.6, [0, -1], [False, True], [False] * 2, id="repeated"
        ),
        pytest.param([(0.9, FAR)], [LEFT], 0.5, [-1], [False], [False], id="elsewhere"),
        pytest.param([(0.5, LEFT), (0.5, LEFT)], [LEFT], 0.5, [0, -1], [False, True], [False] * 2, id="equal-scores"),
        pytest.param([(0.5, (0, 0, 10, 5))], [LEFT], 0.5, [0], [False], [False], id="iou-at-the-threshold"),
        pytest.param([(0.5, (0, 0, 0, 0))], [LEFT], 0.5, [-1], [False], [False], id="no-area"),
    ],
)
def test_exact_cases(
    detections: list[tuple[float, Box]],
    of_image: list[Box],
    threshold: float,
    index: list[int],
    repeated: list[bool],
    on_crowd: list[bool],
) -> None:
    matches = match_greedy(found(*((0, score, box) for score, box in detections)), truth(*of_image), threshold)
    assert matches.truth_index.tolist() == index
    assert matches.repeated.tolist() == repeated
    assert matches.on_crowd.tolist() == on_crowd


def test_a_crowd_takes_any_number_but_is_never_found() -> None:
    detections = found((0, 0.9, (10, 10, 5, 5)), (0, 0.8, (50, 50, 5, 5)), (0, 0.7, (98, 98, 5, 5)), (0, 0.6, LEFT))
    matches = match_greedy(detections, truth(LEFT, crowd=((0, 0, 100, 100),)), 0.5)
    assert matches.truth_index.tolist() == [-1, -1, -1, 0]
    # Of the third, 2 x 2 of 5 x 5 pixels lie in the region.
    assert matches.on_crowd.tolist() == [True, True, False, False]


def test_labels_do_not_matter_and_arguments_are_left_alone() -> None:
    detections = Detections([[0, 0, 10, 10]], [0.5], [2])
    boxes = detections.boxes_xyxy.copy()
    assert match_greedy(detections, truth(LEFT), 0.5).truth_index.tolist() == [0]
    assert (detections.boxes_xyxy == boxes).all()


@pytest.mark.parametrize(
    ("box", "offset", "hit"),
    [
        pytest.param(SMALL, (3, 0), True, id="at-3-px"),
        pytest.param(SMALL, (3.001, 0), False, id="beyond-3-px"),
        pytest.param(SMALL, (2, 2.25), False, id="straight-line-not-axes"),
        pytest.param(SMALL, (-1.5, 2.5), True, id="any-direction"),
        pytest.param(LARGE, (0, -6), True, id="at-half-the-side"),
        pytest.param(LARGE, (0, -6.001), False, id="beyond-half-the-side"),
        pytest.param(LARGE, (7, 0), False, id="side-is-the-root-of-the-area-not-the-width"),
        pytest.param((50, 50, 6, 6), (3, 0), True, id="both-the-same"),
        pytest.param((50, 50, 0, 0), (0, 3), True, id="a-point"),
    ],
)
def test_reach_of_a_centre(box: Box, offset: tuple[float, float], hit: bool) -> None:
    for size in (1, 8, 64):
        matches = match_greedy(found((0, 0.9, moved(box, *offset, size))), truth(box), "centre")
        assert matches.truth_index.tolist() == [0 if hit else -1]


@pytest.mark.parametrize(
    ("detections", "of_image", "index", "repeated"),
    [
        pytest.param([], [], [], [], id="nothing"),
        pytest.param([], [SMALL], [], [], id="no-detections"),
        pytest.param([(0.9, SMALL)], [], [-1], [False], id="no-objects"),
        pytest.param([(0.8, SMALL), (0.9, moved(SMALL, 2, 0))], [SMALL], [-1, 0], [True, False], id="best-score"),
        pytest.param([(0.5, SMALL), (0.5, SMALL)], [SMALL], [0, -1], [False, True], id="equal-scores-first"),
        pytest.param([(0.9, moved(SMALL, 2, 0))], [SMALL, moved(SMALL, 3, 0)], [1], [False], id="nearest"),
        pytest.param(
            [(0.9, moved(SMALL, 2, 0)), (0.8, moved(SMALL, 2, 0))],
            [SMALL, moved(SMALL, 3, 0)],
            [1, 0],
            [False, False],
            id="next-nearest",
        ),
        pytest.param([(0.9, moved(SMALL, 1, 0))], [SMALL, moved(SMALL, 2, 0, 4)], [0], [False], id="equally-near"),
    ],
)
def test_nearest_centre(
    detections: list[tuple[float, Box]], of_image: list[Box], index: list[int], repeated: list[bool]
) -> None:
    matches = match_greedy(found(*((0, score, box) for score, box in detections)), truth(*of_image), "centre")
    assert matches.truth_index.tolist() == index
    assert matches.repeated.tolist() == repeated
    assert not matches.on_crowd.any()


def test_crowd_by_centre() -> None:
    """A centre in the region or on its border does not count; a free object in it is found first."""
    region = (0, 0, 100, 40)
    detections = found(
        (0, 0.9, moved((50, 20, 0, 0), 0, 0)),
        (0, 0.8, moved((100, 40, 0, 0), 0, 0)),
        (0, 0.7, moved((100.5, 20, 0, 0), 0, 0)),
        (0, 0.6, moved((10, 10, 0, 0), 0, 0)),
    )
    matches = match_greedy(detections, truth((8, 8, 4, 4), crowd=(region,)), "centre")
    assert matches.truth_index.tolist() == [-1, -1, -1, 0]
    assert matches.on_crowd.tolist() == [True, True, False, False]
