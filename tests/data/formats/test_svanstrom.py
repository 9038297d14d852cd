import io
import json
import multiprocessing
import os
import struct
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.images import read_image
from yolox_gssam.data.formats import svanstrom
from yolox_gssam.data.formats.films import Sampling
from yolox_gssam.data.formats.svanstrom import (
    SVANSTROM_CLASSES,
    ClipLabels,
    find_clips,
    known_classes,
    label_path,
    parse_labels,
    read_labels,
    svanstrom_records,
)

matio = pytest.importorskip("matio", reason="mat-io reads the labels; it needs Python 3.11")

ROOT = Path(__file__).parents[4] / "shared" / "data" / "svanstrom"
needs_clips = pytest.mark.skipif(not ROOT.is_dir(), reason="../shared/data/svanstrom is not there")


def make_clip(folder: Path, name: str, frames: int) -> Path:
    """A clip whose frame k is a grey picture of brightness 20 k."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 30, (64, 48))
    for number in range(frames):
        writer.write(np.full((48, 64, 3), 20 * number, np.uint8))
    writer.release()
    label_path(path).touch()
    return path


def labels_of(frames: int) -> ClipLabels:
    """A drone and a bird in frame 4, a drone in frame 6."""
    boxes = np.array([[10, 5, 8, 6], [1, 2, 3, 4], [20, 5, 8, 6]], float)
    return ClipLabels(frames, boxes, np.array([4, 4, 6]), np.array([2, 1, 2]))


@needs_clips
@pytest.mark.parametrize(
    ("sensor", "published", "step", "read"),
    [("visible", "labels.json", 1, parse_labels), ("infrared", "labels_infrared.json", 20, read_labels)],
)
def test_boxes_of_clips_equal_the_published_ones(
    sensor: str, published: str, step: int, read: Callable[[Path], ClipLabels]
) -> None:
    """Of every visible clip, read without a process for each, and as a user's of every twentieth infrared one."""
    truth = json.loads((ROOT / published).read_text())
    clips = find_clips(ROOT, sensor)
    assert sorted(clip.stem for clip in clips) == sorted(truth)
    clips = clips[::step]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, context) as pool:
        labels_of_clips = list(pool.map(read, map(label_path, clips), chunksize=8))
    for clip, labels in zip(clips, labels_of_clips, strict=True):
        expected = truth[clip.stem]
        # The infrared clips' boxes name their class as well, and stand class by class.
        rows = sorted(expected["boxes"], key=lambda box: box[0])
        boxes = np.array([row[:5] for row in rows], float).reshape(-1, 5)
        assert labels.frames == expected["frames"], clip.stem
        np.testing.assert_array_equal(labels.frame, boxes[:, 0], clip.stem)
        np.testing.assert_allclose(labels.boxes_xywh, boxes[:, 1:] - [1, 1, 0, 0], atol=6e-4, err_msg=clip.stem)
        names = [SVANSTROM_CLASSES[label].upper() for label in labels.labels]
        assert names == [(row[5:] or [expected["class"]])[0] for row in rows], clip.stem


@needs_clips
def test_frames_of_a_real_clip_are_those_that_the_labels_speak_of() -> None:
    """Decoded in a row, a frame is the same as when it is sought out by its number."""
    clip = ROOT / "Data" / "Video_V" / "V_DRONE_001.mp4"
    encoded = list(svanstrom_records({clip: read_labels(label_path(clip))}, Sampling(100), ("drone",)))
    records = [record for record, _ in encoded]
    assert [record.file_name for record in records] == [f"V_DRONE_001_000{n}00.jpg" for n in range(len(records))]
    capture = cv2.VideoCapture(str(clip))
    for record, data in encoded:
        capture.set(cv2.CAP_PROP_POS_FRAMES, int(record.file_name[-10:-4]))
        done, frame = capture.read()
        stored = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        assert done
        assert np.abs(frame.astype(float) - stored).mean() < 2
        assert (record.width, record.height, record.group) == (640, 512, "V_DRONE_001")


