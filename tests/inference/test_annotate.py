import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tqdm import TMonitor
from videos import add_sound_track, make_video
from yolox.models import YOLOX

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.images import read_image
from yolox_gssam.detections import Detections
from yolox_gssam.inference import annotate
from yolox_gssam.inference.annotate import AHEAD, Outputs, annotate_images, annotate_video
from yolox_gssam.inference.backends.pytorch import TorchBackend
from yolox_gssam.inference.frames import Frame
from yolox_gssam.inference.predictor import Predictor
from yolox_gssam.inference.video_io import VideoReader, VideoWriter


@pytest.fixture
def predictor(nano: YOLOX) -> Predictor:
    backend = TorchBackend(nano, torch.device("cpu"))
    return Predictor(backend, ("airplane", "bird", "drone", "helicopter"), (96, 96), 0.3, 0.45)


def cloudy(seed: int, width: int = 96, height: int = 64) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    for number, name in enumerate(("a.jpg", "b.png", "sub/a.jpg")):
        cv2.imwrite(str(folder / name), cloudy(number))
    return folder


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 12.5, (96, 64))
    for number in range(10):
        writer.write(cloudy(number))
    writer.release()
    return path


def two_maps(batch: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    assert batch.shape == (1, 96, 96, 3)
    rng = np.random.default_rng(0)
    return {"stem": rng.random((48, 48), np.float32), "dark2": rng.random((24, 24), np.float32)}


def video_facts(path: Path) -> tuple[int, float, tuple[int, ...]]:
    """Frames that can be decoded, frame rate and shape."""
    capture = cv2.VideoCapture(str(path))
    images = []
    while (read := capture.read())[0]:
        images.append(read[1])
    return len(images), capture.get(cv2.CAP_PROP_FPS), images[0].shape


def files_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.fixture(autouse=True)
def no_thread_is_left_behind() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    after = {thread for thread in threading.enumerate() if not isinstance(thread, TMonitor)}
    assert after <= before


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.001)
    return condition()


def test_a_folder_keeps_its_names(predictor: Predictor, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    summary = annotate_images(predictor, photos, Outputs(out, attention=two_maps, export="json"))
    assert files_below(out) == [
        "a.jpg",
        "a_attention.jpg",
        "b.png",
        "b_attention.png",
        "photos_detections.json",
        "sub/a.jpg",
        "sub/a_attention.jpg",
    ]
    document = json.loads((out / "photos_detections.json").read_text())
    assert [frame["source"] for frame in document["frames"]] == ["a.jpg", "b.png", "sub/a.jpg"]
    objects = [len(frame["detections"]) for frame in document["frames"]]
    assert objects == [
        len(predictor.predict([cv2.imread(str(photos / name))])[0]) for name in ("a.jpg", "b.png", "sub/a.jpg")
    ]
    assert summary.objects == sum(objects) > 0
    assert (summary.frames, summary.failures) == (3, [])
    assert 0 < summary.detection_seconds < summary.seconds
    annotated = cv2.imread(str(out / "b.png"))
    assert annotated.shape == (64, 96, 3)
    assert (annotated != cloudy(1)).any()


def test_kinds_of_images_that_are_not_read_are_told(predictor: Predictor, photos: Path, tmp_path: Path) -> None:
    (photos / "b.jfif").write_bytes((photos / "a.jpg").read_bytes())
    (photos / "sub" / "phone.HEIC").write_bytes(b"x")
    summary = annotate_images(predictor, photos, Outputs(tmp_path / "out"))
    assert files_below(tmp_path / "out") == ["a.jpg", "b.jfif.png", "b.png", "sub/a.jpg"]
    (failure,) = summary.failures
    assert failure.startswith(f"{photos}: 1 images are of kinds that are not read; left out: sub/phone.HEIC")
    (tmp_path / "phones").mkdir()
    (photos / "sub" / "phone.HEIC").rename(tmp_path / "phones" / "phone.HEIC")
    with pytest.raises(UserError, match=r"phones: 1 images are of kinds that are not read; left out: phone\.HEIC"):
        annotate_images(predictor, tmp_path / "phones", Outputs(tmp_path / "out"))


def test_thermal_images_are_stretched_and_told(predictor: Predictor, tmp_path: Path) -> None:
    """The picture, on which nothing is drawn here, is the one that the training reads."""
    predictor.score_threshold = 1.0
    folder, out = tmp_path / "thermal", tmp_path / "out"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.png"), cloudy(0)[..., 0].astype(np.uint16) + 7000)
    summary = annotate_images(predictor, folder, Outputs(out))
    assert (
        "1 images have more than 8 bit, such as a.png: divided by 256 where they fill 16 bit, else stretched"
        in summary.notes[0]
    )
    annotated = cv2.imread(str(out / "a.png"))
    np.testing.assert_array_equal(annotated, read_image(folder / "a.png"))
    assert annotate_images(predictor, folder, Outputs(out), (7000, 7510)).notes == []
    assert cv2.imread(str(out / "a.png")).mean() < 0.7 * annotated.mean()


def test_an_image_too_narrow_is_named_and_the_others_go_on(predictor: Predictor, photos: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(photos / "aa.png"), cloudy(0)[:1].repeat(5, axis=1))
    summary = annotate_images(predictor, photos, Outputs(tmp_path / "out", export="csv"))
    assert files_below(tmp_path / "out") == ["a.jpg", "b.png", "photos_detections.csv", "sub/a.jpg"]
    assert summary.frames == 3
    assert summary.failures == [
        f"{photos}/aa.png: left out: an image of 480 x 1 pixels is too narrow for the input of 96 x 96; crop it"
    ]
    with pytest.raises(UserError, match=r"aa\.png: left out: an image of 480 x 1 pixels is too narrow"):
        annotate_images(predictor, photos / "aa.png", Outputs(tmp_path / "out"))


def test_results_inside_the_folder_are_not_annotated_again(predictor: Predictor, photos: Path) -> None:
    for _ in range(2):
        assert annotate_images(predictor, photos, Outputs(photos / "out")).frames == 3
    assert files_below(photos / "out") == ["a.jpg", "b.png", "sub/a.jpg"]


@pytest.mark.parametrize("output", [".", "..", "sub/.."])
def test_images_are_never_overwritten(predictor: Predictor, photos: Path, output: str) -> None:
    if output == "..":
        (photos / "photos").mkdir()
        cv2.imwrite(str(photos / "photos" / "a.jpg"), cloudy(9))
    before = (photos / "a.jpg").read_bytes()
    with pytest.raises(UserError, match="overwrite"):
        annotate_images(predictor, photos, Outputs(photos / output))
    assert (photos / "a.jpg").read_bytes() == before


def test_one_broken_image_among_others(predictor: Predictor, photos: Path, tmp_path: Path) -> None:
    (photos / "broken.jpg").write_bytes(b"no image")
    summary = annotate_images(predictor, photos, Outputs(tmp_path / "out"))
    assert summary.frames == 3
    assert len(summary.failures) == 1
    assert "broken.jpg" in summary.failures[0]


@pytest.mark.parametrize("name", ["broken.jpg", "."], ids=["file", "folder"])
def test_only_broken_images(predictor: Predictor, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "broken.jpg").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"broken\.jpg"):
        annotate_images(predictor, folder / name, Outputs(tmp_path / "out", export="csv"))
    assert not files_below(tmp_path / "out")


