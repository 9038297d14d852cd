"""Thresholds from made-up false alarms."""

from dataclasses import dataclass

import pytest

from yolox_gssam.research.guard.calibration import FalseAlarmRate, calibrate
from yolox_gssam.research.guard.replay import Outcome


@dataclass
class Made:
    """A film in which each value raises one false alarm, up to that threshold."""

    peaks: tuple[float, ...]

    def at(self, threshold: float) -> Outcome:
        return Outcome(None, tuple(peak for peak in self.peaks if peak >= threshold))


FILMS = [Made((9.5, 0.7)), Made(()), Made((4.25, 3.0))]


@pytest.mark.parametrize(
    ("hours", "per_hour", "allowed", "threshold", "count"),
    [
        pytest.param(0.5, 1, 0, 9.501, 0, id="none"),
        pytest.param(1, 1, 1, 4.251, 1, id="one"),
        pytest.param(0.5, 4, 2, 3.001, 2, id="two"),
        pytest.param(3, 1, 3, 0.701, 3, id="three"),
        pytest.param(2, 2, 4, 0.288, 4, id="more-than-there-are"),
    ],
)
def test_the_least_threshold_within_the_bound(
    hours: float, per_hour: float, allowed: int, threshold: float, count: int
) -> None:
    own = calibrate(FILMS, hours, per_hour, 0.2877)
    assert (own.allowed, own.threshold, own.rate.count, own.films) == (allowed, threshold, count, 3)


def test_films_in_which_nothing_is_found() -> None:
    assert calibrate([Made(()), Made((0.1,))], 1, 1, 0.05).threshold == 0.05
    assert calibrate([Made(()), Made((0.1,))], 0.5, 1, 0.05).threshold == 0.101


def test_intervals_of_rates_are_garwood_s() -> None:
    """Ninety-five in a hundred: 0 to 3.689 for none, 0.0253 to 5.572 for one, 4.795 to 18.39 for ten."""
    assert FalseAlarmRate(0, 1).interval == pytest.approx((0, 3.689), abs=1e-3)
    assert FalseAlarmRate(1, 0.5).interval == pytest.approx((2 * 0.0253, 2 * 5.572), abs=1e-3)
    assert FalseAlarmRate(10, 1).interval == pytest.approx((4.795, 18.39), abs=1e-2)
    assert (FalseAlarmRate(0, 0).interval, FalseAlarmRate(0, 0).per_hour) == (None, None)
