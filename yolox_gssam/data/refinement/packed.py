"""Refined boxes of many clips in one small file.

An xz-compressed NumPy archive: of each box how it came about and its four edges, as differences from the loose box
in eighths of a pixel and these as differences from frame to frame; of each clip a hash of its loose boxes, so that
nobody gets boxes that were measured for other ones.
"""

import hashlib
import io
import lzma
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.text import printable
from yolox_gssam.data.refinement.clip import Refined

STEPS = 8
"""Steps in a pixel that edges are rounded to."""
LABEL_STEPS = 100
"""Steps in a pixel that loose boxes are rounded to where they are compared."""
HASH_BYTES = 8


@dataclass(frozen=True, eq=False)
class LooseBoxes:
    """The loose boxes of a clip: boxes_xywh (n, 4) pixels, frame (n,) ascending, labels (n,) class index."""

    boxes_xywh: NDArray[np.float64]
    frame: NDArray[np.int64]
    labels: NDArray[np.int64]

    def digest(self) -> bytes:
        """A hash that tells whether two clips have the same boxes in the same order."""
        boxes = np.round(self.boxes_xywh * LABEL_STEPS).astype("<i8")
        rows = np.concatenate([self.frame[:, None], self.labels[:, None], boxes], axis=1).astype("<i8")
        return hashlib.sha256(np.ascontiguousarray(rows).tobytes()).digest()[:HASH_BYTES]


class PackedClips:
    """Refined boxes by clip name."""

    def __init__(self, clips: Mapping[str, tuple[bytes, NDArray[np.int64], NDArray[np.uint8]]]) -> None:
        """Args: clips: digest of the loose boxes, edges minus the loose box's in steps (n, 4), and way (n,)."""
        self._clips = dict(clips)

    def __len__(self) -> int:
        return len(self._clips)

    def add(self, name: str, loose: LooseBoxes, refined: Refined) -> None:
        """Keeps the refined boxes of a clip, rounded."""
        steps = np.round((refined.boxes_xyxy - _xyxy(loose.boxes_xywh)) * STEPS).astype(np.int64)
        self._clips[name] = (loose.digest(), steps, refined.way)

    def find(self, name: str, loose: LooseBoxes) -> Refined | None:
        """The refined boxes of a clip in the order of its loose ones; None: not held, or for other loose boxes."""
        digest, steps, way = self._clips.get(name, (b"", np.zeros((0, 4), np.int64), np.zeros(0, np.uint8)))
        if digest != loose.digest():
            return None
        return Refined(_xyxy(loose.boxes_xywh) + steps / STEPS, way)

    def to_bytes(self) -> bytes:
        """The file's content; the same clips give the same bytes."""
        names = sorted(self._clips)
        digests, steps, ways = zip(*(self._clips[name] for name in names), strict=True) if names else ((), (), ())
        arrays: dict[str, Any] = {
            "names": np.array(names, "S"),
            "counts": np.array([len(way) for way in ways], "<i4"),
            "digests": np.frombuffer(b"".join(digests), np.uint8).reshape(-1, HASH_BYTES),
            "ways": np.concatenate([*ways, np.zeros(0, np.uint8)]),
        }
        edges = np.concatenate([np.zeros((0, 4), np.int64), *(np.diff(own, axis=0, prepend=0) for own in steps)])
        arrays |= {f"edges{axis}": edges[:, axis].astype("<i2") for axis in range(4)}
        stream = io.BytesIO()
        np.savez(stream, **arrays)
        filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 0, "lp": 1, "pb": 1}]
        return lzma.compress(stream.getvalue(), lzma.FORMAT_XZ, filters=filters)

    @staticmethod
    def from_file(path: Path) -> "PackedClips":
        """Reads what `to_bytes` gave.

        Raises:
            UserError: no such file, or another one.
        """
        try:
            with np.load(io.BytesIO(lzma.decompress(path.read_bytes())), allow_pickle=False) as arrays:
                return PackedClips(_unpacked(arrays))
        except (OSError, lzma.LZMAError, ValueError, KeyError, EOFError) as error:
            raise UserError(
                f"{printable(path)}: not a file of refined boxes ({type(error).__name__}); make it again"
            ) from error


def _unpacked(arrays: Any) -> dict[str, tuple[bytes, NDArray[np.int64], NDArray[np.uint8]]]:
    edges = np.stack([arrays[f"edges{axis}"] for axis in range(4)], axis=1).astype(np.int64)
    ways, digests = arrays["ways"], arrays["digests"]
    ends = np.cumsum(arrays["counts"]).tolist()
    clips = {}
    for index, (name, end) in enumerate(zip(arrays["names"].tolist(), ends, strict=True)):
        own = slice(ends[index - 1] if index else 0, end)
        clips[name.decode()] = (digests[index].tobytes(), np.cumsum(edges[own], axis=0), ways[own])
    return clips


def _xyxy(boxes_xywh: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([boxes_xywh[:, :2], boxes_xywh[:, :2] + boxes_xywh[:, 2:]], axis=1)
