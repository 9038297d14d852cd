"""Detections of a film, saved and read."""

from pathlib import Path

import numpy as np
import pytest
from research.guard.guard_cases import BIRD, boxes, drawn_set
from watch.scenes import CLASSES, BrightSpots

from yolox_gssam.detections import Detections
from yolox_gssam.research.guard.labelled_film import read_films
from yolox_gssam.research.guard.saved_detections import SavedDetections, detect_film, detections_key

SAVED = SavedDetections(
    np.array([0, 3, 6]),
    [boxes((9, 9, 0.5), (30.25, 20, 0.75)), Detections.empty(), boxes((7, 7, 0.125), label=BIRD)],
    np.array([[0, 0], [1.5, -2], [0, 0.25]]),
    CLASSES,
)


def test_what_is_saved_is_read(tmp_path: Path) -> None:
    SAVED.save(tmp_path / "new" / "a.npz", "key")
    read = SavedDetections.load(tmp_path / "new" / "a.npz", "key")
    assert read is not None
    assert tuple(read.class_names) == CLASSES
    np.testing.assert_array_equal(read.frames, SAVED.frames)
    np.testing.assert_array_equal(read.shifts, SAVED.shifts)
    for got, wanted in zip(read.detections, SAVED.detections, strict=True):
        np.testing.assert_array_equal(got.boxes_xyxy, wanted.boxes_xyxy)
        np.testing.assert_array_equal(got.scores, wanted.scores)
        np.testing.assert_array_equal(got.labels, wanted.labels)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.npz"]


def test_a_film_of_no_frames(tmp_path: Path) -> None:
    SavedDetections(np.zeros(0, np.int64), [], np.zeros((0, 2)), CLASSES).save(tmp_path / "a.npz", "key")
    read = SavedDetections.load(tmp_path / "a.npz", "key")
    assert read is not None
    assert len(read.detections) == 0


@pytest.mark.parametrize("damage", ["another", "cut", "text", "missing"])
def test_what_cannot_be_used_is_not(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "a.npz"
    SAVED.save(path, "another" if damage == "another" else "key")
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-200])
    elif damage == "text":
        path.write_text("no archive")
    elif damage == "missing":
        path.unlink()
    assert SavedDetections.load(path, "key") is None


def test_a_network_sees_the_sampled_frames(tmp_path: Path) -> None:
    """At 5 of 10 frames a second the drone's 20 frames from the 20th on are 10, 6 pixels apart."""
    (film,) = [film for film in read_films(drawn_set(tmp_path), tmp_path / "kept") if film.name == "drone"]
    network = BrightSpots()
    network.class_names = CLASSES
    saved = detect_film(network, film, film.sample(5), 8)
    assert network.batches == [8, 8, 8, 6]
    assert saved.frames.tolist() == list(range(0, 60, 2))
    lefts = [found.boxes_xyxy[found.labels == 0, 0].tolist() for found in saved.detections]
    assert lefts[:10] == lefts[20:] == [[]] * 10
    np.testing.assert_allclose(lefts[10:20], 20 + 6 * np.arange(10)[:, None], atol=1)
    assert saved.shifts.shape == (30, 2)


def test_the_key_tells_networks_films_and_frames_apart(tmp_path: Path) -> None:
    one, two = read_films(drawn_set(tmp_path), tmp_path / "kept")[:2]
    keys = [
        detections_key(one, one.sample(10), {"network": "a"}),
        detections_key(one, one.sample(5), {"network": "a"}),
        detections_key(one, one.sample(10), {"network": "b"}),
        detections_key(two, two.sample(10), {"network": "a"}),
    ]
    assert len(set(keys)) == 4
    assert keys[0] == detections_key(one, one.sample(10), {"network": "a"})