def test_a_video(predictor: Predictor, clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    summary = annotate_video(predictor, str(clip), Outputs(out, attention=two_maps, export="csv"))
    assert video_facts(out / "clip.mp4") == (10, 12.5, (64, 96, 3))
    count, fps, (height, width, _) = video_facts(out / "clip_attention.mp4")
    assert (count, fps, width) == (10, 12.5, 3 * 96)
    assert height > 64
    rows = (out / "clip_detections.csv").read_text().splitlines()
    assert len(rows) == 1 + summary.objects > 1
    assert summary.frames == 10
    assert summary.notes == []
    assert files_below(out) == ["clip.mp4", "clip_attention.mp4", "clip_detections.csv"]


class BrightPieces:
    """A backend that finds what is bright."""

    name = description = "bright"
    streams = 1

    def candidates(self, batch: NDArray[np.uint8], score_threshold: float) -> NDArray[np.float32]:
        rows = []
        for number, image in enumerate(batch):
            _, _, pieces, centres = cv2.connectedComponentsWithStats((image[..., 0] > 180).astype(np.uint8))
            for (x, y), (_, _, width, height, _) in zip(centres[1:], pieces[1:], strict=True):
                rows.append([number, x + 0.5, y + 0.5, width, height, 0.9, 0.0, 1.0])
        return np.array(rows, np.float32).reshape(-1, 8)


@pytest.mark.parametrize("has_scipy", [True, False])
def test_labels_of_a_film_say_which_boxes_show_one_thing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_scipy: bool
) -> None:
    clip = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(clip), cv2.VideoWriter.fourcc(*"MJPG"), 10, (128, 96))
    for number in range(12):
        image = np.full((96, 128, 3), 60, np.uint8)
        image[20:30, 4 + 7 * number : 14 + 7 * number] = 240
        if number != 5:
            image[60:70, 110 - 6 * number : 120 - 6 * number] = 240
        writer.write(image)
    writer.release()
    if not has_scipy:
        monkeypatch.setitem(sys.modules, "yolox_gssam.tracking.tracks", None)
    predictor = Predictor(BrightPieces(), ("bird", "drone"), (96, 128), 0.3, 0.45)
    summary = annotate_video(predictor, str(clip), Outputs(tmp_path / "out", labels="coco"))
    annotations = json.loads((tmp_path / "out" / "clip_labels.json").read_text())["annotations"]
    rows = {True: set(), False: set()}
    for annotation in annotations:
        rows[annotation["bbox"][1] < 45].add(annotation.get("track_id"))
    assert len(annotations) == 23
    if has_scipy:
        assert rows[True] | rows[False] == {1, 2}
        assert len(rows[True]) == len(rows[False]) == 1
        assert not summary.notes
    else:
        assert rows == {True: {None}, False: {None}}
        assert any("tracks need scipy (pip install scipy)" in note for note in summary.notes)


