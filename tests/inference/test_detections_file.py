import json
from pathlib import Path

import numpy as np
import pytest

from yolox_gssam.detections import Detections
from yolox_gssam.inference.detections_file import open_detections_file
from yolox_gssam.inference.frames import Frame

NAMES = ("bird", "дрон, klein")
IMAGE = np.zeros((512, 640, 3), np.uint8)
TWO = Detections(
    np.array([[10.25, 20.5, 22.75, 30.125], [-3.0, 5.0, 4.5, 9.0]], np.float32),
    np.array([0.875, 0.3], np.float32),
    np.array([1, 0]),
    NAMES,
)


def export(path: Path) -> str:
    with open_detections_file(path, NAMES) as write:
        write(Frame(IMAGE, "clip.mp4", 0, 0.0), TWO)
        write(Frame(IMAGE, "clip.mp4", 1, 1 / 30), Detections.empty())
        write(Frame(IMAGE, "a,b.jpg"), TWO.above(0.5))
    return path.read_text(encoding="utf-8")


def test_csv_to_the_letter(tmp_path: Path) -> None:
    assert export(tmp_path / "found.csv") == (
        "source,frame,time_s,class,score,x,y,width,height\n"
        'clip.mp4,0,0.0,"дрон, klein",0.875,10.25,20.5,12.5,9.625\n'
        "clip.mp4,0,0.0,bird,0.3,-3.0,5.0,7.5,4.0\n"
        '"a,b.jpg",0,,"дрон, klein",0.875,10.25,20.5,12.5,9.625\n'
    )


def test_json_holds_every_frame(tmp_path: Path) -> None:
    document = json.loads(export(tmp_path / "found.json"))
    drone = {"class": "дрон, klein", "score": 0.875, "x": 10.25, "y": 20.5, "width": 12.5, "height": 9.625}
    bird = {"class": "bird", "score": 0.3, "x": -3.0, "y": 5.0, "width": 7.5, "height": 4.0}
    size = {"width": 640, "height": 512}
    assert document == {
        "class_names": list(NAMES),
        "frames": [
            {"source": "clip.mp4", "frame": 0, "time_s": 0.0, **size, "detections": [drone, bird]},
            {"source": "clip.mp4", "frame": 1, "time_s": 0.033, **size, "detections": []},
            {"source": "a,b.jpg", "frame": 0, "time_s": None, **size, "detections": [drone]},
        ],
    }


def test_json_without_any_frame_is_valid(tmp_path: Path) -> None:
    with open_detections_file(tmp_path / "found.json", NAMES):
        pass
    assert json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))["frames"] == []


def test_an_error_leaves_no_half_file(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), open_detections_file(tmp_path / "found.csv", NAMES) as write:
        write(Frame(IMAGE, "clip.mp4"), TWO)
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_another_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"found\.xml"), open_detections_file(tmp_path / "found.xml", NAMES):
        pass
