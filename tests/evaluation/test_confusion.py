"""The confusion matrix: exact cases, and sums that must hold."""

from pathlib import Path

import numpy as np
import pytest
from evaluation.cases import Box, found, make_split, random_case

from yolox_gssam.evaluation.confusion import confusion_matrix

BOX, OTHER = (100, 100, 20, 20), (300, 300, 20, 20)
BIRD, DRONE, PLANE, NONE = range(4)  # rows and columns; the last one is background or missed


@pytest.mark.parametrize(
    ("objects", "detections", "cells"),
    [
        pytest.param([], [], {}, id="nothing"),
        pytest.param([(7, BOX)], [(DRONE, 0.9, BOX)], {(DRONE, DRONE): 1}, id="right"),
        pytest.param([(3, BOX)], [(DRONE, 0.9, BOX)], {(BIRD, DRONE): 1}, id="bird-taken-for-drone"),
        pytest.param([(7, BOX)], [], {(DRONE, NONE): 1}, id="missed"),
        pytest.param([], [(DRONE, 0.9, BOX)], {(NONE, DRONE): 1}, id="invented"),
        pytest.param([(7, BOX)], [(DRONE, 0.9, OTHER)], {(DRONE, NONE): 1, (NONE, DRONE): 1}, id="elsewhere"),
        pytest.param([(7, BOX)], [(DRONE, 0.29, BOX)], {(DRONE, NONE): 1}, id="below-the-score"),
        pytest.param([(7, BOX)], [(DRONE, 0.3, BOX)], {(DRONE, DRONE): 1}, id="at-the-score"),
        pytest.param(
            [(7, BOX)],
            [(DRONE, 0.4, BOX), (BIRD, 0.5, BOX)],
            {(DRONE, BIRD): 1, (NONE, DRONE): 1},
            id="best-score-counts",
        ),
        pytest.param(
            [(7, BOX), (3, OTHER)],
            [(DRONE, 0.4, OTHER), (DRONE, 0.5, BOX)],
            {(DRONE, DRONE): 1, (BIRD, DRONE): 1},
            id="two",
        ),
    ],
)
def test_exact_cases(
    tmp_path: Path,
    objects: list[tuple[int, Box]],
    detections: list[tuple[int, float, Box]],
    cells: dict[tuple[int, int], int],
) -> None:
    matrix = confusion_matrix(make_split(tmp_path, [objects]), {1: found(*detections)})
    expected = np.zeros((4, 4), int)
    for cell, count in cells.items():
        expected[cell] = count
    np.testing.assert_array_equal(matrix.counts, expected)
    assert matrix.row_names == ("bird", "drone", "plane", "background")
    assert matrix.column_names == ("bird", "drone", "plane", "missed")


def test_iou_threshold(tmp_path: Path) -> None:
    """A box of 8 pixels that is 3 off has IoU 40/88 = 0.45."""
    split, detections = make_split(tmp_path, [[(7, (50, 50, 8, 8))]]), {1: found((DRONE, 0.9, (53, 50, 8, 8)))}
    assert confusion_matrix(split, detections).counts[DRONE].tolist() == [0, 0, 0, 1]
    assert confusion_matrix(split, detections, iou_threshold=0.45).counts[DRONE].tolist() == [0, 1, 0, 0]


def test_crowds_are_neither_missed_nor_invented(tmp_path: Path) -> None:
    split = make_split(tmp_path, [[(7, (0, 0, 200, 200))]], iscrowd=1)
    assert confusion_matrix(split, {1: found((DRONE, 0.9, BOX))}).counts.sum() == 0


def test_rows_sum_to_the_objects_and_columns_to_the_detections(tmp_path: Path) -> None:
    split, detections = random_case(tmp_path, 0)
    counts = confusion_matrix(split, detections, score_threshold=0.25).counts
    objects = np.concatenate([image.labels for image in split.images])
    labels = np.concatenate([of_image.labels[of_image.scores >= 0.25] for of_image in detections.values()])
    np.testing.assert_array_equal(counts[:-1].sum(axis=1), np.bincount(objects, minlength=3))
    np.testing.assert_array_equal(counts[:, :-1].sum(axis=0), np.bincount(labels, minlength=3))
    assert np.trace(counts) > 10
    assert counts[-1, -1] == 0
