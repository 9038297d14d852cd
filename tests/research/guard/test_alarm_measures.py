"""Measures of alarms, worked out by hand."""

import pytest
from research.guard.guard_cases import seen

from yolox_gssam.detections import Detections
from yolox_gssam.research.guard.alarm_measures import Share, measure_alarms
from yolox_gssam.research.guard.replay import Outcome
from yolox_gssam.research.guard.seen_film import SeenFilm

EMPTY = [Detections.empty()] * 360  # 36 s, a hundredth of an hour


def with_drone(first_s: float) -> SeenFilm:
    start = round(10 * first_s)
    return seen(EMPTY, [None] * start + [(9, 9)] * (360 - start), classes=["bird"])


def test_measures_of_ten_films() -> None:
    outcomes = [
        (with_drone(1.0), Outcome(1.5, ())),
        (with_drone(2.0), Outcome(2.2, (0.1,))),
        (with_drone(0.0), Outcome(4.0, ())),
        (with_drone(0.0), Outcome(None, (3.0, 20.0))),
        (seen(EMPTY, classes=["bird"]), Outcome(None, (1.0, 30.0))),
        (seen(EMPTY, classes=["bird"]), Outcome(None, ())),
        (seen(EMPTY, classes=["airplane", "bird"]), Outcome(None, (5.0,))),
        (seen(EMPTY), Outcome(None, ())),
    ]
    own = measure_alarms(outcomes)
    assert own.found == Share(3, 4)
    # Delays are 0.2, 0.5, 4.0 and never: half of the films have their alarm after 0.5 s, nine tenths never.
    assert dict(own.delay_s) == {0.5: 0.5, 0.9: None}
    assert (own.false_rate.count, own.false_rate.hours) == (3, pytest.approx(0.04))
    assert own.false_rate.per_hour == pytest.approx(75)
    assert own.false_beside.count == 3
    assert own.others == {"airplane": Share(1, 1), "bird": Share(2, 3), "nothing": Share(0, 1)}
    assert own.to_json()["seconds_to_alarm"] == {"median": 0.5, "90 %": None}


def test_nothing_can_be_measured_on_no_films() -> None:
    own = measure_alarms([])
    assert (own.found.value, own.found.interval, own.false_rate.per_hour) == (None, None, None)
    assert (dict(own.delay_s), own.others) == ({0.5: None, 0.9: None}, {})


def test_intervals_of_shares_are_clopper_and_pearson_s() -> None:
    """One of seven: 0.36 to 57.87 %; none of ten: up to 30.85 %, which is 1 - 0.025 ** (1 / 10)."""
    assert Share(1, 7).interval == pytest.approx((0.0036, 0.5787), abs=1e-4)
    assert Share(0, 10).interval == pytest.approx((0, 1 - 0.025**0.1))
    assert Share(10, 10).interval == pytest.approx((0.025**0.1, 1))
