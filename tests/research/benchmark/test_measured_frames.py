"""Frames from each source that a user may name."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from yolox_gssam.common.errors import UserError
from yolox_gssam.data.synthetic import render_scene, write_clip
from yolox_gssam.research.benchmark.measured_frames import load_frames


def test_the_test_part_of_a_data_set_evenly(tiny_dataset: Path) -> None:
    images, what = load_frames(tiny_dataset, 2)
    expected = [cv2.imread(str(tiny_dataset / "images" / f"test_{number}.jpg")) for number in (0, 2)]
    np.testing.assert_array_equal(images, expected)
    assert what == f"2 of the 4 test images of {tiny_dataset}"


def test_a_folder_an_image_and_a_video(tiny_dataset: Path, tmp_path: Path) -> None:
    images, what = load_frames(tiny_dataset / "images", 100)
    assert len(images) == 20
    assert "20 of the 20 images" in what
    assert len(load_frames(tiny_dataset / "images" / "val_0.jpg", 100)[0]) == 1
    write_clip(tmp_path / "clip.mp4", 0, (64, 96), 5)
    images, what = load_frames(tmp_path / "clip.mp4", 3)
    assert [image.shape for image in images] == [(64, 96, 3)] * 3
    assert what == f"the first 3 frames of {tmp_path}/clip.mp4"


def test_drawn_where_nothing_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    images, what = load_frames(None, 2)
    assert what == "2 drawn pictures of 640 x 512 pixels"
    np.testing.assert_array_equal(images[1], render_scene(0, 1, (512, 640))[0])


@pytest.mark.parametrize(
    ("name", "message"), [("no", "no such data set"), ("empty", "no images"), ("text.mp4", "text.mp4")]
)
def test_nothing_to_read(name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(UserError, match=message):
        load_frames(tmp_path / name, 3)
