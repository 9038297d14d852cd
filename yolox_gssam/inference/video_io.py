"""Frames out of video files, cameras and streams, and annotated frames into a video file that plays."""

import math
import os
import tempfile
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import cv2
import numpy as np
from numpy.typing import NDArray

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.files import atomic_path
from yolox_gssam.common.images import MAX_PIXELS
from yolox_gssam.common.text import printable
from yolox_gssam.inference.container import Container, read_container
from yolox_gssam.inference.frames import Frame
from yolox_gssam.inference.sound import add_sound

# FFmpeg inside OpenCV prints what goes wrong; the messages here say it once and clearly. Read at its first use.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

DEFAULT_FPS = 25.0
# H.264 plays everywhere, but OpenCV's own wheels for Linux cannot write it; MPEG-4 plays in most players.
_FOURCCS = ("avc1", "mp4v")
_MAX_FPS = 1000.0
_LARGEST_TERM = 65535  # of the fraction in which MPEG-4 holds a frame rate
_PLAYLISTS = (b"#EXTM3U", b"\xef\xbb\xbf#EXTM3U", b"ffconcat")
_MAX_LOST = 1000  # frames in a row that cannot be decoded, before the rest of the file is given up


class VideoReader:
    """A video file, a stream (URL) or a camera (its number), opened. Turned upright as its metadata say.

    Attributes:
        name: how messages and results call it, without a password that the URL may hold.
        path: the file; None for a camera or a URL.
        live: a camera, or a stream without an end: frames come in real time.
        claimed_frames: as many frames as the container claims to show; 0 where it does not say.
        fps: frames per second, `DEFAULT_FPS` where the container does not say.
        fps_known: whether it does.
        decoded: frames decoded so far.
        ended: whether the last frame was decoded.
        container: what else the file says of itself.

    Raises:
        UserError: no such file or camera, or nothing that can be opened as a video.
    """

    def __init__(self, source: str | int) -> None:
        self.name = source_name(source)
        is_url = isinstance(source, str) and "://" in source
        self.path = Path(source) if isinstance(source, str) and not is_url else None
        if self.path is not None:
            _require_video_file(self.path)
        with _quiet_opencv:
            self._capture = cv2.VideoCapture(source)
        if not self._capture.isOpened():
            raise UserError(f"{printable(self.name)}: {_why_not_opened(source, is_url)}")
        width, height = self._capture.get(cv2.CAP_PROP_FRAME_WIDTH), self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
        if width * height > MAX_PIXELS:
            raise UserError(f"{printable(self.name)}: claims frames of {width:g} x {height:g} pixels; not decoded")
        claimed = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.container = Container() if self.path is None else read_container(self.path)
        # OpenCV counts what the file holds, also what an edit list leaves out; where nothing is counted, it reckons.
        self.claimed_frames = self.container.shown_frames or (int(claimed) if 0 < claimed < 2**31 else 0)
        self.live = not isinstance(source, str) or (is_url and self.claimed_frames == 0)
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps_known = math.isfinite(fps) and 0 < fps <= _MAX_FPS
        self.fps = fps if self.fps_known else DEFAULT_FPS
        self.decoded = 0
        self.ended = False
        self._gaps = 0
        self._last_s = 0.0

    def __enter__(self) -> "VideoReader":
        return self

    def __exit__(self, *exception: object) -> None:
        self._capture.release()

    def frames(self) -> Generator[Frame, None, None]:
        """The frames in order, up to the end of the file, or until the camera or the stream gives no more.

        Where a stretch in the middle of a file is damaged, the frames behind it still come.
        """
        start = time.monotonic()
        index = lost = 0
        time_s = 0.0
        while True:
            with _quiet_opencv:
                done, image = self._capture.read()
            if done:
                self._gaps += lost > 0
                lost = 0
                time_s = time.monotonic() - start if self.live else self._time_of(index, time_s)
                self.decoded += 1
                self._last_s = time_s
                yield Frame(np.asarray(image, np.uint8), self.name, index, time_s)
            else:
                lost += 1
                if self.live or index + 1 >= self.claimed_frames or lost > _MAX_LOST:
                    self.ended = True
                    return
            index += 1

    def is_damaged(self) -> bool:
        """Whether frames are missing, once a file was read to its end: they could not be decoded, or were cut off.

        Where the container does not count its frames, OpenCV reckons them from the duration, too high for a rate that
        varies or sound that goes on: there a tenth of the time must be missing.
        """
        missing = self.claimed_frames - self.decoded
        if missing <= 0:
            return False
        if self._gaps or self.container.cut_off or self.container.shown_frames is not None:
            return True
        missing_s = self.claimed_frames / self.fps - self._last_s
        return missing > self.claimed_frames / 10 and missing_s > max(2.0, self._last_s / 9)

    def _time_of(self, index: int, previous_s: float) -> float:
        """The container's time of the frame just read; reckoned from the frame rate where that does not go forward."""
        time_s = float(self._capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000
        if index == 0:
            return max(0.0, time_s) if math.isfinite(time_s) else 0.0
        return time_s if math.isfinite(time_s) and time_s > previous_s else previous_s + 1 / self.fps


class VideoWriter:
    """Writes frames into an mp4 file of constant frame rate; see `open_video_writer`.

    The first frame sets the size, rounded up to even numbers by repeating the last row or column; frames of another
    size are fitted into it, with black beside them.
    """

    def __init__(self, path: Path, fps: float) -> None:
        self._path = path
        self.fps = fps
        self._size_wh = (0, 0)
        self._writer: cv2.VideoWriter | None = None
        self.written = 0
        self.no_sound: str | None = None

    def write(self, image: NDArray[np.uint8], time_s: float | None = None) -> None:
        """Adds a frame (BGR).

        With `time_s`, the second at which a camera saw it, the frame is repeated or left out so that the file plays in
        real time: a camera's frames come when they come, and inference may be slower than the camera.
        """
        if self._writer is None:
            self._size_wh = (image.shape[1] + image.shape[1] % 2, image.shape[0] + image.shape[0] % 2)
            fourcc, self.fps = _working_format(self._size_wh, self.fps)
            with _quiet_opencv:
                code = cv2.VideoWriter.fourcc(*fourcc)
                self._writer = cv2.VideoWriter(str(self._path), code, self.fps, self._size_wh)
        copies = 1 if time_s is None else round(time_s * self.fps) + 1 - self.written
        fitted = _fit(image, self._size_wh)
        for _ in range(copies):
            self._writer.write(fitted)
            self.written += 1

    def close(self) -> None:
        if self._writer is not None:
            self._writer.release()

    def is_whole(self) -> bool:
        """Whether the closed file holds what was written: OpenCV itself does not say when the disk is full."""
        with _quiet_opencv:
            found = cv2.VideoCapture(str(self._path)).get(cv2.CAP_PROP_FRAME_COUNT)
        return found >= max(1, self.written - 1)  # some systems reckon the count from the duration


@contextmanager
def open_video_writer(path: Path, fps: float, sound_of: Path | None = None) -> Iterator[VideoWriter]:
    """Gives a `VideoWriter` for `path` (.mp4); the file appears, whole, when the block ends well.

    Args:
        sound_of: a video file whose sound goes into this one, if it has any; `no_sound` of the writer says why not.

    Raises:
        UserError: the file could not be written, or nothing was written into it.
    """
    with atomic_path(path) as part:
        writer = VideoWriter(part, fps)
        try:
            yield writer
        finally:
            writer.close()
        if not writer.is_whole():
            raise UserError(f"{printable(path)}: could not be written whole; is the disk full?")
        if sound_of is not None:
            writer.no_sound = add_sound(part, sound_of.resolve(), writer.written / writer.fps)


def source_name(source: str | int) -> str:
    """A name for messages and results: "camera 0", the file's path, or the URL without user, password and query."""
    if not isinstance(source, str):
        return f"camera {source}"
    if "://" not in source:
        return source
    parts = urlsplit(source)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


@lru_cache(maxsize=8)
def _working_format(size_wh: tuple[int, int], fps: float) -> tuple[str, float]:
    """The first codec that this OpenCV writes and reads back at this size, and the rate: as asked for where one can."""
    for rate in (fps, _nearest_rate(fps)):
        for fourcc in _FOURCCS:
            if _works(fourcc, size_wh, rate):
                return fourcc, rate
    width, height = size_wh
    raise UserError(
        f"this OpenCV can write no mp4 video of {width} x {height} at {fps:g} frames/s; install opencv-python"
    )


def _works(fourcc: str, size_wh: tuple[int, int], fps: float) -> bool:
    """Whether frames written so can be read again; some codecs only say that they can."""
    frame = np.zeros((size_wh[1], size_wh[0], 3), np.uint8)
    with tempfile.TemporaryDirectory() as folder, _quiet_opencv:
        path = str(Path(folder) / f"{fourcc}.mp4")
        writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*fourcc), fps, size_wh)
        if not writer.isOpened():
            return False
        for _ in range(3):
            writer.write(frame)
        writer.release()
        capture = cv2.VideoCapture(path)
        decoded = sum(capture.read()[0] for _ in range(4))
        capture.release()
        return decoded == 3