def test_a_rate_that_cannot_be_kept_is_said(predictor: Predictor, tmp_path: Path) -> None:
    path = tmp_path / "slow.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 211.222, (96, 64))
    writer.write(cloudy(0))
    writer.release()
    summary = annotate_video(predictor, str(path), Outputs(tmp_path / "out"))
    _, fps, _ = video_facts(tmp_path / "out" / "slow.mp4")
    assert fps == pytest.approx(211.224) or fps == pytest.approx(211.222)
    assert [note for note in summary.notes if "211.222 frames/s" in note] == summary.notes
    assert len(summary.notes) == (fps != pytest.approx(211.222, abs=1e-4))


def test_lost_sound_is_said_once(predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_video(tmp_path / "a.mp4", "mp4v", 25, frames=3)
    add_sound_track(path)
    monkeypatch.setenv("PATH", str(tmp_path))
    outputs = Outputs(tmp_path / "out", attention=two_maps)
    assert annotate_video(predictor, str(path), outputs).notes == [
        f"{path}: the result has no sound; install the ffmpeg program to keep it"
    ]


def test_a_truncated_video_keeps_what_was_decoded(predictor: Predictor, clip: Path, tmp_path: Path) -> None:
    data = clip.read_bytes()
    clip.write_bytes(data[: len(data) // 2])
    summary = annotate_video(predictor, str(clip), Outputs(tmp_path / "out"))
    assert 3 <= summary.frames < 10
    assert video_facts(tmp_path / "out" / "clip.mp4")[0] == summary.frames
    assert len(summary.notes) == 1
    assert f"{summary.frames} of 10 frames could be decoded" in summary.notes[0]


def test_a_video_without_a_frame_leaves_nothing(predictor: Predictor, clip: Path, tmp_path: Path) -> None:
    data = clip.read_bytes()
    clip.write_bytes(data[: data.find(b"movi") + 4])
    with pytest.raises(UserError, match=r"no frame could be decoded|not a video"):
        annotate_video(predictor, str(clip), Outputs(tmp_path / "out", export="json"))
    assert not (tmp_path / "out").exists() or not files_below(tmp_path / "out")


def test_the_video_is_never_overwritten(predictor: Predictor, clip: Path, tmp_path: Path) -> None:
    annotate_video(predictor, str(clip), Outputs(tmp_path / "out"))
    first = (tmp_path / "out" / "clip.mp4").read_bytes()
    with pytest.raises(UserError, match="overwrite"):
        annotate_video(predictor, str(tmp_path / "out" / "clip.mp4"), Outputs(tmp_path / "out"))
    assert (tmp_path / "out" / "clip.mp4").read_bytes() == first


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_a_file_that_plays(
    predictor: Predictor, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Frames read before the signal may be dropped or annotated; none read after it is."""
    real_frames = VideoReader.frames

    def frames(reader: VideoReader) -> Iterator[Frame]:
        for frame in real_frames(reader):
            yield frame
            if frame.index == 3:
                waits_for_signal = signal.getsignal(number)
                os.kill(os.getpid(), number)
                while signal.getsignal(number) is waits_for_signal:
                    time.sleep(0.001)

    monkeypatch.setattr(VideoReader, "frames", frames)
    summary = annotate_video(predictor, str(clip), Outputs(tmp_path / "out", export="json"))
    assert 1 <= summary.frames <= 4
    assert summary.signal_number == number
    assert video_facts(tmp_path / "out" / "clip.mp4")[0] == summary.frames
    document = json.loads((tmp_path / "out" / "clip_detections.json").read_text())
    assert [frame["frame"] for frame in document["frames"]] == list(range(summary.frames))
    assert not any("could be decoded" in note for note in summary.notes)


def test_a_network_without_attention(predictor: Predictor, clip: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no attention maps"):
        annotate_video(predictor, str(clip), Outputs(tmp_path / "out", attention=lambda batch: {}))
    assert not files_below(tmp_path / "out")


def test_closing_the_window_ends_it(
    predictor: Predictor, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[NDArray[np.uint8]] = []

    def show(image: NDArray[np.uint8], wait_ms: int) -> bool:
        assert threading.current_thread() is threading.main_thread(), "OpenCV has windows there only"
        shown.append(image)
        return len(shown) < 3

    monkeypatch.setattr(annotate, "show", show)
    summary = annotate_video(predictor, str(clip), Outputs(tmp_path / "out", show=True))
    assert summary.frames == len(shown) == 3
    assert summary.seconds > 0
    assert video_facts(tmp_path / "out" / "clip.mp4")[0] == 3


class NumberedReader(VideoReader):
    """Ten frames whose brightness is their number. A camera goes on while they are detected, a file waits."""

    read: int

    def __init__(self, source: str | int, live: bool) -> None:
        super().__init__(source)
        self.live = live
        NumberedReader.read = 0

    def frames(self) -> Iterator[Frame]:
        for number in range(10):
            self.decoded = NumberedReader.read = number + 1
            yield Frame(np.full((64, 96, 3), number, np.uint8), self.name, number, number / 12.5)
        self.ended = True


class WaitingPredictor(Predictor):
    """Finds nothing, and is done with a frame when `read_meanwhile(frames seen)` more were read."""

    def __init__(self, model: YOLOX, frames_read: Callable[[int], int]) -> None:
        backend = TorchBackend(model, torch.device("cpu"))
        super().__init__(backend, ("airplane", "bird", "drone", "helicopter"), (96, 96), 0.3, 0.45)
        self.frames_read = frames_read
        self.seen: list[int] = []

    def predict(self, images: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        self.seen.append(int(images[0].mean()))
        assert wait_until(lambda: NumberedReader.read >= self.frames_read(len(self.seen))), "nothing is read meanwhile"
        return [Detections.empty()]


def test_a_file_is_read_ahead_and_no_frame_is_left_out(
    nano: YOLOX, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(annotate, "VideoReader", partial(NumberedReader, live=False))
    predictor = WaitingPredictor(nano, lambda seen: min(seen + AHEAD, 10))
    summary = annotate_video(predictor, str(clip), Outputs(tmp_path / "out"))
    assert predictor.seen == list(range(10))
    assert (summary.frames, summary.notes, summary.stream_ended) == (10, [], False)


def test_no_more_than_six_frames_are_in_memory(
    predictor: Predictor, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the first is written: two are drawn or wait for that, two wait for detection, the sixth is read."""
    monkeypatch.setattr(annotate, "VideoReader", partial(NumberedReader, live=False))
    write = VideoWriter.write

    def slow_write(writer: VideoWriter, image: NDArray[np.uint8], time_s: float | None) -> None:
        most = min(writer.written + 6, 10)
        assert wait_until(lambda: NumberedReader.read == most)
        time.sleep(0.02)
        assert NumberedReader.read == most
        write(writer, image, time_s)

    monkeypatch.setattr(VideoWriter, "write", slow_write)
    assert annotate_video(predictor, str(clip), Outputs(tmp_path / "out")).frames == 10


def test_a_camera_is_not_kept_waiting(nano: YOLOX, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the first frame is detected the camera gives all others: what comes next is its newest."""
    monkeypatch.setattr(annotate, "VideoReader", partial(NumberedReader, live=True))
    predictor = WaitingPredictor(nano, lambda seen: 10)
    summary = annotate_video(predictor, str(clip), Outputs(tmp_path / "out", export="json"))
    assert len(predictor.seen) <= 2
    assert predictor.seen[-1] == 9
    assert summary.frames == len(predictor.seen)
    assert video_facts(tmp_path / "out" / "clip.mp4")[0] == 10, "the file does not play in real time"
    document = json.loads((tmp_path / "out" / "clip_detections.json").read_text())
    assert [frame["frame"] for frame in document["frames"]] == predictor.seen
    assert summary.notes == [f"{clip}: gave no more frames after 10"]
    assert summary.stream_ended


def test_an_error_of_the_detector_comes_as_it_is(predictor: Predictor, clip: Path, tmp_path: Path) -> None:
    def fail(batch: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        raise ZeroDivisionError("in the detector")

    with pytest.raises(ZeroDivisionError, match="in the detector"):
        annotate_video(predictor, str(clip), Outputs(tmp_path / "out", attention=fail))
    assert not files_below(tmp_path / "out")


def test_an_error_of_the_writer_ends_all(
    predictor: Predictor, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise UserError("the disk is full")

    monkeypatch.setattr(VideoWriter, "write", fail)
    with pytest.raises(UserError, match="the disk is full"):
        annotate_video(predictor, str(clip), Outputs(tmp_path / "out"))
    assert not files_below(tmp_path / "out")
