"""The threshold that raises at most so many false alarms an hour on films without drones."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import chi2

from yolox_gssam.research.guard.replay import Replay

_STEPS = 1000  # thresholds are multiples of one in so many, to be typed


@dataclass(frozen=True)
class FalseAlarmRate:
    """False alarms over some time.

    Attributes:
        count: how many.
        hours: in how much film.
    """

    count: int
    hours: float

    @property
    def per_hour(self) -> float | None:
        """Alarms an hour; None without film."""
        return self.count / self.hours if self.hours else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The exact 95 % interval of a Poisson rate, alarms an hour (Garwood, Biometrika 1936); None without film."""
        if not self.hours:
            return None
        low = chi2.ppf(0.025, 2 * self.count) / 2 if self.count else 0.0
        return float(low) / self.hours, float(chi2.ppf(0.975, 2 * self.count + 2)) / 2 / self.hours


@dataclass(frozen=True)
class Calibration:
    """A threshold and what it is taken from.

    Attributes:
        threshold: the least that keeps the bound, as do all greater ones.
        films: without drones, that it is taken from.
        allowed: false alarms that the bound allows in their time.
        rate: of false alarms there at the threshold.
    """

    threshold: float
    films: int
    allowed: int
    rate: FalseAlarmRate


def calibrate(replays: Sequence[Replay], hours: float, per_hour: float, least: float) -> Calibration:
    """Lowers the threshold until one false alarm more than allowed is raised.

    Args:
        replays: of films without drones.
        hours: of film altogether.
        per_hour: false alarms an hour that are allowed.
        least: the lowest threshold that makes sense, for films in which nothing is ever found.
    """
    allowed = math.floor(per_hour * hours + 1e-9)
    tops = [max(replay.peaks, default=-math.inf) for replay in replays]
    threshold = math.ceil(least * _STEPS) / _STEPS
    for peak in sorted({peak for replay in replays for peak in replay.peaks if peak >= threshold}, reverse=True):
        if _count(replays, tops, peak) > allowed:
            # The next number that can be typed, above the peak: at the peak itself the alarm is raised.
            threshold = (math.floor(peak * _STEPS) + 1) / _STEPS
            break
    return Calibration(threshold, len(replays), allowed, FalseAlarmRate(_count(replays, tops, threshold), hours))


def _count(replays: Sequence[Replay], tops: Sequence[float], threshold: float) -> int:
    """The false alarms of all films; those whose greatest value is below the threshold raise none."""
    return sum(len(replay.at(threshold).false_s) for replay, top in zip(replays, tops, strict=True) if top >= threshold)
