"""Clips: what moves, how far, and what a player reads back."""

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from yolox_gssam.common.errors import UserError
from yolox_gssam.data.synthetic import render_clip, write_clip

SIZE_HW = (160, 240)


def test_frames_are_the_same_again_and_move_smoothly() -> None:
    clip, again = (list(render_clip(4, SIZE_HW, 20)) for _ in range(2))
    assert len(clip) == 20
    for one, two in zip(clip, again, strict=True):
        np.testing.assert_array_equal(one, two)
    steps = [np.abs(one.astype(int) - two).mean() for one, two in pairwise(clip)]
    assert min(steps) > 0
    assert np.abs(clip[0].astype(int) - clip[-1]).mean() > 1.2 * np.median(steps)


def test_another_seed_is_another_clip() -> None:
    first, second = (next(render_clip(seed, SIZE_HW, 10)) for seed in (0, 1))
    assert (first != second).any()


def test_a_player_reads_every_frame_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "clip.mp4"
    write_clip(path, 0, SIZE_HW, 12)
    assert [entry.name for entry in path.parent.iterdir()] == ["clip.mp4"]
    player = cv2.VideoCapture(str(path))
    for expected in render_clip(0, SIZE_HW, 12):
        read, frame = player.read()
        assert read
        assert frame.shape == (*SIZE_HW, 3)
        assert np.abs(frame.astype(int) - expected).mean() < 6  # the codec's own losses
    assert not player.read()[0]


@pytest.mark.parametrize(
    ("name", "size_hw"),
    [pytest.param("clip.nothing", SIZE_HW, id="unknown ending"), pytest.param("clip.mp4", (32, 240), id="too small")],
)
def test_a_failure_leaves_nothing(tmp_path: Path, name: str, size_hw: tuple[int, int]) -> None:
    with pytest.raises(UserError):
        write_clip(tmp_path / name, 0, size_hw, 5)
    assert not list(tmp_path.iterdir())
