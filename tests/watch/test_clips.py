"""Clips: which pictures they hold, and that OpenCV's reader sees them."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from yolox_gssam.watch.clips import Clip, ClipMaker, encode, read_avi, write_avi


def grey(value: int, size_hw: tuple[int, int] = (48, 64)) -> NDArray[np.uint8]:
    return np.full((*size_hw, 3), value, np.uint8)


def run(maker: ClipMaker, rate: float, alarm_at: int, frames: int) -> list[Clip]:
    clips = []
    for frame in range(frames):
        clips += maker.add(grey(frame % 200), frame / rate)
        if frame == alarm_at:
            maker.begin("one", frame / rate)
    return clips


@pytest.mark.parametrize("rate", [10, 5])
def test_from_five_seconds_before_to_five_after(rate: int) -> None:
    (clip,) = run(ClipMaker(), rate, 12 * rate, 20 * rate)
    assert [picture.time_s for picture in clip.pictures] == [frame / rate for frame in range(7 * rate, 17 * rate + 1)]


def test_fast_sources_are_thinned_and_early_alarms_have_what_there_is() -> None:
    (clip,) = run(ClipMaker(rate=10), 100, 50, 900)
    times = np.array([picture.time_s for picture in clip.pictures])
    assert times[0] == 0
    assert times[-1] == pytest.approx(5.5, abs=0.1)
    assert np.diff(times) == pytest.approx(0.1, abs=0.011)


def test_memory_is_bounded() -> None:
    rng = np.random.default_rng(0)
    maker = ClipMaker(max_bytes=100_000, max_pending=2)
    for frame in range(200):
        maker.add(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8), frame / 10)
        maker.begin(str(frame), frame / 10)
        assert maker._bytes == sum(len(picture.data) for picture in maker._ring) <= 100_000
        assert len(maker._pending) <= 2
    assert len(maker.finish_all()) == 2
    assert maker.finish_all() == []


def test_frames_of_another_size_are_left_out() -> None:
    maker = ClipMaker()
    for frame in range(30):
        maker.add(grey(9, (48, 64) if frame < 20 else (64, 64)), frame / 10)
        if frame == 5:
            maker.begin("one", frame / 10)
    (clip,) = maker.finish_all()
    assert [picture.size_wh for picture in clip.pictures] == [(64, 48)] * 20


def test_a_source_that_begins_again_in_time_goes_on() -> None:
    maker = ClipMaker()
    maker.add(grey(1), 100.0)
    maker.add(grey(2), 1.0)
    assert maker.latest is not None
    assert maker.latest.time_s == 1.0


@pytest.mark.parametrize("frames", [1, 2, 25])
def test_opencv_reads_what_is_written(tmp_path: Path, frames: int) -> None:
    pictures = [encode(grey(10 * frame, (47, 64)), 1000, frame / 8) for frame in range(frames)]
    path = tmp_path / "clip.avi"
    write_avi(path, pictures)
    assert list(read_avi(path)) == [picture.data for picture in pictures]
    video = cv2.VideoCapture(str(path))
    seen = []
    while (read := video.read())[0]:
        seen.append(int(read[1].mean().round()))
    assert seen == pytest.approx([10 * frame for frame in range(frames)], abs=2)
    assert (video.get(cv2.CAP_PROP_FRAME_WIDTH), video.get(cv2.CAP_PROP_FRAME_HEIGHT)) == (64, 47)
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == frames
    assert video.get(cv2.CAP_PROP_FPS) == pytest.approx(8 if frames > 1 else 10)


def test_large_frames_are_reduced() -> None:
    assert encode(grey(1, (1000, 500)), 200, 0.0).size_wh == (100, 200)
