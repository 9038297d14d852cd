"""Roboflow's trackers behind the interface of ours; the package is optional."""

from importlib.util import find_spec

import numpy as np
import pytest
from research.guard.guard_cases import BIRD, boxes

from yolox_gssam.common.errors import UserError
from yolox_gssam.detections import Detections
from yolox_gssam.research.guard import other_trackers
from yolox_gssam.research.guard.other_trackers import OTHER_TRACKERS, OtherTracker, require_trackers
from yolox_gssam.tracking.tracks import Tracker, TrackOptions

needs_trackers = pytest.mark.skipif(
    find_spec("trackers") is None, reason="trackers is not installed: pip install trackers"
)


@needs_trackers
@pytest.mark.parametrize("name", OTHER_TRACKERS)
def test_a_slow_target_is_one_track_from_its_second_box_on(name: str) -> None:
    """A second target, since C-BIoU takes those of the very first frame at once."""
    tracker = OtherTracker(name, TrackOptions(), 10)
    tracker.update(boxes((300, 20, 0.9)), 0.0)
    for frame in range(1, 21):
        found = boxes((20 + frame, 50, 0.8)) if frame != 8 else Detections.empty()
        assert tracker.update(found, frame / 10) == [] or frame > 10
        own = [track for track in tracker.tracks if track.score < 0.85]
        assert len(own) == int(frame > 1)
    (track,) = own
    assert (track.hits, track.missed, track.seen_s) == (18, 0, 2.0)
    assert track.evidence[0] == pytest.approx(18 * np.log(5), rel=1e-5)


@needs_trackers
@pytest.mark.parametrize("name", OTHER_TRACKERS)
def test_targets_apart_are_tracks_apart_and_end(name: str) -> None:
    tracker = OtherTracker(name, TrackOptions(), 10)
    for frame in range(5):
        tracker.update(boxes((20, 50, 0.8), (200, 50, 0.7)), frame / 10)
    assert sorted(track.score for track in tracker.tracks) == pytest.approx([0.7, 0.8])
    ended = [track for frame in range(5, 30) for track in tracker.update(Detections.empty(), frame / 10)]
    assert len(ended) == 2
    assert tracker.tracks == []
    for frame in range(30, 34):
        tracker.update(boxes((20, 50, 0.9), label=BIRD), frame / 10)
    (track,) = tracker.tracks
    assert (track.label, track.hits, track.track_id) == (BIRD, 3, 3)


@needs_trackers
def test_a_target_that_jumps_further_than_its_size_is_lost_by_overlap_and_not_by_ours() -> None:
    """Three sizes a frame at 10 frames a second: no two boxes overlap."""
    ours, theirs = Tracker(), OtherTracker("bytetrack", TrackOptions(), 10)
    for frame in range(10):
        for tracker in (ours, theirs):
            tracker.update(boxes((20 + 30 * frame, 50, 0.8)), frame / 10)
    assert [track.hits for track in ours.tracks] == [10]
    assert max((track.hits for track in theirs.tracks), default=0) < 10


def test_without_the_package_a_line_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(other_trackers, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="--other-trackers needs the package trackers: pip install trackers"):
        require_trackers()
