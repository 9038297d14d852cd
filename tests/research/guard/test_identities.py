"""Switches of identity, IDF1 and HOTA, worked out by hand; the package that computes them is optional."""

import sys
from dataclasses import replace

import numpy as np
import pytest
from research.guard.guard_cases import BIRD, DRONE, boxes, seen

from yolox_gssam.detections import Detections
from yolox_gssam.research.guard import identities
from yolox_gssam.research.guard.identities import Identities, closeness_by_centre, measure_identities
from yolox_gssam.research.guard.replay import TrackReplay
from yolox_gssam.research.guard.seen_film import SeenFilm
from yolox_gssam.tracking.tracks import Tracker
from yolox_gssam.watch.alarms import AlarmOptions


def measure(*films: SeenFilm) -> dict[str, Identities] | None:
    return measure_identities(
        [(film, TrackReplay(film, Tracker(), AlarmOptions(frozenset({DRONE})))) for film in films]
    )


STEADY = seen([boxes((50, 50, 0.8))] * 10, [(50, 50)] * 10)
JUMPS = seen([boxes((50, 50, 0.8))] * 5 + [boxes((550, 50, 0.8))] * 5, [(50, 50)] * 5 + [(550, 50)] * 5)


@pytest.fixture
def trackeval() -> None:
    pytest.importorskip("trackeval", reason="trackeval is not installed: pip install 'yolox-gssam[tracking]'")


@pytest.mark.usefixtures("trackeval")
def test_one_track_that_keeps_to_its_drone() -> None:
    """A track counts from its second box on: nine of ten."""
    found = measure(STEADY)
    assert found is not None
    for own in found.values():
        assert (own.films, own.switches) == (1, 0)
        assert own.idf1 == pytest.approx(2 * 9 / (10 + 9))
        assert (own.detection, own.association, own.hota) == pytest.approx((0.9, 0.9, 0.9))


@pytest.mark.usefixtures("trackeval")
def test_a_drone_that_two_tracks_share() -> None:
    """Four boxes each: the better track alone is right in IDF1, and each is a 0.4 of the drone."""
    found = measure(JUMPS)
    assert found is not None
    own = found["by_iou"]
    assert (own.switches, own.switches_per_film) == (1, 1)
    assert own.idf1 == pytest.approx(2 * 4 / (10 + 8))
    assert (own.detection, own.association) == pytest.approx((0.8, 0.4))
    assert own.hota == pytest.approx(np.sqrt(0.8 * 0.4))


@pytest.mark.usefixtures("trackeval")
def test_films_are_summed_and_those_without_drones_or_tracks_left_out() -> None:
    empty = seen([boxes((50, 50, 0.8))] * 10)
    untold = replace(STEADY, drone_tracks=[np.zeros(1, np.int64)] * 10)
    birds = seen([boxes((50, 50, 0.8), label=BIRD)] * 10, [(50, 50)] * 10)
    found = measure(STEADY, JUMPS, empty, untold, birds)
    assert found is not None
    own = found["by_centre"]
    assert (own.films, own.switches) == (3, 1)
    assert own.idf1 == pytest.approx(2 * (9 + 4) / (30 + 9 + 8))
    assert measure(empty, untold) is None


@pytest.mark.usefixtures("trackeval")
def test_a_box_of_another_margin_lies_on_the_drone_by_centre_alone() -> None:
    """Five pixels to the side: an IoU of a third, and just at the limit by centre."""
    found = measure(seen([boxes((55, 50, 0.8))] * 10, [(50, 50)] * 10))
    assert found is not None
    assert found["by_iou"].idf1 == 0
    assert found["by_centre"].idf1 == pytest.approx(18 / 19)


def test_closeness_by_centre() -> None:
    """Of a drone of 10 pixels the limit is 5, of one of 4 it is 3."""
    true = np.array([[0, 0, 10, 10], [100, 100, 104, 104]], np.float64)
    found = boxes((5, 5, 1), (7.5, 5, 1), (5, 10.5, 1), (105, 102, 1))
    expected = [[1, 0], [0.75, 0], [0, 0], [0, 0.5]]
    np.testing.assert_allclose(closeness_by_centre(found, true), expected)
    assert closeness_by_centre(Detections.empty(), true).shape == (0, 2)


def test_without_the_package_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identities, "find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "trackeval", None)
    assert measure(STEADY) is None