def _nearest_rate(fps: float) -> float:
    """The rate in whole thousandths, as OpenCV writes them, whose shortest fraction MPEG-4 can hold."""
    middle = round(1000 * fps)
    near = (Fraction(number, 1000) for number in range(max(1, middle - 50), middle + 51))
    held = [rate for rate in near if rate.numerator <= _LARGEST_TERM]
    return float(min(held, key=lambda rate: abs(rate - Fraction(fps)), default=fps))


def _fit(image: NDArray[np.uint8], size_wh: tuple[int, int]) -> NDArray[np.uint8]:
    """The image at exactly this size."""
    missing_width, missing_height = size_wh[0] - image.shape[1], size_wh[1] - image.shape[0]
    if missing_width == missing_height == 0:
        return image
    if missing_width in (0, 1) and missing_height in (0, 1):
        return _padded(image, missing_width, missing_height, cv2.BORDER_REPLICATE)
    ratio = min(size_wh[0] / image.shape[1], size_wh[1] / image.shape[0])
    width, height = max(1, int(image.shape[1] * ratio)), max(1, int(image.shape[0] * ratio))
    resized = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    return _padded(resized, size_wh[0] - width, size_wh[1] - height, cv2.BORDER_CONSTANT)


def _padded(image: NDArray[np.uint8], right: int, bottom: int, border: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.copyMakeBorder(image, 0, bottom, 0, right, border), np.uint8)


