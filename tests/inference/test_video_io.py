import json
import struct
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
from videos import decode, grey_frame, index_first, make_video, mjpeg_stream, numbers_of

from yolox_gssam.common.errors import UserError
from yolox_gssam.inference import video_io
from yolox_gssam.inference.video_io import DEFAULT_FPS, VideoReader, open_video_writer, source_name

SVANSTROM = Path("../shared/data/svanstrom")


@pytest.mark.parametrize(
    ("name", "codec", "fps"),
    [
        pytest.param("a.mp4", "mp4v", 30.0, id="mp4"),
        pytest.param("a.avi", "MJPG", 12.5, id="avi"),
        pytest.param("a.mkv", "MJPG", 25.0, id="mkv"),
    ],
)
def test_reads_every_frame_in_order(tmp_path: Path, name: str, codec: str, fps: float) -> None:
    with VideoReader(str(make_video(tmp_path / name, codec, fps))) as reader:
        assert (reader.fps, reader.fps_known, reader.claimed_frames, reader.live) == (fps, True, 40, False)
        assert not reader.ended
        frames = list(reader.frames())
        assert reader.ended
    assert numbers_of([frame.image for frame in frames]) == list(range(40))
    assert [frame.index for frame in frames] == list(range(40))
    assert [frame.time_s for frame in frames] == pytest.approx([number / fps for number in range(40)], abs=1e-3)
    assert reader.decoded == 40
    assert frames[0].source == str(tmp_path / name)


def test_a_real_clip() -> None:
    if not SVANSTROM.exists():
        pytest.skip("the Svanström clips are not here")
    truth = json.loads((SVANSTROM / "labels.json").read_text())["V_DRONE_001"]
    with VideoReader(str(SVANSTROM / "Data/Video_V/V_DRONE_001.mp4")) as reader:
        assert reader.fps == 30
        count = 0
        for frame in reader.frames():
            assert frame.image.shape == (512, 640, 3)
            count += 1
    assert count == truth["frames"] == reader.claimed_frames


@pytest.mark.parametrize(
    ("name", "codec", "share"),
    [
        pytest.param("a.avi", "MJPG", 0.5, id="avi"),
        pytest.param("a.mkv", "MJPG", 0.5, id="mkv"),
        pytest.param("a.mp4", "mp4v", 0.7, id="mp4-index-first"),
    ],
)
def test_a_truncated_file_gives_what_is_left(tmp_path: Path, name: str, codec: str, share: float) -> None:
    data = make_video(tmp_path / name, codec, 25).read_bytes()
    data = index_first(data) if name.endswith("mp4") else data
    (tmp_path / name).write_bytes(data[: int(len(data) * share)])
    with VideoReader(str(tmp_path / name)) as reader:
        frames = list(reader.frames())
    assert 10 <= len(frames) < 40
    assert reader.claimed_frames == 40
    assert reader.decoded == len(frames)
    # The last one may be half a frame.
    assert numbers_of([frame.image for frame in frames])[:-1] == list(range(len(frames) - 1))


