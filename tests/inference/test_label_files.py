"""The way back: what is written for other tools is read again by the import, on drawn films and pictures."""

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn_films import SIZE_WH, box_of, draw, write_film

from yolox_gssam.data.faults import raise_fatal
from yolox_gssam.data.formats.coco import read_coco_set
from yolox_gssam.data.formats.samples import LabelledSet
from yolox_gssam.data.formats.video import read_clips
from yolox_gssam.data.formats.voc import read_voc_set
from yolox_gssam.data.formats.yolo import read_yolo_set
from yolox_gssam.detections import Detections
from yolox_gssam.inference.label_files import CONVENTIONS, LabelledFrame, label_path, write_labels

NAMES = ("bird & co", "drone")
COUNT = 12
SHOWN = (2, 3, 4, 7, 8)


def found(boxes: Sequence[Sequence[float]], label: int = 1) -> Detections:
    corners = np.array([[x, y, x + w, y + h] for x, y, w, h in boxes], np.float32).reshape(-1, 4)
    return Detections(corners, np.full(len(boxes), 0.75, np.float32), np.full(len(boxes), label, np.int64))


@pytest.mark.parametrize("kind", ["cvat", "labelstudio"])
@pytest.mark.parametrize("tracks", [[5], None], ids=["tracks", "no tracks"])
def test_films_come_back_frame_for_frame(tmp_path: Path, kind: str, tracks: list[int] | None) -> None:
    write_film(tmp_path / "clip.mp4", COUNT)
    frames = []
    for frame in range(COUNT):
        boxes = [box_of(frame)] if frame in SHOWN else []
        frames.append(LabelledFrame("clip.mp4", frame, SIZE_WH, found(boxes), tracks if boxes else None))
    write_labels(kind, label_path(tmp_path, "clip", kind), frames, NAMES, fps=25)
    (clip,) = read_clips(tmp_path, raise_fatal)
    scale = [*SIZE_WH, *SIZE_WH] if clip.labels.fractions else [1, 1, 1, 1]
    assert sorted(box.frame for box in clip.labels.boxes) == list(SHOWN)
    assert list(clip.frames) == list(range(COUNT))
    for box in clip.labels.boxes:
        np.testing.assert_allclose(np.array(box.box) * scale, box_of(box.frame), atol=1e-3)
        assert box.name == "drone"
    assert len({box.track for box in clip.labels.boxes}) == (1 if tracks else len(SHOWN))


@pytest.mark.parametrize("kind", ["cvat", "labelstudio"])
def test_a_track_is_of_the_class_that_most_of_its_scores_are_for(tmp_path: Path, kind: str) -> None:
    write_film(tmp_path / "clip.mp4", COUNT)
    frames = [
        LabelledFrame("clip.mp4", frame, SIZE_WH, found([box_of(frame)], label=frame in SHOWN), [3])
        for frame in range(COUNT)
    ]
    write_labels(kind, label_path(tmp_path, "clip", kind), frames, NAMES, fps=25)
    (clip,) = read_clips(tmp_path, raise_fatal)
    assert [box.name for box in clip.labels.boxes] == ["bird & co"] * COUNT
    assert len({box.track for box in clip.labels.boxes}) == 1


def read_back(kind: str, root: Path) -> LabelledSet:
    if kind == "coco":
        return read_coco_set([label_path(root, "set", kind)], [root / "images"], report=raise_fatal)
    folder = label_path(root, "set", kind)
    (root / "images").rename(folder / "images")
    if kind == "voc":
        return read_voc_set(folder, report=raise_fatal, classes=NAMES, coordinates="auto")
    return read_yolo_set(folder, report=raise_fatal)


@pytest.mark.parametrize("kind", ["coco", "yolo", "voc"])
@pytest.mark.parametrize("index", [None, 3], ids=["images", "frames"])
def test_pictures_come_back_box_for_box(tmp_path: Path, kind: str, index: int | None) -> None:
    suffix = ".jpg" if index is None else ".mp4"
    boxes = [(3.5, 4.25, 10, 6.125), (0, 0, 5, 5)]
    frames = [
        LabelledFrame(f"a{suffix}", index, SIZE_WH, found(boxes)),
        LabelledFrame(f"b{suffix}", index, SIZE_WH, found([], 0)),
    ]
    (tmp_path / "images").mkdir()
    for frame in frames:
        cv2.imwrite(str(tmp_path / "images" / frame.name), draw(0))
    write_labels(kind, label_path(tmp_path, "set", kind), frames, NAMES)
    labelled = read_back(kind, tmp_path)
    assert labelled.classes == NAMES
    assert [sample.file_name for sample in labelled.samples] == [frame.name for frame in frames]
    first, second = labelled.samples
    scale = [*SIZE_WH, *SIZE_WH] if first.fractions else [1, 1, 1, 1]
    np.testing.assert_allclose(first.boxes_xywh * scale, boxes, atol=2e-3)
    assert (first.labels, list(second.labels)) == ([1, 1], [])


def test_boxes_are_cut_to_the_image_and_those_outside_left_out(tmp_path: Path) -> None:
    frame = LabelledFrame("a.jpg", None, SIZE_WH, found([(-4, -4, 10, 10), (500, 3, 4, 4)]), [7, 8])
    write_labels("coco", tmp_path / "a.json", [frame], NAMES)
    (annotation,) = json.loads((tmp_path / "a.json").read_text())["annotations"]
    assert (annotation["bbox"], annotation["track_id"], annotation["score"]) == ([0, 0, 6, 6], 7, 0.75)


def test_pictures_for_cvat_and_label_studio(tmp_path: Path) -> None:
    """By their documentation: neither is read here."""
    for kind in ("cvat", "labelstudio"):
        frame = LabelledFrame("a.jpg", None, SIZE_WH, found([(16, 24, 8, 12)]))
        write_labels(kind, label_path(tmp_path, "set", kind), [frame], NAMES)
    text = (tmp_path / "set_labels.xml").read_text()
    assert '<image id="0" name="a.jpg" width="160" height="96">' in text
    assert 'xtl="16.000" ytl="24.000" xbr="24.000" ybr="36.000"' in text
    (task,) = json.loads((tmp_path / "set_labels.json").read_text())
    value = task["predictions"][0]["result"][0]["value"]
    assert value == {"x": 10, "y": 25, "width": 5, "height": 12.5, "rotation": 0, "rectanglelabels": ["drone"]}


def test_unknown_kinds() -> None:
    with pytest.raises(ValueError, match="labels are written as cvat, yolo, coco, labelstudio, voc, not as 'csv'"):
        label_path(Path("a"), "set", "csv")
    assert len(CONVENTIONS) == 5
