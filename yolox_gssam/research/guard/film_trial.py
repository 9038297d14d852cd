"""One network tried on its films: detections, saved or made, thresholds from its films without drones, and alarms."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.progress import progress_bar
from yolox_gssam.research.guard.calibration import Calibration, calibrate
from yolox_gssam.research.guard.labelled_film import LabelledFilm
from yolox_gssam.research.guard.other_trackers import OTHER_TRACKERS, OtherTracker
from yolox_gssam.research.guard.replay import FrameReplay, Outcome, Replay, TrackReplay, Way
from yolox_gssam.research.guard.saved_detections import FilmDetector, SavedDetections, detect_film, detections_key
from yolox_gssam.research.guard.seen_film import SeenFilm, see_film
from yolox_gssam.research.guard.trials import Trial, network_digest
from yolox_gssam.tracking.tracks import Tracker, TrackOptions
from yolox_gssam.watch.alarms import AlarmOptions

WAYS = {"tracks": "tracks", "votes": "2 of 3 frames", "frames": "single frames"}
"""Of raising alarms, and what they are called; each at a threshold of its own."""
GIVEN = "tracks_given"
"""Tracks at the threshold that was given."""


@dataclass(frozen=True)
class TrialOptions:
    """How networks are tried.

    Attributes:
        fps: frames per second that are looked at.
        per_hour: false alarms an hour that are allowed.
        given: a threshold of evidence that is measured besides.
        drone: name of the class that raises alarms.
        tracks: how boxes become tracks.
        batch_size: frames a forward pass.
        settings: of the network, for the key of saved detections.
        other_trackers: names of `OTHER_TRACKERS` that are compared.
    """

    fps: float
    per_hour: float
    given: float
    drone: str
    tracks: TrackOptions
    batch_size: int
    settings: Mapping[str, object]
    other_trackers: Sequence[str] = ()

    @property
    def titles(self) -> dict[str, str]:
        """The ways of raising alarms at a threshold of their own, and what they are called."""
        return {**WAYS, **{name: OTHER_TRACKERS[name] for name in self.other_trackers}}


@dataclass(frozen=True, eq=False)
class FilmResult:
    """A tested film and what each way, and `GIVEN`, made of it."""

    film: SeenFilm
    replays: Mapping[str, Replay]
    outcomes: Mapping[str, Outcome]


@dataclass(frozen=True, eq=False)
class TrialResult:
    """A network's thresholds by way, and its tested films."""

    trial: Trial
    digest: str
    calibrations: Mapping[str, Calibration]
    films: Sequence[FilmResult]


def require_films_without_drones(trials: Sequence[Trial], drone: str) -> None:
    """Raises UserError where a threshold would be taken from no film at all, before any network has worked."""
    taken = [trial.calibrated for trial in trials] + [[film for trial in trials for film in trial.tested]]
    if any(all(drone.lower() in film.classes for film in films) for films in taken):
        raise UserError("no film without drones to take the threshold from; add some to --clips, without labels")


def run_trial(
    trial: Trial, options: TrialOptions, folder: Path, open_network: Callable[[], FilmDetector]
) -> TrialResult:
    """Measures a network; it is opened only if detections are missing.

    Args:
        folder: where detections are saved.

    Raises:
        UserError: the network, a film or the folder cannot be used, or the network does not know the class.
    """
    digest = network_digest(trial.weights)
    every = list({film.name: film for film in (*trial.tested, *trial.calibrated)}.values())
    place = folder / f"{digest[:12]}_{options.fps:g}fps"
    saved = _detections(every, digest, options, place, open_network)
    labels = _labels(saved[every[0].name].class_names, options.drone)
    ways = make_ways(labels, options)
    seen = {film.name: see_film(film, saved[film.name], options.fps, options.drone) for film in every}
    replays = {
        name: {way: make(film) for way, make in ways.items()}
        for name, film in progress_bar(seen.items(), description="replay", unit="films", total=len(seen))
    }
    empty = [film for film in trial.calibrated if seen[film.name].first_s is None]
    calibrations = {
        way: calibrate_on([(seen[film.name], replays[film.name]) for film in empty], way, options) for way in ways
    }
    films = []
    for film in trial.tested:
        own = replays[film.name]
        outcomes = {way: own[way].at(calibrations[way].threshold) for way in ways}
        outcomes[GIVEN] = own["tracks"].at(options.given)
        films.append(FilmResult(seen[film.name], own, outcomes))
    return TrialResult(trial, digest, calibrations, films)


def make_ways(labels: frozenset[int], options: TrialOptions) -> dict[str, Way]:
    """The ways of `TrialOptions.titles`.

    Args:
        labels: the classes that raise alarms, as the network's indices.
    """
    alarms = AlarmOptions(labels)

    def by_tracks(film: SeenFilm, make: Callable[[], Tracker]) -> Replay:
        return TrackReplay(film, make(), alarms)

    by_frames = partial(FrameReplay, labels=labels, cooldown_s=alarms.cooldown_s)
    ways: dict[str, Way] = {
        "tracks": partial(by_tracks, make=partial(Tracker, options.tracks)),
        "votes": partial(by_frames, votes=2, window=3),
        "frames": partial(by_frames, votes=1, window=1),
    }
    for name in options.other_trackers:
        ways[name] = partial(by_tracks, make=partial(OtherTracker, name, options.tracks, options.fps))
    return ways


def calibrate_on(
    films: Sequence[tuple[SeenFilm, Mapping[str, Replay]]], way: str, options: TrialOptions
) -> Calibration:
    """The threshold of a way from films without drones."""
    hours = sum(film.seconds for film, _ in films) / 3600
    # A track begins with a box of the starting score; for frames the lowest saved score is the least.
    tracks = options.tracks
    least = tracks.keep_score if way in ("votes", "frames") else -math.log1p(-tracks.start_score)
    return calibrate([replays[way] for _, replays in films], hours, options.per_hour, least)


def _labels(class_names: Sequence[str], drone: str) -> frozenset[int]:
    found = frozenset(label for label, name in enumerate(class_names) if name.lower() == drone.lower())
    if not found:
        raise UserError(f"--class {drone}: the network has no such class; it has {', '.join(class_names)}")
    return found


def _detections(
    films: Sequence[LabelledFilm],
    digest: str,
    options: TrialOptions,
    place: Path,
    open_network: Callable[[], FilmDetector],
) -> dict[str, SavedDetections]:
    """The detections of each film by its name, read or made."""
    frames = {film.name: film.sample(options.fps) for film in films}
    keys = {
        film.name: detections_key(film, frames[film.name], {"network": digest, **options.settings}) for film in films
    }
    saved: dict[str, SavedDetections] = {}
    missing: list[LabelledFilm] = []
    for film in films:
        found = SavedDetections.load(place / f"{film.name}.npz", keys[film.name])
        if found is None:
            missing.append(film)
        else:
            saved[film.name] = found
    if missing:
        network = open_network()
        _labels(network.class_names, options.drone)  # a wrong class ends the run before the network has worked
        for film in progress_bar(missing, description="detect", unit="films"):
            made = detect_film(network, film, frames[film.name], options.batch_size)
            made.save(place / f"{film.name}.npz", keys[film.name])
            saved[film.name] = made
    return saved
