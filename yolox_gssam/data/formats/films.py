"""Films, as files or as folders of frames: how many frames there are, and the frames by number.

Frames are counted from 0 by decoding them one after the other: no container is trusted to seek exactly.
"""

import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.images import IMAGE_SUFFIXES, read_image
from yolox_gssam.common.text import printable

FILM_SUFFIXES = frozenset(
    {".mp4", ".avi", ".mov", ".mkv", ".mpg", ".mpeg", ".m4v", ".webm", ".wmv", ".ts", ".mts", ".m2ts", ".flv"}
)
"""Of film files, in lower case."""
MAX_SIDE = 2**13
"""Longest side of a frame that is decoded."""
MAX_JITTER = 0.5
"""Of the usual time between two frames; a film that differs more has no constant rate."""


@dataclass(frozen=True)
class Sampling:
    """Which frames are taken and how they are stored.

    Attributes:
        stride: every so many frames, from 1.
        offset: the first frame taken, from 0.
        jpeg_quality: 1 to 100.
        png: stored as PNG, whatever the quality of JPEG.
    """

    stride: int
    offset: int = 0
    jpeg_quality: int = 95
    png: bool = False

    def __post_init__(self) -> None:
        if self.stride < 1 or self.offset < 0 or not 1 <= self.jpeg_quality <= 100:
            raise UserError(f"stride from 1, offset from 0 and a JPEG quality from 1 to 100 are needed, not {self}")

    def frames(self, count: int) -> range:
        """The frames taken of a clip of `count` frames."""
        return range(self.offset, count, self.stride)


@dataclass(frozen=True)
class Film:
    """A film that was gone through once.

    Attributes:
        path: the file, or the folder of frames.
        count: how many frames can be decoded.
        claimed: how many the container claims; 0: nothing.
        size_wh: of the frames, in pixels.
        fps: frames a second; 0: not known.
        rate_varies: the frames do not come at a constant rate.
        missing: numbers of frames of a folder that are not there, below the last one that is.
    """

    path: Path
    count: int
    claimed: int
    size_wh: tuple[int, int]
    fps: float = 0.0
    rate_varies: bool = False
    missing: tuple[int, ...] = ()


def open_film(path: Path) -> Film:
    """Goes through a film once and tells what is in it.

    Raises:
        UserError: not a film, or none of its frames can be decoded.
    """
    if path.is_dir():
        return _scan_folder(path)
    capture = _open(path)
    try:
        claimed = capture.get(cv2.CAP_PROP_FRAME_COUNT)
        fps = float(capture.get(cv2.CAP_PROP_FPS))
        size_wh = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        times: list[float] = []
        while capture.grab():
            if not times:
                done, image = capture.retrieve()
                size_wh = (image.shape[1], image.shape[0]) if done else size_wh
            times.append(capture.get(cv2.CAP_PROP_POS_MSEC))
    finally:
        capture.release()
    if not times:
        raise UserError(f"{printable(path)}: no frame of it can be decoded; fetch it again")
    claimed_frames = int(claimed) if 0 < claimed < 2**31 else 0
    return Film(path, len(times), claimed_frames, size_wh, fps if 0 < fps < 1000 else 0.0, _varies(times))


def film_frames(path: Path, wanted: Collection[int]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Number and image (H, W, 3) BGR of the wanted frames of a film or a folder, in order.

    Frames between are passed over without being converted.

    Raises:
        UserError: a frame up to the last wanted one that cannot be decoded.
    """
    if path.is_dir():
        files = frame_files(path)
        for number in sorted(wanted):
            if number not in files:
                raise UserError(f"{printable(path)}: frame {number} is not there; fetch it again")
            yield number, read_image(files[number])
        return
    last = max(wanted, default=-1)
    capture = _open(path)
    try:
        for number in range(last + 1):
            done, image = capture.grab(), None
            if done and number in wanted:
                done, image = capture.retrieve()
            if not done:
                raise UserError(
                    f"{printable(path)}: ends at frame {number}, frames up to {last} are labelled; fetch it again"
                )
            if image is not None:
                yield number, np.asarray(image, np.uint8)
    finally:
        capture.release()


def frame_files(folder: Path) -> dict[int, Path]:
    """The frames of a folder by number from 0: the last number in a name, or one less where none is called 0.

    Raises:
        UserError: names without a number, or two of one number.
    """
    by_number: dict[int, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            continue
        numbers = re.findall("[0-9]{1,12}", path.stem)
        if not numbers or int(numbers[-1]) in by_number:
            what = "a name of a number that is there already" if numbers else "no number in its name"
            raise UserError(f"{printable(path)}: {what}; name frames as 000001.jpg, 000002.jpg")
        by_number[int(numbers[-1])] = path
    first = min(1, *by_number) if by_number else 0
    return {number - first: path for number, path in sorted(by_number.items())}


def is_frame(path: Path) -> bool:
    """Whether a file may be a frame of a folder of frames: a picture with a number."""
    return path.suffix.lower() in IMAGE_SUFFIXES and re.search("[0-9]", path.stem) is not None


def without_colour(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, 3), or (H, W) where the three channels are equal, as infrared frames have them: a third of the file."""
    is_grey = bool((image[..., :1] == image[..., 1:]).all())
    return image[..., 0] if is_grey else image


def _scan_folder(folder: Path) -> Film:
    files = frame_files(folder)
    if not files:
        raise UserError(f"{printable(folder)}: no frames in this folder")
    height, width = read_image(next(iter(files.values()))).shape[:2]
    last = max(files)
    missing = tuple(sorted(set(range(last + 1)) - set(files))) if len(files) <= last else ()
    return Film(folder, last + 1, last + 1, (width, height), missing=missing)


def _open(path: Path) -> cv2.VideoCapture:
    """An opened film file."""
    if not os.path.isfile(path):  # OpenCV would wait for a pipe without end; links to files are welcome
        raise UserError(f"{printable(path)}: no such film file")
    capture = cv2.VideoCapture(str(path))
    if not capture.isOpened():
        raise UserError(f"{printable(path)}: the clip cannot be opened; fetch it again")
    width, height = capture.get(cv2.CAP_PROP_FRAME_WIDTH), capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
    if max(width, height) > MAX_SIDE:
        capture.release()
        raise UserError(f"{printable(path)}: claims frames of {width:g} x {height:g} pixels; fetch it again")
    return capture


def _varies(times_ms: list[float]) -> bool:
    """Whether the times of the frames are not evenly spread."""
    steps = np.diff(times_ms)
    steps = steps[steps > 0]
    if len(steps) < 2:
        return False
    usual = float(np.median(steps))
    return bool((np.abs(steps - usual) > max(MAX_JITTER * usual, 2.0)).any())
