"""What alarms on films come to: drones found, seconds until then, false alarms an hour, and on which other classes."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.stats import binomtest

from yolox_gssam.research.guard.calibration import FalseAlarmRate
from yolox_gssam.research.guard.replay import Outcome
from yolox_gssam.research.guard.seen_film import SeenFilm


@dataclass(frozen=True)
class Share:
    """So many of so many."""

    count: int
    total: int

    @property
    def value(self) -> float | None:
        """From 0 to 1; None of nothing."""
        return self.count / self.total if self.total else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The exact 95 % interval (Clopper and Pearson, Biometrika 1934); None of nothing."""
        if not self.total:
            return None
        low, high = binomtest(self.count, self.total).proportion_ci(0.95, "exact")
        return float(low), float(high)

    def to_json(self) -> dict[str, Any]:
        """As written to JSON."""
        return {"count": self.count, "of": self.total, "share": self.value, "interval_95": self.interval}


@dataclass(frozen=True)
class AlarmMeasures:
    """The measures of one way of raising alarms, on films that each count once.

    Attributes:
        found: drone films with an alarm on a drone.
        delay_s: quantile (0.5, 0.9) -> seconds from the first visible drone to that alarm, over all drone films, those
            without one as infinite; None: infinite, or no such films.
        false_rate: false alarms in films without drones.
        false_beside: false alarms in films with drones, which are not in the rate.
        others: class -> films without drones that show it, and in how many of them a false alarm is raised; "nothing"
            are those without objects.
    """

    found: Share
    delay_s: Mapping[float, float | None]
    false_rate: FalseAlarmRate
    false_beside: FalseAlarmRate
    others: Mapping[str, Share]

    def to_json(self) -> dict[str, Any]:
        """As written to JSON."""
        return {
            "drone_films_with_alarm": self.found.to_json(),
            "seconds_to_alarm": {"median": self.delay_s[0.5], "90 %": self.delay_s[0.9]},
            "false_alarms_without_drones": _rate_json(self.false_rate),
            "false_alarms_beside_drones": _rate_json(self.false_beside),
            "films_with_false_alarm": {name: share.to_json() for name, share in self.others.items()},
        }


def measure_alarms(outcomes: Sequence[tuple[SeenFilm, Outcome]]) -> AlarmMeasures:
    """The measures of films and what became of them."""
    with_drones = [(film, outcome, film.first_s) for film, outcome in outcomes if film.first_s is not None]
    without = [(film, outcome) for film, outcome in outcomes if film.first_s is None]
    delays = [np.inf if outcome.hit_s is None else outcome.hit_s - first for _, outcome, first in with_drones]
    classes = sorted({name for film, _ in without for name in film.classes or ("nothing",)})
    return AlarmMeasures(
        found=Share(int(np.isfinite(delays).sum()), len(delays)),
        delay_s={quantile: _quantile(delays, quantile) for quantile in (0.5, 0.9)},
        false_rate=_rate(without),
        false_beside=_rate([(film, outcome) for film, outcome, _ in with_drones]),
        others={
            name: _share([outcome for film, outcome in without if name in (film.classes or ("nothing",))])
            for name in classes
        },
    )


def _share(outcomes: Sequence[Outcome]) -> Share:
    """How many films have a false alarm."""
    return Share(sum(bool(outcome.false_s) for outcome in outcomes), len(outcomes))


def _rate(outcomes: Sequence[tuple[SeenFilm, Outcome]]) -> FalseAlarmRate:
    hours = sum(film.seconds for film, _ in outcomes) / 3600
    return FalseAlarmRate(sum(len(outcome.false_s) for _, outcome in outcomes), hours)


def _quantile(delays: Sequence[float], quantile: float) -> float | None:
    """The least delay that so large a share of all does not exceed; None: infinite, or none."""
    if not len(delays):
        return None
    value = float(np.quantile(delays, quantile, method="inverted_cdf"))
    return round(value, 3) if np.isfinite(value) else None


def _rate_json(rate: FalseAlarmRate) -> dict[str, Any]:
    return {**asdict(rate), "per_hour": rate.per_hour, "interval_95": rate.interval}
