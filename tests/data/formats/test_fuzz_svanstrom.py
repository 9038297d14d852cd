"""Label files and clips of any content: right boxes and frames, or one line."""

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from fuzzing import attempt, damaged, fuzz, new_folder, spoil
from hypothesis import given
from hypothesis import strategies as st

from yolox_gssam.data.formats.films import Sampling
from yolox_gssam.data.formats.svanstrom import (
    SVANSTROM_CLASSES,
    ClipLabels,
    find_clips,
    label_path,
    read_labels,
    svanstrom_records,
)

pytest.importorskip("matio", reason="mat-io reads the labels; it needs Python 3.11")

ROOT = Path(__file__).parents[4] / "shared" / "data" / "svanstrom"
needs_clips = pytest.mark.skipif(not ROOT.is_dir(), reason="../shared/data/svanstrom is not there")
WORDS = st.sampled_from([0, 1, 5, 6, 9, 14, 15, 17, 128, 2**16, 2**24, 2**28, 2**31 - 1, 2**31, 2**32 - 8, 2**32 - 1])


def real_labels() -> bytes:
    """The smallest label file that there is."""
    return min(ROOT.glob("Data/Video_V/*.mat"), key=lambda path: path.stat().st_size).read_bytes()


@st.composite
def damaged_inside(draw: st.DrawFn, data: bytes) -> bytes:
    """A label file with some 32-bit words of its two packed parts changed, and packed again."""
    parts = []
    position = 128
    while position < len(data):
        kind, size = struct.unpack("<II", data[position : position + 8])
        assert kind == 15
        parts.append(bytearray(zlib.decompress(data[position + 8 : position + 8 + size])))
        position += 8 + size
    for _ in range(draw(st.integers(1, 3))):
        part = parts[draw(st.sampled_from([0, 1, 1, 1]))]
        reach = draw(st.sampled_from([32, 700, len(part) // 4 - 1]))  # most of what is not a box lies at the start
        at = 4 * draw(st.integers(0, min(reach, len(part) // 4 - 1)))
        part[at : at + 4] = struct.pack("<I", draw(WORDS))
    packed = [zlib.compress(part) for part in parts]
    head = data[:116] + struct.pack("<Q", 128 + 8 + len(packed[0])) + data[124:128]
    return head + b"".join(struct.pack("<II", 15, len(part)) + part for part in packed)


def check_labels(path: Path) -> None:
    labels = attempt(lambda: read_labels(path))
    if labels is not None:
        assert labels.boxes_xywh.shape == (len(labels.frame), 4)
        assert np.isfinite(labels.boxes_xywh).all()
        assert (labels.boxes_xywh[:, 2:] > 0).all()
        assert ((labels.frame >= 0) & (labels.frame < labels.frames)).all()
        assert ((labels.labels >= 0) & (labels.labels < len(SVANSTROM_CLASSES))).all()


@needs_clips
@pytest.mark.parametrize("way", [damaged, damaged_inside], ids=["packed", "inside"])
def test_damaged_label_files(tmp_path: Path, way: type[st.SearchStrategy[bytes]]) -> None:
    path = tmp_path / "a\nb_LABELS.mat"
    path.write_bytes(real_labels())
    assert attempt(lambda: read_labels(path)) is not None

    @fuzz(60)
    @given(data=way(real_labels()))
    def check(data: bytes) -> None:
        path.write_bytes(data)
        check_labels(path)

    check()


@fuzz(60)
@given(
    data=st.binary(max_size=300), head=st.sampled_from([b"", b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM", b"\x89HDF"])
)
def test_junk(tmp_path: Path, data: bytes, head: bytes) -> None:
    path = tmp_path / "a_LABELS.mat"
    path.write_bytes(head + data)
    check_labels(path)


def check_frames(clip: Path, frames: int) -> None:
    boxes = np.array([[10, 5, 8, 6]], float)
    labels = ClipLabels(frames, boxes, np.array([4]), np.array([2]))
    records = attempt(lambda: list(svanstrom_records({clip: labels}, Sampling(4), ("drone",))))
    if records is not None:
        assert len(records) == len(range(0, frames, 4))
        assert all(len(record.labels) == (number == 1) for number, (record, _) in enumerate(records))


def test_damaged_clips(tmp_path: Path) -> None:
    clip = tmp_path / "V_DRONE_001.mp4"
    writer = cv2.VideoWriter(str(clip), cv2.VideoWriter.fourcc(*"mp4v"), 30, (64, 48))
    for number in range(9):
        writer.write(np.full((48, 64, 3), 20 * number, np.uint8))
    writer.release()
    whole = clip.read_bytes()

    @fuzz(150)
    @given(data=damaged(whole))
    def check(data: bytes) -> None:
        clip.write_bytes(data)
        check_frames(clip, 9)

    check()


@needs_clips
def test_damaged_real_clip(tmp_path: Path) -> None:
    clip = tmp_path / "V_DRONE_001.mp4"
    whole = (ROOT / "Data" / "Video_V" / clip.name).read_bytes()

    @fuzz(15)
    @given(data=damaged(whole))
    def check(data: bytes) -> None:
        clip.write_bytes(data)
        check_frames(clip, 40)

    check()


@fuzz(40)
@given(data=st.data())
def test_links_and_pipes(tmp_path: Path, data: st.DataObject) -> None:
    root = tmp_path / "around" / "set"
    new_folder(root / "Video_V")
    clip = root / "Video_V" / "V_DRONE_001.mp4"
    clip.touch()
    label_path(clip).touch()
    spoil(data, root / "Video_V")
    clips = attempt(lambda: find_clips(root))
    for found in clips or []:
        assert found.is_file()
        check_labels(label_path(found))
        check_frames(found, 9)
