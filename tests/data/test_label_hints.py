"""Drawn sets whose labels are moved aside, or to the frame before or after."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from yolox_gssam.data.coco_reader import CocoSplit, parse_coco
from yolox_gssam.data.faults import raise_fatal
from yolox_gssam.data.label_hints import label_hints


def make(root: Path, shift: tuple[float, float] = (0, 0), late: int = 0, step: int = 2) -> CocoSplit:
    """Frames of a film in which a square moves by `step` pixels; labels moved aside and by so many frames."""
    (root / "images").mkdir(parents=True)
    images, annotations = [], []
    rng = np.random.default_rng(0)
    for frame in range(50):
        pixels = rng.normal(80, 2, (60, 200, 3))
        left, top = 20 + step * frame, 20 + frame % 4
        pixels[top : top + 6, left : left + 8] = 200
        name = f"clip_{frame:06d}.png"
        cv2.imwrite(str(root / "images" / name), pixels.clip(0, 255).astype(np.uint8))
        images.append({"id": frame + 1, "file_name": name, "width": 200, "height": 60, "group": "clip"})
        labelled = frame - late
        box = [20 + step * labelled + shift[0], 20 + labelled % 4 + shift[1], 8, 6]
        annotations.append({"id": frame + 1, "image_id": frame + 1, "category_id": 1, "bbox": box, "iscrowd": 0})
    document = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "drone"}]}
    path = root / "train.json"
    path.write_text(json.dumps(document))
    return parse_coco(document, path, root / "images", raise_fatal)


def test_right_labels_give_no_hint(tmp_path: Path) -> None:
    assert label_hints([make(tmp_path)]) == []


@pytest.mark.parametrize(
    ("shift", "words"),
    [
        ((1, 1), "labels lie 1.0 px right and 1.0 px below of their objects in 50 of 50"),
        ((-1, 0), "labels lie 1.0 px left of their objects"),
        ((0, -1.5), "labels lie 1.5 px above of their objects"),
    ],
)
def test_labels_aside(tmp_path: Path, shift: tuple[float, float], words: str) -> None:
    hints = label_hints([make(tmp_path, shift, step=0)])
    assert words in hints[0]  # a square that moves to and fro may look like one of another frame besides


@pytest.mark.parametrize(("late", "word"), [(1, "late"), (-1, "early")])
def test_labels_a_frame_early_or_late(tmp_path: Path, late: int, word: str) -> None:
    assert any(f"labels come a frame {word}" in hint for hint in label_hints([make(tmp_path, late=late)]))


def test_larger_boxes_give_no_hint(tmp_path: Path) -> None:
    split = make(tmp_path, step=0)
    for image in split.images:
        image.boxes_xyxy[:] += [-2, -2, 2, 2]
    assert label_hints([split]) == []