def test_frames_behind_a_damaged_stretch_still_come(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "a.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25, (96, 64))
    for _ in range(40):
        writer.write(rng.integers(0, 255, (64, 96, 3), dtype=np.uint8))
    writer.release()
    data = bytearray(path.read_bytes())
    third = len(data) // 3
    data[third : 2 * third] = bytes(third)
    path.write_bytes(data)
    with VideoReader(str(path)) as reader:
        indices = [frame.index for frame in reader.frames()]
    assert indices[0] == 0
    assert indices[-1] > 35
    assert 15 < len(indices) < 40


def test_a_turned_video_comes_upright(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", "mp4v", 25, frames=3)
    data = bytearray(path.read_bytes())
    matrix = data.find(b"tkhd") + 4 + 4 + 20 + 16
    data[matrix : matrix + 36] = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    with VideoReader(str(path)) as reader:
        assert [frame.image.shape for frame in reader.frames()] == [(96, 64, 3)] * 3


@pytest.mark.parametrize("fps", [0.0, float("nan"), 90000.0, -1.0])
def test_a_container_without_a_frame_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fps: float) -> None:
    path = make_video(tmp_path / "a.avi", "MJPG", 10, frames=4)
    real_capture = cv2.VideoCapture

    class Capture:
        def __init__(self, source: str) -> None:
            self.inner = real_capture(source)

        def get(self, key: int) -> float:
            said = {cv2.CAP_PROP_FPS: fps, cv2.CAP_PROP_POS_MSEC: 0.0}
            return said[key] if key in said else self.inner.get(key)

        def __getattr__(self, name: str) -> object:
            return getattr(self.inner, name)

    monkeypatch.setattr(cv2, "VideoCapture", Capture)
    with VideoReader(str(path)) as reader:
        assert (reader.fps, reader.fps_known) == (DEFAULT_FPS, False)
        times = [frame.time_s for frame in reader.frames()]
    assert len(times) == 4
    assert np.diff(times).min() > 0


@pytest.mark.parametrize(
    ("content", "message"), [(None, "no such video"), (b"", "not a video"), (b"text " * 99, "not a video")]
)
def test_no_video(tmp_path: Path, content: bytes | None, message: str, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        VideoReader(str(path))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\na.mp4\n", id="m3u8 that waits to grow"),
        pytest.param("ffconcat version 1.0\nfile a.mp4\n", id="ffconcat"),
    ],
)
def test_a_list_of_other_files_is_no_video(tmp_path: Path, text: str) -> None:
    make_video(tmp_path / "a.mp4", "mp4v", 25)
    (tmp_path / "b.m3u8").write_text(text)
    with pytest.raises(UserError, match="a playlist, not a video"):
        VideoReader(str(tmp_path / "b.m3u8"))


def test_frames_too_large_to_decode(tmp_path: Path) -> None:
    path = tmp_path / "a.y4m"
    path.write_bytes(b"YUV4MPEG2 W16000 H16000 F25:1 C420\nFRAME\n" + bytes(1000))
    with pytest.raises(UserError, match=r"a\.y4m: claims frames of 16000 x 16000 pixels"):
        VideoReader(str(path))


def test_an_mp4_cut_off_before_its_index_says_so(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", "mp4v", 25)
    path.write_bytes(path.read_bytes()[:-900])
    with pytest.raises(UserError, match="index at the end is missing"):
        VideoReader(str(path))


def test_opencv_is_as_loud_as_before_when_threads_read_and_write_at_a_time(tmp_path: Path) -> None:
    logging = cv2.utils.logging
    path = make_video(tmp_path / "a.avi", "MJPG", 25.0)
    before = logging.getLogLevel()
    assert before != logging.LOG_LEVEL_SILENT
    both_inside, one_left = threading.Barrier(2), threading.Event()

    def stay_longer() -> None:
        with video_io._quiet_opencv:
            both_inside.wait(10)
            one_left.wait(10)

    thread = threading.Thread(target=stay_longer)
    thread.start()
    with video_io._quiet_opencv:
        both_inside.wait(10)
    assert logging.getLogLevel() == logging.LOG_LEVEL_SILENT
    one_left.set()
    thread.join()
    assert logging.getLogLevel() == before
    with VideoReader(str(path)) as reader:
        next(reader.frames())
    assert logging.getLogLevel() == before


def test_no_camera() -> None:
    with pytest.raises(UserError, match="camera 99: cannot be opened"):
        VideoReader(99)


def test_a_stream_that_drops_ends_with_what_came() -> None:
    with mjpeg_stream() as url, VideoReader(url) as reader:
        assert reader.live
        frames = list(reader.frames())
    assert len(frames) >= 11
    assert numbers_of([frame.image for frame in frames]) == list(range(len(frames)))
    assert "secret" not in frames[0].source
    times = [frame.time_s or 0.0 for frame in frames]
    assert times == sorted(times)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (0, "camera 0"),
        ("clips/a.mp4", "clips/a.mp4"),
        ("rtsp://me:pass@host:554/live/1?token=x", "rtsp://host:554/live/1"),
        ("https://host/a.m3u8", "https://host/a.m3u8"),
    ],
)
def test_names_hold_no_password(source: str | int, name: str) -> None:
    assert source_name(source) == name