def test_every_nth_frame_with_its_boxes(tmp_path: Path) -> None:
    clip = make_clip(tmp_path, "V_DRONE_009", 9)
    encoded = list(svanstrom_records({clip: labels_of(9)}, Sampling(2), ("drone", "bird")))
    records = [record for record, _ in encoded]
    assert [record.file_name for record in records] == [f"V_DRONE_009_00000{n}.jpg" for n in (0, 2, 4, 6, 8)]
    assert [list(record.labels) for record in records] == [[], [], [0, 1], [0], []]
    np.testing.assert_array_equal(records[2].boxes_xyxy, [[10, 5, 18, 11], [1, 2, 4, 6]])
    for number, (_, data) in zip((0, 2, 4, 6, 8), encoded, strict=True):
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        assert abs(image.mean() - 20 * number) < 4
    drones = list(svanstrom_records({clip: labels_of(9)}, Sampling(3, offset=1, jpeg_quality=50), ("drone",)))
    assert [(record.file_name[-8:-4], list(record.labels)) for record, _ in drones] == [
        *(("0001", []), ("0004", [0]), ("0007", [])),
    ]


@pytest.mark.parametrize(("bgr", "channels"), [((80, 80, 80), 1), ((80, 80, 82), 3)], ids=["grey", "coloured"])
def test_grey_frames_are_stored_in_one_channel_and_read_in_three(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bgr: tuple[int, int, int], channels: int
) -> None:
    """As decoded frames of the infrared clips are; the codec of a clip written here would tint its frames."""
    frame = np.full((48, 64, 3), bgr, np.uint8)
    monkeypatch.setattr(svanstrom, "film_frames", lambda clip, wanted: iter([(4, frame)]))
    clip = tmp_path / "IR_DRONE_009.mp4"
    ((stored, data),) = svanstrom_records({clip: labels_of(9)}, Sampling(9, offset=4), ("drone",))
    assert (stored.group, stored.stratum, stored.width, stored.height) == ("IR_DRONE_009", "IR", 64, 48)
    assert len(Image.open(io.BytesIO(data)).getbands()) == channels
    (tmp_path / "stored.jpg").write_bytes(data)
    image = read_image(tmp_path / "stored.jpg")
    assert image.shape == (48, 64, 3)
    assert np.abs(image.astype(int) - frame).max() <= 2


def test_which_classes_a_clip_shows() -> None:
    assert labels_of(9).shows(("airplane", "bird"))
    assert not labels_of(9).shows(("airplane", "helicopter"))


def test_clip_that_ends_before_its_labels(tmp_path: Path) -> None:
    clip = make_clip(tmp_path, "V_DRONE_009", 9)
    with pytest.raises(UserError, match=r"V_DRONE_009\.mp4: ends at frame 9, frames up to 18 are labelled"):
        list(svanstrom_records({clip: labels_of(20)}, Sampling(6), ("drone",)))


def test_clip_that_is_none(tmp_path: Path) -> None:
    clip = make_clip(tmp_path, "V_DRONE_009", 9)
    clip.write_bytes(clip.read_bytes()[:200])
    with pytest.raises(UserError, match=r"V_DRONE_009\.mp4: (the clip cannot be opened|ends at frame 0)"):
        list(svanstrom_records({clip: labels_of(9)}, Sampling(1), ("drone",)))


@pytest.mark.parametrize("below", ["", "Video_V", "Data/Video_V"])
def test_find_clips(tmp_path: Path, below: str) -> None:
    for name in ("V_DRONE_002", "V_BIRD_001"):
        make_clip(tmp_path / below, name, 1)
    assert [clip.name for clip in find_clips(tmp_path)] == ["V_BIRD_001.mp4", "V_DRONE_002.mp4"]
    label_path(tmp_path / below / "V_BIRD_001.mp4").unlink()
    with pytest.raises(UserError, match=r"V_BIRD_001_LABELS\.mat: no such label file"):
        find_clips(tmp_path)


@pytest.mark.parametrize("below", ["", "Video_IR", "Data/Video_IR"])
def test_clips_of_the_infrared_camera(tmp_path: Path, below: str) -> None:
    make_clip(tmp_path / below, "IR_DRONE_001", 1)
    assert [clip.name for clip in find_clips(tmp_path, "infrared")] == ["IR_DRONE_001.mp4"]
    with pytest.raises(UserError, match=r"no clips Data/Video_V/V_\*\.mp4"):
        find_clips(tmp_path, "both")
    make_clip(tmp_path / below.replace("_IR", "_V"), "V_BIRD_001", 1)
    assert [clip.name for clip in find_clips(tmp_path, "both")] == ["V_BIRD_001.mp4", "IR_DRONE_001.mp4"]


