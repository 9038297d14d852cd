"""Detections from elsewhere: read as written, and refused with the entry that is wrong."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluation.cases import make_split, random_case

from yolox_gssam.common.errors import UserError
from yolox_gssam.evaluation.coco_metrics import coco_results, evaluate_coco
from yolox_gssam.evaluation.results_file import read_results

GOOD = {"image_id": 1, "category_id": 7, "bbox": [1, 2.5, 3, 0], "score": 1}


def test_what_was_written_is_read(tmp_path: Path) -> None:
    split, detections = random_case(tmp_path, 0)
    path = tmp_path / "found.json"
    path.write_text(json.dumps(coco_results(split, detections)))
    again = read_results(path, split)
    for image_id, found in detections.items():
        if len(found):
            assert (again[image_id].labels == found.labels).all()
            assert (again[image_id].scores == found.scores).all()
            np.testing.assert_allclose(again[image_id].boxes_xyxy, found.boxes_xyxy, atol=1e-4)
    assert evaluate_coco(split, again) == evaluate_coco(split, detections)


def test_other_fields_whole_floats_and_many_are_fine(tmp_path: Path) -> None:
    split = make_split(tmp_path, [[], []])
    path = tmp_path / "found.json"
    path.write_text(json.dumps([{**GOOD, "image_id": 2.0, "category_id": 3.0, "segmentation": []}] * 300))
    found = read_results(path, split)
    assert list(found) == [2]
    assert (len(found[2]), found[2].labels[0]) == (300, 0)
    assert found[2].boxes_xyxy[0].tolist() == [1, 2.5, 4, 2.5]
    path.write_text("[]")
    assert read_results(path, split) == {}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        pytest.param({**GOOD, "image_id": 3}, "image_id 3 is not among the 2 images of", id="image"),
        pytest.param({**GOOD, "image_id": True}, "image_id True", id="image-truth-value"),
        pytest.param({**GOOD, "image_id": [1]}, r"image_id \[1\]", id="image-list"),
        pytest.param({**GOOD, "category_id": 1}, r"category_id 1 .*: 3 \(bird\), 7 \(drone\), 9", id="class"),
        pytest.param({**GOOD, "category_id": "drone"}, "category_id 'drone'", id="class-name"),
        pytest.param({**GOOD, "bbox": [1, 2, 3]}, "bbox must be four finite numbers", id="three"),
        pytest.param({**GOOD, "bbox": [1, 2, 3, float("nan")]}, "bbox must be four finite numbers", id="nan"),
        pytest.param({**GOOD, "bbox": [1, 2, 10**400, 3]}, "bbox must be four finite numbers", id="huge"),
        pytest.param({**GOOD, "bbox": "1 2 3 4"}, "bbox must be four finite numbers", id="text"),
        pytest.param({**GOOD, "bbox": [5, 5, -1, 3]}, "negative width or height", id="negative"),
        pytest.param({**GOOD, "score": float("inf")}, "score must be a finite number from 0 to 1, not inf", id="inf"),
        pytest.param({**GOOD, "score": float("nan")}, "score must be a finite number", id="score-nan"),
        pytest.param({**GOOD, "score": -0.1}, "score must be", id="score-below"),
        pytest.param({**GOOD, "score": None}, "score must be", id="score-none"),
        pytest.param({key: GOOD[key] for key in ("image_id", "category_id", "bbox")}, "score must be", id="no-score"),
        pytest.param([1, 2], "must be an object with image_id", id="list"),
    ],
)
def test_a_wrong_entry_is_named(tmp_path: Path, entry: Any, message: str) -> None:
    split = make_split(tmp_path, [[], []])
    path = tmp_path / "found.json"
    path.write_text(json.dumps([GOOD, entry]))
    with pytest.raises(UserError, match=f"found.json: detection number 1: .*{message}") as error:
        read_results(path, split)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(None, "no such file of detections", id="absent"),
        pytest.param("[{", "not a JSON file", id="not-json"),
        pytest.param('{"annotations": []}', "not in COCO's results format", id="annotation-file"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "found.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=f"^{tmp_path}/found.json: {message}"):
        read_results(path, make_split(tmp_path, [[]]))
