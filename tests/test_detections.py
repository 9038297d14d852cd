"""The value type for boxes on an image."""

import numpy as np
import pytest

from yolox_gssam.detections import Detections


def test_types_and_length() -> None:
    found = Detections([[1, 2, 3, 4]], [0.5], [2])
    assert (found.boxes_xyxy.dtype, found.scores.dtype, found.labels.dtype) == (np.float32, np.float32, np.int64)
    assert len(found) == 1


def test_empty() -> None:
    found = Detections.empty()
    assert len(found) == 0
    assert found.boxes_xyxy.shape == (0, 4)


def test_above_keeps_the_threshold_itself() -> None:
    found = Detections(np.zeros((3, 4)), [0.2, 0.5, 0.9], [0, 1, 2]).above(0.5)
    np.testing.assert_array_equal(found.labels, [1, 2])


@pytest.mark.parametrize(
    ("boxes", "scores", "labels", "message"),
    [
        pytest.param([[0, 0, 1, 1]], [0.5, 0.5], [0], "differ in length: 1, 2, 1", id="lengths"),
        pytest.param([[0, 0, np.nan, 1]], [0.5], [0], "finite", id="nan"),
        pytest.param([[0, 0, 1, 1]], [np.inf], [0], "finite", id="infinite score"),
        pytest.param([[2, 0, 1, 1]], [0.5], [0], "x1 <= x2", id="turned"),
        pytest.param([[0, 0, 1, 1]], [1.5], [0], "scores", id="score over 1"),
        pytest.param([[0, 0, 1, 1]], [0.5], [-1], "labels", id="negative label"),
    ],
)
def test_faults(boxes: list, scores: list, labels: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Detections(boxes, scores, labels)


def test_frozen() -> None:
    with pytest.raises(AttributeError):
        Detections.empty().scores = np.ones(1)