def test_no_clips(tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "missing"):
        with pytest.raises(UserError, match="no clips"):
            find_clips(root)


@pytest.mark.parametrize("data", [b"", b"MATLAB 5.0 MAT-file, damaged", b"\x00" * 1000])
def test_label_file_that_is_none(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a_LABELS.mat"
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"a_LABELS\.mat: not a MATLAB groundTruth file"):
        read_labels(path)


@needs_clips
@pytest.mark.parametrize("size", [100, 5_000, -100])
def test_broken_off_label_file(tmp_path: Path, size: int) -> None:
    source = label_path(find_clips(ROOT)[0])
    path = tmp_path / source.name
    path.write_bytes(source.read_bytes()[:size])
    with pytest.raises(UserError, match="not a MATLAB groundTruth file"):
        read_labels(path)


@pytest.mark.parametrize(
    "cell",
    [
        pytest.param(np.array([[1.0, 2, 3]]), id="three numbers"),
        pytest.param(np.array([[1.0, 2, 3, np.nan]]), id="NaN"),
        pytest.param(np.array([[1.0, 2, -3, 4]]), id="negative width"),
        pytest.param(np.array([[1.0, 2, 0, 4]]), id="no area"),
        pytest.param(np.array([[1e308, 2, 3, 4]]), id="1e308"),
        pytest.param(np.array([["1", "2", "3", "4"]]), id="text"),
        pytest.param(np.array([1.0, 2, 3, 4]), id="one dimension"),
    ],
)
def test_faulty_boxes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cell: np.ndarray) -> None:
    table = np.empty((2, 1), dtype=[("Time", "O"), ("DRONE", "O")])
    table["DRONE"][0, 0] = np.zeros((0, 0))
    table["DRONE"][1, 0] = cell
    monkeypatch.setattr(matio, "load_from_mat", lambda path: {"gTruth": _GroundTruth(table)})
    path = tmp_path / "a_LABELS.mat"
    path.touch()
    with pytest.raises(UserError, match="frame 1: DRONE must hold boxes"):
        parse_labels(path)


class _GroundTruth:
    def __init__(self, table: Any) -> None:
        self.properties = {"any": np.array([[{"LabelData": table}]], dtype=object)}


def test_a_label_file_that_crashes_its_parser(tmp_path: Path) -> None:
    """Cells inside cells, 100,000 deep: the parser's compiled part overruns its stack."""
    depth, head = 100_000, struct.pack("<10I", 6, 8, 1, 0, 5, 8, 1, 1, 0x10001, 103)  # a cell of one
    cells = b"".join(struct.pack("<2I", 14, (depth - n) * (8 + len(head)) - 8) + head for n in range(depth))
    path = tmp_path / "a_LABELS.mat"
    path.write_bytes(b"MATLAB 5.0 MAT-file".ljust(116) + bytes(8) + b"\0\1IM" + cells)
    with pytest.raises(UserError, match=r"a_LABELS\.mat: not a MATLAB groundTruth file: it crashed while it was read"):
        read_labels(path)


@pytest.mark.parametrize("place", ["clip", "labels"])
@pytest.mark.parametrize("kind", ["link to a device", "circle of links", "pipe"])
def test_clips_that_are_no_files(tmp_path: Path, place: str, kind: str) -> None:
    clip = make_clip(tmp_path, "V_DRONE_001", 1)
    path = clip if place == "clip" else label_path(clip)
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)  # OpenCV would wait for someone to write into it
    else:
        path.symlink_to("/dev/zero" if kind == "link to a device" else path.name)
    with pytest.raises(UserError, match=rf"{path.name}: (not a file|no such label file)"):
        find_clips(tmp_path)


def test_classes_asked_for() -> None:
    assert known_classes(["DRONE", "Bird"]) == ("drone", "bird")
    for names in (["kite"], ["drone", "DRONE"]):
        with pytest.raises(UserError, match="classes must be different ones of airplane, bird"):
            known_classes(names)


@pytest.mark.parametrize("arguments", [(0,), (5, -1), (5, 0, 0), (5, 0, 101)])
def test_sampling_that_makes_no_sense(arguments: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match="stride from 1"):
        Sampling(*arguments)
