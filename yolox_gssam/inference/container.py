"""What a video file's container says beyond OpenCV: how many frames it shows, whether it is whole and has sound.

Sources: ISO/IEC 14496-12 (mp4, mov), Microsoft's AVI RIFF reference, RFC 8794 and 9559 (mkv, webm).
"""

import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_MP4_STARTS = (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip")
_MAX_HEADER = 64 << 20  # bytes read of an index, and samples counted; whoever has more is not looked into
_MAX_PARTS = 20000  # of a file, one level deep
_NOT_CODED = 8  # bytes; an AVI frame that repeats the one before is no longer


@dataclass(frozen=True)
class Container:
    """What the file says.

    Attributes:
        shown_frames: frames that a player shows of the whole file; None where the container does not count them.
        cut_off: it ends before the end that it gives itself.
        sound: whether it holds an audio track; None where that is not known.
    """

    shown_frames: int | None = None
    cut_off: bool = False
    sound: bool | None = None


def read_container(path: Path) -> Container:
    """Looks into an mp4, mov, avi, mkv, webm or flv; of any other file, or a damaged one, it knows nothing."""
    try:
        with path.open("rb") as stream:
            start, size = stream.read(12), os.path.getsize(path)
            if start[4:8] in _MP4_STARTS:
                return _read_mp4(path, size)
            if start[:4] == b"RIFF" and start[8:] == b"AVI ":
                return _read_avi(path, size)
            stream.seek(0)
            head = stream.read(1 << 18)
    except (OSError, struct.error, ValueError, LookupError, OverflowError):
        return Container()
    if start[:4] == b"\x1a\x45\xdf\xa3":
        # The identifier of a track's codec: element 0x86, its length, and a name that begins with A_ for audio.
        return Container(cut_off=_matroska_end(head) > size, sound=bool(re.search(rb"\x86[\x81-\xbf]A_", head)))
    return Container(sound=bool(start[4] & 4) if start[:3] == b"FLV" else None)


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of each box of an mp4, one level deep."""
    position = 0
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        header = 8
        if length == 1:
            (length,), header = struct.unpack_from(">Q", data, position + 8), 16
        length = length or len(data) - position
        if length < header:
            return
        yield kind, data[position + header : position + length]
        position += length


def _read_mp4(path: Path, size: int) -> Container:
    cut_off, moov, position = False, b"", 0
    with path.open("rb") as stream:
        for _ in range(_MAX_PARTS):
            if position + 8 > size:
                break
            stream.seek(position)
            length, kind = struct.unpack(">I4s", stream.read(8))
            if length == 1:
                (length,) = struct.unpack(">Q", stream.read(8))
            length = length or size - position
            cut_off = cut_off or position + length > size
            if length < 8:
                break
            if kind == b"moov" and length <= _MAX_HEADER:
                stream.seek(position + 8)
                moov = stream.read(length - 8)
            position += length
    tracks = [dict(_boxes(content)) for kind, content in _boxes(moov) if kind == b"trak"]
    medias = [dict(_boxes(track.get(b"mdia", b""))) for track in tracks]
    kinds = [media.get(b"hdlr", b"")[8:12] for media in medias]
    if b"vide" not in kinds:
        return Container(None, cut_off, b"soun" in kinds)
    video = kinds.index(b"vide")
    shown = _count_shown(dict(_boxes(moov))[b"mvhd"], tracks[video], medias[video])
    return Container(shown, cut_off, b"soun" in kinds)


def _count_shown(mvhd: bytes, track: dict[bytes, bytes], media: dict[bytes, bytes]) -> int | None:
    """Samples of a track within its edit list, or all of them where it has none; None where they lie in fragments."""
    table = dict(_boxes(dict(_boxes(media.get(b"minf", b""))).get(b"stbl", b"")))
    durations = _runs(table.get(b"stts", b""))
    if durations is None or not len(durations):
        return None
    edits = dict(_boxes(track.get(b"edts", b""))).get(b"elst", b"")
    if not edits:
        return len(durations)
    starts = np.cumsum(durations) - durations
    offsets = _runs(table.get(b"ctts", b""))
    if offsets is not None and len(offsets) == len(starts):
        starts = starts + offsets
    ticks = _timescale(media.get(b"mdhd", b"")) / _timescale(mvhd)
    shown = 0
    for length, first in _edits(edits):
        if first >= 0:  # -1: nothing is shown for a while
            last = first + length * ticks if length else np.inf
            shown += int(((starts >= first) & (starts + durations / 2 <= last)).sum())
    return shown


def _runs(content: bytes) -> NDArray[np.int64] | None:
    """The values of a box of (count, value) pairs, one a sample; None where there are none, or too many."""
    pairs = np.frombuffer(content[8 : 8 + (len(content) - 8) // 8 * 8], ">i4").reshape(-1, 2).astype(np.int64)
    if not len(pairs) or pairs[:, 0].min() < 0 or pairs[:, 0].sum() > _MAX_HEADER // 8:
        return None
    return np.repeat(pairs[:, 1], pairs[:, 0])


def _timescale(header: bytes) -> int:
    """Ticks a second, from the content of a box mvhd or mdhd."""
    (ticks,) = struct.unpack_from(">I", header, 20 if header[0] else 12)
    if not ticks:
        raise ValueError("a time scale of 0")
    return int(ticks)


def _edits(content: bytes) -> Iterator[tuple[int, int]]:
    """Length, in the movie's ticks, and first time, in the track's, of each edit."""
    entry = ">QqI" if content[0] else ">IiI"
    (count,) = struct.unpack_from(">I", content, 4)
    for number in range(min(count, (len(content) - 8) // struct.calcsize(entry))):
        length, first, _ = struct.unpack_from(entry, content, 8 + number * struct.calcsize(entry))
        yield length, first


def _read_avi(path: Path, size: int) -> Container:
    with path.open("rb") as stream:
        head = stream.read(1 << 16)
        (length,) = struct.unpack_from("<I", head, 4)
        position, index = 12, b""
        for _ in range(_MAX_PARTS):
            if index or position + 8 > size:
                break
            stream.seek(position)
            kind, content = struct.unpack("<4sI", stream.read(8))
            if kind == b"idx1" and content <= _MAX_HEADER:
                index = stream.read(content)
            position += 8 + content + content % 2
    entries = np.frombuffer(index[: len(index) // 16 * 16], "<u4").reshape(-1, 4)
    # Bytes 2 and 3 of a chunk's name say what it holds: dc and db are pictures.
    pictures = np.isin(entries[:, 0] >> 16, (0x6364, 0x6264)) & (entries[:, 3] >= _NOT_CODED)
    # Beyond its first gigabyte a file goes on with further indices.
    known = len(entries) and 8 + length >= size - 16
    return Container(int(pictures.sum()) if known else None, 8 + length > size, b"auds" in head)


def _matroska_end(head: bytes) -> int:
    """The byte at which the file says that it ends; 0 where it says none, as one written live."""
    length, position = _vint(head, 4)
    position += length or 0
    if head[position : position + 4] != b"\x18\x53\x80\x67":
        return 0
    length, position = _vint(head, position + 4)
    return 0 if length is None else position + length


def _vint(data: bytes, position: int) -> tuple[int | None, int]:
    """A length of variable size and the byte behind it; None for "unknown"."""
    if position >= len(data) or not data[position]:
        return None, position
    width = 9 - data[position].bit_length()
    value = int.from_bytes(data[position : position + width], "big") - (1 << 7 * width)
    return None if value == (1 << 7 * width) - 1 else value, position + width