@pytest.mark.parametrize("fps", [25.0, 30.0, 30000 / 1001, 23.976, 12.5, 7.3])
@pytest.mark.parametrize(("width", "height"), [(96, 64), (97, 63)], ids=["even", "odd"])
def test_the_written_file_plays(tmp_path: Path, fps: float, width: int, height: int) -> None:
    with open_video_writer(tmp_path / "out.mp4", fps) as writer:
        for number in range(30):
            writer.write(grey_frame(number, width, height))
    images, found_fps = decode(tmp_path / "out.mp4")
    assert numbers_of(images) == list(range(30))
    assert found_fps == pytest.approx(fps, rel=1e-3)
    assert images[0].shape == (height + height % 2, width + width % 2, 3)
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


@pytest.mark.parametrize(
    ("fps", "nearest"),
    [
        # 211.222 = 105611/500, and MPEG-4 holds neither part above 65535: 26403/125 is 211.224.
        pytest.param(211.222, 211.224, id="slow motion"),
        pytest.param(700.123, 700.125, id="5601/8"),
        pytest.param(65.535, 65.535, id="the largest numerator"),
    ],
)
def test_a_rate_that_mpeg4_cannot_hold_is_written_at_the_nearest(tmp_path: Path, fps: float, nearest: float) -> None:
    with open_video_writer(tmp_path / "out.mp4", fps) as writer:
        for number in range(5):
            writer.write(grey_frame(number))
        assert writer.fps in (fps, nearest)
    images, found_fps = decode(tmp_path / "out.mp4")
    assert numbers_of(images) == list(range(5))
    assert found_fps == pytest.approx(writer.fps, rel=1e-7)


def test_odd_sizes_lose_no_pixels(tmp_path: Path) -> None:
    image = np.zeros((63, 97, 3), np.uint8)
    image[:, 90:] = 200
    with open_video_writer(tmp_path / "out.mp4", 25) as writer:
        writer.write(image)
    (decoded,), _ = decode(tmp_path / "out.mp4")
    assert decoded[:, 92:].mean() > 180
    assert decoded[:, :80].mean() < 20


def test_frames_of_another_size_are_fitted(tmp_path: Path) -> None:
    with open_video_writer(tmp_path / "out.mp4", 25) as writer:
        for size in ((96, 64), (192, 128), (64, 96), (30, 20), (97, 65)):
            writer.write(grey_frame(40, *size))
    images, _ = decode(tmp_path / "out.mp4")
    assert [image.shape for image in images] == [(64, 96, 3)] * 5
    assert images[1].mean() > 190
    # A tall frame keeps its proportions: picture on the left, black on the right.
    assert images[2][:, :36].mean() > 180
    assert images[2][:, 60:].mean() < 20


def test_live_frames_are_repeated_and_left_out_to_keep_time(tmp_path: Path) -> None:
    with open_video_writer(tmp_path / "out.mp4", 10) as writer:
        for number, time_s in ((0, 0.0), (1, 0.31), (2, 0.32), (3, 0.4), (4, 1.0)):
            writer.write(grey_frame(10 * number), time_s)
    images, _ = decode(tmp_path / "out.mp4")
    # At 0.1 s a frame: number 1 fills 0.1 to 0.3 s, number 2 comes too soon after it, number 4 fills 0.5 to 1.0 s.
    assert [number // 10 for number in numbers_of(images)] == [0, 1, 1, 1, 3, 4, 4, 4, 4, 4, 4]


def test_an_error_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), open_video_writer(tmp_path / "out.mp4", 25) as writer:
        writer.write(grey_frame(0))
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_lost_its_end_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yolox_gssam.inference.video_io.VideoWriter.is_whole", lambda self: False)
    with pytest.raises(UserError, match="is the disk full"), open_video_writer(tmp_path / "out.mp4", 25) as writer:
        writer.write(grey_frame(0))
    assert list(tmp_path.iterdir()) == []


def test_what_is_whole(tmp_path: Path) -> None:
    with open_video_writer(tmp_path / "out.mp4", 25) as writer:
        for number in range(5):
            writer.write(grey_frame(number))
        writer.close()
        assert writer.is_whole()
        writer.written = 9
        assert not writer.is_whole()
        writer.written = 5


def test_the_probe_rejects_sizes_no_codec_takes(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no mp4 video"), open_video_writer(tmp_path / "out.mp4", 25) as writer:
        writer.write(np.zeros((2, 70000, 3), np.uint8))
