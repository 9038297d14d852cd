"""The value type for boxes on an image."""

import json
import sys
from types import ModuleType

import numpy as np
import pytest

from yolox_gssam.common.errors import UserError
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


TWO = Detections(
    np.array([[10.25, 20.5, 22.75, 30.125], [-3, 5, 4.5, 9]]),
    np.array([0.875, 0.3]),
    np.array([1, 0]),
    ("bird", "drone"),
)


def test_names_are_those_of_the_labels_or_their_numbers() -> None:
    assert TWO.names == ["drone", "bird"]
    assert TWO.above(0.5).names == ["drone"]
    assert Detections(TWO.boxes_xyxy, TWO.scores, TWO.labels, ("bird",)).names == ["1", "bird"]
    assert Detections.empty(("bird",)).names == []


def test_as_dicts() -> None:
    drone = {"class": "drone", "score": 0.875, "x": 10.25, "y": 20.5, "width": 12.5, "height": 9.625}
    bird = {"class": "bird", "score": 0.3, "x": -3.0, "y": 5.0, "width": 7.5, "height": 4.0}
    assert TWO.to_dicts() == [drone, bird]
    assert Detections.empty().to_dicts() == []


@pytest.mark.parametrize(("category_ids", "expected"), [(None, [2, 1]), ([7, 3], [3, 7])])
def test_as_coco_results(category_ids: list[int] | None, expected: list[int]) -> None:
    rows = TWO.to_coco(5, category_ids)
    assert [row["category_id"] for row in rows] == expected
    assert rows[0]["bbox"] == [10.25, 20.5, 12.5, 9.625]
    assert rows[0]["image_id"] == 5
    assert rows[0]["score"] == 0.875
    assert json.loads(json.dumps(rows)) == rows


def test_as_supervision(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = ModuleType("supervision")
    stand_in.Detections = lambda **fields: fields  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "supervision", stand_in)
    fields = TWO.to_supervision()
    np.testing.assert_array_equal(fields["xyxy"], TWO.boxes_xyxy)
    np.testing.assert_array_equal(fields["confidence"], TWO.scores)
    np.testing.assert_array_equal(fields["class_id"], [1, 0])
    assert fields["data"]["class_name"].tolist() == ["drone", "bird"]
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(UserError, match="pip install supervision"):
        TWO.to_supervision()
