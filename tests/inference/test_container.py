import struct
from pathlib import Path

import pytest
from videos import add_sound_track, decode, index_first, make_video

from yolox_gssam.inference.container import Container, read_container
from yolox_gssam.inference.video_io import VideoReader

TRIMMED = Path(__file__).parents[3] / "shared" / "faults" / "video-trimmed" / "trimmed.mp4"


def trim(path: Path, first: int, frames: int) -> None:
    """Lets an mp4 of 25 frames/s show a part of its frames only, as a cut without re-encoding does."""
    data = bytearray(path.read_bytes())
    movie = data.index(b"mvhd")
    (movie_ticks,) = struct.unpack_from(">I", data, movie + 16)
    (ticks,) = struct.unpack_from(">I", data, data.index(b"mdhd") + 16)
    edit = data.index(b"elst") + 12
    struct.pack_into(">Ii", data, edit, frames * movie_ticks // 25, first * ticks // 25)
    path.write_bytes(data)


@pytest.mark.parametrize(("first", "frames"), [(0, 10), (12, 20), (24, 16), (0, 40)])
def test_a_trimmed_mp4_is_whole(tmp_path: Path, first: int, frames: int) -> None:
    path = make_video(tmp_path / "a.mp4", "mp4v", 25)
    trim(path, first, frames)
    images, _ = decode(path)
    assert len(images) == frames
    assert read_container(path) == Container(shown_frames=frames, sound=False)
    with VideoReader(str(path)) as reader:
        assert len(list(reader.frames())) == reader.claimed_frames == frames
        assert not reader.is_damaged()


def test_a_trimmed_mp4_that_is_cut_off_is_not(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", "mp4v", 25)
    trim(path, 0, 30)
    data = index_first(path.read_bytes())
    path.write_bytes(data[: int(len(data) * 0.7)])
    with VideoReader(str(path)) as reader:
        assert len(list(reader.frames())) < reader.claimed_frames == 30
        assert reader.is_damaged()


def test_the_reported_file() -> None:
    if not TRIMMED.exists():
        pytest.skip("the reported file is not here")
    with VideoReader(str(TRIMMED)) as reader:
        assert len(list(reader.frames())) == 20
        assert not reader.is_damaged()


@pytest.mark.parametrize(
    ("name", "codec"), [("a.avi", "MJPG"), ("a.avi", "XVID"), ("a.mkv", "MJPG"), ("a.webm", "VP80")]
)
@pytest.mark.parametrize("share", [1.0, 0.6])
def test_only_what_is_cut_off_is_damaged(tmp_path: Path, name: str, codec: str, share: float) -> None:
    path = make_video(tmp_path / name, codec, 25)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    assert read_container(path).cut_off == (share < 1)
    with VideoReader(str(path)) as reader:
        assert (len(list(reader.frames())) == 40) == (share == 1)
        assert reader.is_damaged() == (share < 1)


def test_an_avi_that_repeats_frames_is_whole(tmp_path: Path) -> None:
    """Capture programs write a frame without content where nothing new came; decoders leave it out."""
    path = make_video(tmp_path / "a.avi", "MJPG", 25)
    data = bytearray(path.read_bytes())
    index = data.rindex(b"idx1") + 8
    for number in (7, 8, 20):
        entry = index + 16 * number
        (offset,) = struct.unpack_from("<I", data, entry + 8)
        chunk = data.index(b"movi") + offset
        assert data[chunk : chunk + 4] == b"00dc"
        struct.pack_into("<I", data, entry + 12, 0)
    path.write_bytes(data)
    assert read_container(path).shown_frames == 37


def test_a_rate_that_varies_is_no_damage(tmp_path: Path) -> None:
    """Of an mkv OpenCV reckons the frames from its duration: here 44, as with sound that goes on behind the last."""
    path = make_video(tmp_path / "a.mkv", "MJPG", 25)
    with VideoReader(str(path)) as reader:
        reader.claimed_frames = 44
        assert len(list(reader.frames())) == 40
        assert not reader.is_damaged()


def test_sound_is_found(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", "mp4v", 25)
    assert read_container(path).sound is False
    add_sound_track(path)
    assert read_container(path) == Container(shown_frames=40, sound=True)


@pytest.mark.parametrize(
    "content", [b"", b"text " * 9, b"RIFF\xff\xff\xff\xffAVI ", b"\0\0\0\x08moov" * 3, bytes(4) + b"ftyp"]
)
def test_of_other_files_nothing_is_known(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    assert read_container(tmp_path / "a").shown_frames is None
