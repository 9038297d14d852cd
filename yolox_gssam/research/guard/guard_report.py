"""The measures of whole films: as tables for people, as JSON for programs."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from typing import Any

from yolox_gssam.common.text_table import text_table
from yolox_gssam.evaluation.coco_metrics import percent
from yolox_gssam.evaluation.matching import CENTRE_RULE
from yolox_gssam.evaluation.provenance import command_line
from yolox_gssam.research.guard.alarm_measures import AlarmMeasures, Share, measure_alarms
from yolox_gssam.research.guard.calibration import Calibration, FalseAlarmRate
from yolox_gssam.research.guard.film_trial import GIVEN, FilmResult, TrialOptions, TrialResult, calibrate_on
from yolox_gssam.research.guard.identities import INSTALL, Identities, measure_identities
from yolox_gssam.research.guard.replay import TrackReplay
from yolox_gssam.research.guard.seen_film import SeenFilm

ALL = "all"
"""What films are called together whose names tell no sensor."""


@dataclass(frozen=True, eq=False)
class GuardReport:
    """All networks on all their films, each film once.

    Attributes:
        trials: one per network.
        options: of all of them.
        sensors: name -> way -> measures.
        identities: name of the sensor -> tracker -> rule -> measures; None: see `measure_identities`.
        threshold: for watching: from all measured films without drones together.
    """

    trials: Sequence[TrialResult]
    options: TrialOptions
    sensors: Mapping[str, Mapping[str, AlarmMeasures]]
    identities: Mapping[str, Mapping[str, Mapping[str, Identities] | None]]
    threshold: Calibration

    @classmethod
    def of(cls, trials: Sequence[TrialResult], options: TrialOptions) -> "GuardReport":
        """Measures the films of each sensor."""
        films = [result for trial in trials for result in trial.films]
        empty = [(result.film, result.replays) for result in films if result.film.first_s is None]
        sensors = {
            sensor: {
                way: measure_alarms([(result.film, result.outcomes[way]) for result in own])
                for way in (*options.titles, GIVEN)
            }
            for sensor, own in by_sensor(films).items()
        }
        trackers = ("tracks", *options.other_trackers)
        identities = {
            sensor: {way: measure_identities(_tracked(own, way)) for way in trackers}
            for sensor, own in by_sensor(films).items()
        }
        return cls(trials, options, sensors, identities, calibrate_on(empty, "tracks", options))

    def table(self) -> str:
        """The tables, one per sensor, and what they are taken from."""
        parts = [self._head()]
        films = by_sensor([result for trial in self.trials for result in trial.films])
        for sensor, measures in self.sensors.items():
            rows = _rows(measures)
            titles = {**self.options.titles, GIVEN: f"tracks at {self.options.given:g}"}
            names = [titles[way] for way in measures]
            thresholds = [self._thresholds(way) for way in measures]
            title = f"{sensor}: {len(films[sensor])} films"
            parts.append(text_table([["threshold", *thresholds], *rows], [title, *names]))
        parts.append(_identity_table(self.identities, self.options.titles))
        return "\n\n".join([*parts, self._advice()])

    def to_json(self) -> dict[str, Any]:
        """Plain values; times in seconds, rates an hour, shares from 0 to 1, None for what cannot be measured."""
        options = self.options
        return {
            "fps": options.fps,
            "class": options.drone,
            "false_per_hour": options.per_hour,
            "settings": dict(options.settings),
            "matching": CENTRE_RULE,
            "watch_threshold": _calibration_json(self.threshold),
            "sensors": {
                sensor: {way: own.to_json() for way, own in measures.items()}
                for sensor, measures in self.sensors.items()
            },
            "identities": {
                sensor: {way: rules and _identities_json(rules) for way, rules in own.items()}
                for sensor, own in self.identities.items()
            },
            "networks": [_trial_json(trial) for trial in self.trials],
            "films": [_film_json(result, trial.trial.fold) for trial in self.trials for result in trial.films],
            "command": command_line(),
        }

    def _head(self) -> str:
        """What was measured, and how far it can be trusted."""
        lines = [f"{self.options.fps:g} frames per second; {CENTRE_RULE}; in brackets where 95 % lie"]
        if any(trial.trial.in_sample for trial in self.trials):
            lines.append("thresholds are taken from the films that are measured: the numbers flatter")
        short = [own for trial in self.trials for own in [trial.calibrations["tracks"]] if own.allowed < 1]
        if short:
            hours = ", ".join(f"{own.rate.hours:.2g}" for own in short)
            lines.append(
                f"{hours} hours of film without drones are too few for {self.options.per_hour:g} false alarms an hour: "
                "there the thresholds allow none"
            )
        return "\n".join(lines)

    def _thresholds(self, way: str) -> str:
        if way == GIVEN:
            return f"{self.options.given:g}"
        values = sorted({trial.calibrations[way].threshold for trial in self.trials})
        return f"{values[0]:g}" if len(values) == 1 else f"{values[0]:g} to {values[-1]:g}"

    def _advice(self) -> str:
        """The threshold to watch with."""
        own = self.threshold
        return (
            f"from the {own.films} films without drones ({own.rate.hours:.2g} hours): watch --threshold "
            f"{own.threshold:g}, {_rate_text(own.rate)} false alarms an hour"
        )


def by_sensor(results: Sequence[FilmResult]) -> dict[str, list[FilmResult]]:
    """The films of each sensor; all together as `ALL` where not every name tells one."""
    if any(result.film.sensor is None for result in results):
        return {ALL: list(results)}
    sensors: dict[str, list[FilmResult]] = {}
    for result in results:
        sensors.setdefault(str(result.film.sensor), []).append(result)
    return sensors


def _tracked(results: Sequence[FilmResult], way: str) -> list[tuple[SeenFilm, TrackReplay]]:
    return [(result.film, replay) for result in results if isinstance(replay := result.replays[way], TrackReplay)]


def _identity_table(
    identities: Mapping[str, Mapping[str, Mapping[str, Identities] | None]], titles: Mapping[str, str]
) -> str:
    """How well tracks keep to one drone, or what is missing to tell it."""
    if find_spec("trackeval") is None:
        return f"switches of identity, IDF1 and HOTA need trackeval: {INSTALL}"
    rows = [
        [f"{sensor}, {titles[way]}, {rule.replace('_', ' ')}", own.films, f"{own.switches_per_film:.2f}", *shares]
        for sensor, of_sensor in identities.items()
        for way, rules in of_sensor.items()
        for rule, own in (rules or {}).items()
        for shares in [map(percent, (own.idf1, own.hota, own.detection, own.association))]
    ]
    if not rows:
        return "no film tells the tracks of its drones: no IDF1 and no HOTA"
    head = ["tracks of drones", "films", "switches per film", "IDF1, %", "HOTA, %", "detection, %", "association, %"]
    return text_table(rows, head)


def _identities_json(rules: Mapping[str, Identities]) -> dict[str, Any]:
    return {rule: {**asdict(own), "switches_per_film": own.switches_per_film} for rule, own in rules.items()}


def _rows(measures: Mapping[str, AlarmMeasures]) -> list[list[str]]:
    """The lines of a table, each with a value per way."""
    every = list(measures.values())
    rows = [
        ["drone films with an alarm", *(_share_text(own.found) for own in every)],
        ["seconds to it, median", *(_seconds(own, 0.5) for own in every)],
        ["seconds to it, 90 %", *(_seconds(own, 0.9) for own in every)],
        ["false alarms an hour without drones", *(_rate_text(own.false_rate) for own in every)],
        ["false alarms beside drones", *(str(own.false_beside.count) for own in every)],
    ]
    for name in every[0].others:
        rows.append([f"films of {name} with a false alarm", *(_share_text(own.others[name]) for own in every)])
    return rows


def _share_text(share: Share) -> str:
    if share.interval is None or share.value is None:
        return "-"
    low, high = share.interval
    return f"{share.count} of {share.total}: {100 * share.value:.0f} % ({100 * low:.0f} to {100 * high:.0f})"


def _rate_text(rate: FalseAlarmRate) -> str:
    if rate.interval is None or rate.per_hour is None:
        return "-"
    low, high = rate.interval
    return f"{rate.per_hour:.1f} ({low:.1f} to {high:.1f})"


def _seconds(measures: AlarmMeasures, quantile: float) -> str:
    if not measures.found.total:
        return "-"
    value = measures.delay_s[quantile]
    return "never" if value is None else f"{value:.2f}"


def _calibration_json(own: Calibration) -> dict[str, Any]:
    return {
        "threshold": own.threshold,
        "films_without_drones": own.films,
        "hours": own.rate.hours,
        "false_alarms_allowed": own.allowed,
        "false_alarms": own.rate.count,
        "false_per_hour": own.rate.per_hour,
        "false_per_hour_interval_95": own.rate.interval,
    }


def _trial_json(result: TrialResult) -> dict[str, Any]:
    return {
        "weights": result.trial.weights,
        "sha256": result.digest,
        "fold": result.trial.fold,
        "calibrated_on_the_measured_films": result.trial.in_sample,
        "calibration": {way: _calibration_json(own) for way, own in result.calibrations.items()},
    }


def _film_json(result: FilmResult, fold: int | None) -> dict[str, Any]:
    film = result.film
    return {
        "name": film.name,
        "fold": fold,
        "classes": sorted(film.classes),
        "seconds": film.seconds,
        "first_drone_s": film.first_s,
        "alarms": {way: asdict(outcome) for way, outcome in result.outcomes.items()},
    }