def _require_video_file(path: Path) -> None:
    """Refuses what is no file, and lists of other files: FFmpeg would open those, and wait for a list to grow."""
    if not os.path.isfile(path):
        raise UserError(f"{printable(path)}: no such video file")
    try:
        with path.open("rb") as stream:
            start = stream.read(16)
    except OSError as error:
        raise UserError(f"{printable(path)}: cannot be read: {error.strerror}") from error
    if start.startswith(_PLAYLISTS):
        raise UserError(f"{printable(path)}: a playlist, not a video; give the video that it names")


def _why_not_opened(source: str | int, is_url: bool) -> str:
    if not isinstance(source, str):
        return "cannot be opened; is it plugged in, free and permitted? another number is another camera"
    if is_url:
        return "the stream cannot be opened; check the address and the network"
    return "not a video that can be opened; if it is an .mp4 that was cut off, its index at the end is missing"


class _QuietOpenCV:
    """Keeps OpenCV's own log lines out of the progress bar while any thread is inside."""

    def __init__(self) -> None:
        self._logging: Any = cv2.utils.logging
        self._lock = threading.Lock()
        self._inside = 0
        self._level_outside = 0

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._level_outside = self._logging.setLogLevel(self._logging.LOG_LEVEL_SILENT)
            self._inside += 1

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._logging.setLogLevel(self._level_outside)


_quiet_opencv = _QuietOpenCV()
