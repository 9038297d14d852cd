"""Tracks of small targets on made paths."""

import numpy as np
import pytest

from yolox_gssam.detections import Detections
from yolox_gssam.tracking.tracks import Tracker, TrackOptions

DRONE, BIRD = 0, 1


def boxes_at(*centres: tuple[float, float], size: float = 10, score: float = 0.8, label: int = DRONE) -> Detections:
    middle = np.array(centres, np.float32).reshape(-1, 2)
    boxes = np.concatenate((middle - size / 2, middle + size / 2), axis=1)
    return Detections(boxes, np.full(len(middle), score), np.full(len(middle), label))


def joined(*parts: Detections) -> Detections:
    return Detections(
        np.concatenate([part.boxes_xyxy for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.labels for part in parts]),
    )


@pytest.mark.parametrize("rate", [30, 10, 5])
@pytest.mark.parametrize("speed", [0, 60, 150], ids=lambda speed: f"{speed}px/s")
def test_one_target_is_one_track(rate: int, speed: float) -> None:
    """Also where it goes 3 sizes a frame."""
    tracker = Tracker()
    for frame in range(3 * rate):
        time_s = frame / rate
        assert tracker.update(boxes_at((20 + speed * time_s, 50)), time_s) == []
    (track,) = tracker.tracks
    assert (track.track_id, track.hits) == (1, 3 * rate)
    assert track.motion.velocity == pytest.approx([speed, 0], abs=0.02 * speed + 1e-6)


def test_crossing_targets_keep_their_tracks() -> None:
    tracker = Tracker()
    for frame in range(40):
        time_s = frame / 10
        there, back = (20.0 + 40 * time_s, 20.0 + 30 * time_s), (180.0 - 40 * time_s, 20.0 + 30 * time_s)
        tracker.update(boxes_at(*((there, back) if frame % 2 else (back, there))), time_s)
    first, second = sorted(tracker.tracks, key=lambda track: track.motion.centre[0])
    assert len(tracker.tracks) == 2
    assert first.motion.velocity[0] < -30
    assert second.motion.velocity[0] > 30


def test_a_gap_is_bridged_and_a_long_one_ends_the_track() -> None:
    tracker = Tracker(TrackOptions(lost_s=1))
    for frame in range(10):
        tracker.update(boxes_at((10 + 8 * frame, 30)), frame / 10)
    for frame in range(10, 15):
        assert tracker.update(Detections.empty(), frame / 10) == []
    tracker.update(boxes_at((10 + 8 * 15, 30)), 1.5)
    assert [track.track_id for track in tracker.tracks] == [1]
    ended = [track for frame in range(16, 40) for track in tracker.update(Detections.empty(), frame / 10)]
    assert [(track.track_id, track.started_s, track.seen_s, track.hits) for track in ended] == [(1, 0, 1.5, 11)]
    assert tracker.tracks == []


def test_single_boxes_are_no_tracks() -> None:
    tracker = Tracker()
    rng = np.random.default_rng(0)
    for frame in range(50):
        if frame % 4 == 0:
            tracker.update(boxes_at(tuple(rng.uniform(0, 2000, 2))), frame / 10)
        else:
            tracker.update(Detections.empty(), frame / 10)
        assert tracker.tracks == []
    assert tracker.end_all() == []


def test_weak_boxes_go_on_with_tracks_and_begin_none() -> None:
    tracker = Tracker(TrackOptions(start_score=0.3, keep_score=0.1))
    for frame in range(5):
        tracker.update(boxes_at((10, 10), score=0.2), frame / 10)
    assert tracker.tracks == []
    for frame in range(5, 20):
        strong = boxes_at((10, 10), score=0.9 if frame < 8 else 0.2)
        tracker.update(joined(strong, boxes_at((300, 10), score=0.2), boxes_at((10, 80), score=0.05)), frame / 10)
    assert [(track.track_id, track.hits) for track in tracker.tracks] == [(1, 15)]


def test_each_box_is_told_its_track() -> None:
    tracker = Tracker()
    tracker.update(joined(boxes_at((10, 10)), boxes_at((90, 10))), 0.0)
    assert tracker.assigned == [1, 2]
    tracker.update(joined(boxes_at((92, 10)), boxes_at((50, 80), score=0.1), boxes_at((12, 10))), 0.1)
    assert tracker.assigned == [2, 0, 1]
    tracker.update(Detections.empty(), 0.2)
    assert tracker.assigned == []


def test_a_panned_picture_takes_its_tracks_along() -> None:
    """A pan that jumps about, as by a hand, is no motion of the target: without the shift the track is lost."""
    rng = np.random.default_rng(1)
    pans = np.concatenate((np.zeros((2, 2)), rng.uniform(-60, 60, (38, 2))))
    counts = {}
    for told in (True, False):
        tracker, offset = Tracker(), np.zeros(2)
        for frame, pan in enumerate(pans):
            offset = offset + pan
            x, y = np.array([300.0 + 5 * frame, 200.0]) + offset
            tracker.update(boxes_at((float(x), float(y))), frame / 10, pan if told else (0, 0))
        counts[told] = tracker._last_id
    assert counts[True] == 1
    assert counts[False] > 1


def test_evidence_is_summed_and_fades() -> None:
    """A bird that looks like a drone in five frames of a hundred, the better ones, stays a bird."""
    tracker = Tracker()
    expected = np.zeros(2)
    for frame in range(100):
        is_drone = frame % 20 == 7
        looks = boxes_at((frame, 5), label=DRONE, score=0.9) if is_drone else boxes_at((frame, 5), label=BIRD)
        tracker.update(looks, frame / 10)
        # The integral of exp(-t / 5) over the frame's own piece, and what is left of the older ones.
        piece = 5 * (1 - np.exp(-0.2)) * -np.log(0.1 if is_drone else 0.2)
        expected = np.exp(-0.2) * expected + np.where(is_drone, (piece, 0), (0, piece))
    (track,) = tracker.tracks
    assert track.label == BIRD
    assert track.evidence[DRONE] == pytest.approx(expected[0], rel=1e-5)
    assert track.evidence[BIRD] == pytest.approx(expected[1], rel=1e-5)
    assert track.evidence_for(frozenset({DRONE})) == pytest.approx(expected[0] - 1.5 * expected[1])


@pytest.mark.parametrize("rate", [100, 50, 20, 10, 5])
def test_evidence_of_a_steady_score_is_the_same_at_every_frame_rate(rate: int) -> None:
    tracker = Tracker()
    for frame in range(10 * rate + 1):
        tracker.update(boxes_at((5, 5)), frame / rate)
    assert tracker.tracks[0].evidence[DRONE] == pytest.approx(-5 * np.log(0.2), rel=1e-3)


def test_a_clock_set_back_does_no_harm() -> None:
    tracker = Tracker()
    for time_s in (100.0, 100.1, 3.0, 3.1, 100.2):
        tracker.update(boxes_at((50, 50)), time_s)
    assert [(track.track_id, track.hits) for track in tracker.tracks] == [(1, 5)]


def test_a_much_larger_box_is_another_target() -> None:
    tracker = Tracker()
    for frame in range(4):
        tracker.update(boxes_at((50, 50), size=10 if frame < 2 else 100), frame / 10)
    assert sorted(track.track_id for track in tracker.tracks) == [1, 2]
