"""Clips around an alarm: the last seconds of a source as JPEG pictures, and AVI files of them.

Each picture is compressed once, when it comes, and goes into the file as it is: motion JPEG (Microsoft's AVI RIFF
reference), which every player knows and in which no frame depends on another.
"""

import struct
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from yolox_gssam.common.files import atomic_path

_AVI_HEADER = 224  # bytes before the first picture
_MOVI = 220  # where the list's own name stands, which the index counts from


@dataclass(frozen=True, eq=False)
class Jpeg:
    """One picture of a source, compressed.

    Attributes:
        data: the JPEG file.
        size_wh: width and height in pixels.
        time_s: on a clock that is never set.
    """

    data: bytes
    size_wh: tuple[int, int]
    time_s: float


@dataclass(frozen=True, eq=False)
class Clip:
    """Pictures around an alarm, oldest first, all of one size."""

    alarm_id: str
    pictures: list[Jpeg]


@dataclass(eq=False)
class _Pending:
    alarm_id: str
    until_s: float
    pictures: list[Jpeg] = field(default_factory=list)


class ClipMaker:
    """The clips of one source, from some seconds before an alarm to some after.

    Args:
        before_s, after_s: those seconds.
        rate: at most so many pictures a second are kept.
        side: longer side in pixels that larger frames are reduced to.
        max_bytes: of the pictures kept from before; the oldest go first.
        max_pending: clips begun at a time; an alarm beyond gets none.
    """

    def __init__(
        self,
        before_s: float = 5.0,
        after_s: float = 5.0,
        *,
        rate: float = 10.0,
        side: int = 1280,
        max_bytes: int = 32 << 20,
        max_pending: int = 8,
    ) -> None:
        self.before_s, self.after_s, self.rate, self.side = before_s, after_s, rate, side
        self.max_bytes, self.max_pending = max_bytes, max_pending
        self.latest: Jpeg | None = None
        self._ring: deque[Jpeg] = deque()
        self._bytes = 0
        self._pending: list[_Pending] = []

    def add(self, image: NDArray[np.uint8], time_s: float) -> list[Clip]:
        """Takes in a frame (H, W, 3), BGR; the clips that are complete with it."""
        done = self.finish_before(time_s)
        # A tenth of leeway: frames that come at the very rate must not fall out by a rounding.
        if self.latest is None or time_s - self.latest.time_s >= 0.9 / self.rate or time_s < self.latest.time_s:
            self._keep(encode(image, self.side, time_s))
        return done

    def finish_before(self, time_s: float) -> list[Clip]:
        """The clips that should have ended before some time, with what there is."""
        done = [pending for pending in self._pending if time_s > pending.until_s]
        self._pending = [pending for pending in self._pending if time_s <= pending.until_s]
        return [_finished(pending) for pending in done]

    def begin(self, alarm_id: str, time_s: float) -> None:
        """Begins the clip of an alarm at some time, which is that of the last frame taken in."""
        if len(self._pending) < self.max_pending:
            before = [picture for picture in self._ring if picture.time_s >= time_s - self.before_s]
            self._pending.append(_Pending(alarm_id, time_s + self.after_s, before))

    def finish_all(self) -> list[Clip]:
        """The clips begun, as far as they are: where the source or the program ends."""
        clips = [_finished(pending) for pending in self._pending]
        self._pending = []
        return clips

    def _keep(self, picture: Jpeg) -> None:
        self.latest = picture
        self._ring.append(picture)
        self._bytes += len(picture.data)
        for pending in self._pending:
            pending.pictures.append(picture)
        while self._ring[0].time_s < picture.time_s - self.before_s or (
            self._bytes > self.max_bytes and len(self._ring) > 1
        ):
            self._bytes -= len(self._ring.popleft().data)


def encode(image: NDArray[np.uint8], side: int, time_s: float, quality: int = 85) -> Jpeg:
    """A frame (H, W, 3), BGR, as JPEG, its longer side at most `side` pixels."""
    factor = side / max(image.shape[:2])
    if factor < 1:
        size_wh = max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor))
        image = cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA).astype(np.uint8)
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return Jpeg(data.tobytes(), (image.shape[1], image.shape[0]), time_s)


def write_avi(path: Path, pictures: Sequence[Jpeg]) -> None:
    """Writes pictures of one size as motion JPEG, at their mean rate; whole or not at all.

    Raises:
        UserError: it could not be written.
        ValueError: no pictures.
    """
    if not pictures:
        raise ValueError("a clip needs at least one picture")
    seconds = pictures[-1].time_s - pictures[0].time_s
    interval_us = round(1e6 * seconds / (len(pictures) - 1)) if seconds > 0 else 100_000
    chunks, index, position = [], [], _AVI_HEADER - _MOVI
    for picture in pictures:
        padded = picture.data + b"\0" * (len(picture.data) % 2)
        chunks.append(b"00dc" + struct.pack("<I", len(picture.data)) + padded)
        index.append(b"00dc" + struct.pack("<III", 0x10, position, len(picture.data)))
        position += 8 + len(padded)
    movi, idx1 = b"".join(chunks), b"".join(index)
    head = _header(pictures[0].size_wh, len(pictures), interval_us, len(movi), len(idx1))
    with atomic_path(path) as part:
        part.write_bytes(head + movi + b"idx1" + struct.pack("<I", len(idx1)) + idx1)


def read_avi(path: Path) -> Iterator[bytes]:
    """The JPEG pictures of a file of `write_avi`, in their order."""
    with path.open("rb") as stream:
        stream.seek(_AVI_HEADER)
        while (chunk := stream.read(8))[:4] == b"00dc":
            (length,) = struct.unpack("<I", chunk[4:])
            yield stream.read(length)
            stream.seek(length % 2, 1)


def _header(size_wh: tuple[int, int], frames: int, interval_us: int, movi: int, idx1: int) -> bytes:
    width, height = size_wh
    avih = struct.pack("<14I", interval_us, 0, 0, 0x10, frames, 0, 1, 0, width, height, 0, 0, 0, 0)
    strh = struct.pack("<4s4sIHHIIIIIIII4H", b"vids", b"MJPG", 0, 0, 0, 0, interval_us, 1_000_000, 0, frames, 0, 0, 0,
                       0, 0, width, height)  # fmt: skip
    strf = struct.pack("<IiiHH4sIiiII", 40, width, height, 1, 24, b"MJPG", width * height * 3, 0, 0, 0, 0)
    strl = b"strl" + b"strh" + struct.pack("<I", len(strh)) + strh + b"strf" + struct.pack("<I", len(strf)) + strf
    hdrl = b"hdrl" + b"avih" + struct.pack("<I", len(avih)) + avih + b"LIST" + struct.pack("<I", len(strl)) + strl
    head = b"AVI LIST" + struct.pack("<I", len(hdrl)) + hdrl
    head += b"LIST" + struct.pack("<I", 4 + movi) + b"movi"
    return b"RIFF" + struct.pack("<I", len(head) + movi + 8 + idx1) + head


def _finished(pending: _Pending) -> Clip:
    """Pictures of the size that most have: a file holds one."""
    sizes = [picture.size_wh for picture in pending.pictures]
    usual = max(set(sizes), key=sizes.count, default=None)
    return Clip(pending.alarm_id, [picture for picture in pending.pictures if picture.size_wh == usual])
