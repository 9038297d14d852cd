"""COCO files of any content: a right split, or one line."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzzing import NAMES, VALUES, altered, attempt, damaged, fuzz
from hypothesis import given
from hypothesis import strategies as st

from yolox_gssam.data.coco_reader import CocoSplit, load_split, parse_coco, read_json
from yolox_gssam.data.faults import Fault
from yolox_gssam.data.formats.coco import read_coco_set
from yolox_gssam.data.paths import is_inside, name_fault

DOCUMENT: dict[str, Any] = {
    "images": [
        {"id": 10, "file_name": "a.jpg", "width": 100, "height": 50, "group": "clip 1"},
        {"id": 3, "file_name": "sub/b.jpg", "width": 64, "height": 64},
    ],
    "annotations": [
        {"id": 1, "image_id": 10, "category_id": 90, "bbox": [1, 2, 10, 5], "area": 50, "iscrowd": 0},
        {"id": 2, "image_id": 10, "category_id": 7, "bbox": [90.5, 40, 20, 5.5], "area": 110},
        {"id": 5, "image_id": 3, "category_id": 7, "bbox": [0, 0, 50, 50], "area": 2500, "iscrowd": 1},
    ],
    "categories": [{"id": 90, "name": "drone"}, {"id": 7, "name": "bird"}],
}
TEXT = json.dumps(DOCUMENT).encode()


def assert_right(split: CocoSplit) -> None:
    """Whatever the file said: boxes inside their images, labels among the classes, text that a file can hold."""
    assert len(split.classes) == len(split.category_ids) > 0
    "".join(split.classes).encode()
    for image in split.images:
        assert name_fault(image.file_name) is None
        assert type(image.width) is type(image.height) is int
        (image.group or "").encode()
        for boxes, labels in (
            (image.boxes_xyxy, image.labels),
            (image.crowd_xyxy, image.crowd_labels),
        ):
            assert boxes.shape == (len(labels), 4)
            assert boxes.dtype == np.float64
            assert np.isfinite(boxes).all()
            assert (boxes >= 0).all()
            assert (boxes <= [image.width, image.height] * 2).all()
            assert (boxes[:, :2] < boxes[:, 2:]).all()
            assert ((labels >= 0) & (labels < len(split.classes))).all()


@fuzz(600)
@given(document=st.one_of(altered(DOCUMENT), VALUES))
def test_documents(document: Any) -> None:
    faults: list[Fault] = []
    split = attempt(lambda: parse_coco(document, Path("a\nb.json"), Path("images"), faults.append))
    assert all(str(fault).isprintable() for fault in faults)
    if split is not None and not any(fault.fatal for fault in faults):
        assert_right(split)


@fuzz(300)
@given(data=st.one_of(damaged(TEXT), st.binary(max_size=50), altered(DOCUMENT).map(lambda d: json.dumps(d).encode())))
def test_files(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "train.json"
    path.write_bytes(data)
    split = attempt(lambda: load_split(path, tmp_path / "images"))
    if split is not None:
        assert_right(split)


@fuzz(150)
@given(document=altered(DOCUMENT), field=NAMES)
def test_imported_sets(tmp_path: Path, document: Any, field: str) -> None:
    path = tmp_path / "train.json"
    path.write_text(json.dumps(document))
    faults: list[Fault] = []
    labelled = attempt(lambda: read_coco_set([path], report=faults.append, group_field=field))
    assert all(str(fault).isprintable() for fault in faults)
    if labelled is not None and not any(fault.fatal for fault in faults):
        assert all(is_inside(sample.path, tmp_path) for sample in labelled.samples)
        assert all(np.isfinite(sample.boxes_xywh).all() for sample in labelled.samples)


@pytest.mark.parametrize("depth", [500, 900, 960, 980, 990, 1000, 100_000])
@pytest.mark.parametrize("field", ["info", "group", "file_name", "id", "bbox"])
@pytest.mark.parametrize("brackets", [("[", "]"), ('{"a":', "}")], ids=["lists", "objects"])
def test_nested_to_any_depth(tmp_path: Path, depth: int, field: str, brackets: tuple[str, str]) -> None:
    nested = brackets[0] * depth + "1" + brackets[1] * depth
    image = '{"id": 1, "file_name": "a.jpg", "width": 10, "height": 10'
    path = tmp_path / "train.json"
    path.write_text(f'{{"images": [{image}, "{field}": {nested}}}], "annotations": [], "categories": [{{"id": 1}}]}}')
    document = attempt(lambda: read_json(path))
    if document is not None:
        attempt(lambda: parse_coco(document, path, tmp_path, lambda fault: None))
