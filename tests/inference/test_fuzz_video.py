"""Video files of any content: frames in order of time, or one line."""

import itertools
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from fuzzing import attempt, damaged, fuzz, new_folder, spoil
from hypothesis import given
from hypothesis import strategies as st

from yolox_gssam.inference.video_io import VideoReader

LISTS = [
    b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nwhole.mp4\n",
    b"#EXTM3U\n#EXTINF:10,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n",
    b"ffconcat version 1.0\nfile whole.mp4\n",
    b"ffconcat version 1.0\nfile /etc/passwd\n",
    b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
    b"YUV4MPEG2 W60000 H60000 F25:1 C420\nFRAME\n",
    b"YUV4MPEG2 W16 H16 F25:1 C420\nFRAME\n",
    b"[playlist]\nFile1=whole.mp4\n",
]


def make_video(path: Path, codec: str) -> bytes:
    """The content of a clip of 12 small frames."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 25, (48, 32))
    for number in range(12):
        writer.write(np.full((32, 48, 3), 20 * number, np.uint8))
    writer.release()
    return path.read_bytes()


def check_video(path: Path) -> None:
    def read() -> list[tuple[int, float]]:
        with VideoReader(str(path)) as reader:
            assert reader.claimed_frames >= 0
            assert 0 < reader.fps < math.inf
            return [(frame.index, frame.time_s or 0.0) for frame in reader.frames()]

    frames = attempt(read) or []
    assert all(before < after for before, after in itertools.pairwise(frames))
    times = [time_s for _, time_s in frames]
    assert all(map(math.isfinite, times))
    assert times == sorted(times)


@pytest.mark.parametrize(
    ("suffix", "codec"), [("mp4", "mp4v"), ("avi", "MJPG"), ("mkv", "MJPG"), ("avi", "XVID"), ("mkv", "mp4v")]
)
def test_damaged_videos(tmp_path: Path, suffix: str, codec: str) -> None:
    path = tmp_path / f"a.{suffix}"
    whole = make_video(path, codec)
    check_video(path)

    @fuzz(120)
    @given(data=damaged(whole))
    def check(data: bytes) -> None:
        path.write_bytes(data)
        check_video(path)

    check()


@fuzz(100)
@given(
    data=st.one_of(st.binary(max_size=200), st.sampled_from(LISTS), st.sampled_from(LISTS).flatmap(damaged)),
    name=st.sampled_from(["a.mp4", "a.m3u8", "a.avi", "a.sdp", "a.txt", "a%03d.jpg", "a", "a\nb.mp4"]),
)
def test_junk_and_lists(tmp_path: Path, data: bytes, name: str) -> None:
    if not (tmp_path / "whole.mp4").exists():
        make_video(tmp_path / "whole.mp4", "mp4v")
    path = tmp_path / name
    path.write_bytes(data)
    check_video(path)


@fuzz(30)
@given(data=st.data())
def test_links_and_pipes(tmp_path: Path, data: st.DataObject) -> None:
    folder = new_folder(tmp_path / "set")
    (folder / "a.mp4").touch()
    spoil(data, folder)
    check_video(folder / "a.mp4")
