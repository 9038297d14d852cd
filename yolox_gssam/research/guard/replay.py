"""Alarms replayed from saved detections: by tracks as in watching, by single frames, and by votes of frames."""

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from yolox_gssam.research.guard.seen_film import SeenFilm
from yolox_gssam.tracking.tracks import Track, Tracker
from yolox_gssam.watch.alarms import Alarm, AlarmOptions, AlarmRaiser


@dataclass(frozen=True)
class Outcome:
    """What a threshold leads to in a film.

    Attributes:
        hit_s: when an alarm first stood on a drone, seconds from the film's start; None: never.
        false_s: when alarms were raised on anything else.
    """

    hit_s: float | None
    false_s: tuple[float, ...]


class Replay(Protocol):
    """One way of raising alarms, on one film."""

    @property
    def peaks(self) -> Iterable[float]:
        """Every value up to which a threshold may raise a false alarm that a greater one does not."""
        ...

    def at(self, threshold: float) -> Outcome:
        """The alarms of a threshold."""
        ...


Way = Callable[[SeenFilm], Replay]
"""How alarms are raised."""


class TrackReplay:
    """Alarms as watching raises them, by evidence of tracks; the tracks are found once, whatever the threshold.

    Args:
        film: see there.
        tracker: without tracks yet.
        options: of the alarms; their threshold does not matter.
    """

    def __init__(self, film: SeenFilm, tracker: Tracker, options: AlarmOptions) -> None:
        self._film, self._options = film, options
        self._steps: list[tuple[list[Track], list[Track]]] = []
        peaks: dict[int, float] = {}
        for time_s, detections, shift in zip(film.times_s, film.detections, film.shifts, strict=True):
            ended = tracker.update(detections, float(time_s), shift)
            for track in tracker.tracks:
                peaks[track.track_id] = max(peaks.get(track.track_id, 0.0), options.evidence_of(track))
            self._steps.append(([_snapshot(track) for track in tracker.tracks], ended))
        self.peaks = tuple(peaks.values())

    def shown(self) -> list[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Of each frame the ids (k,) and boxes (k, 4) of the tracks of the alarmed classes that have a box there."""
        seen = [
            [track for track in tracks if not track.missed and track.label in self._options.labels]
            for tracks, _ in self._steps
        ]
        return [
            (
                np.array([track.track_id for track in tracks], np.int64),
                np.array([track.box_xyxy for track in tracks], np.float32).reshape(-1, 4),
            )
            for tracks in seen
        ]

    def at(self, threshold: float) -> Outcome:
        """See `Replay`. An alarm is false where the box of its track lies on no drone when it is raised."""
        options = replace(self._options, threshold=threshold)
        raiser = AlarmRaiser("", (), options)
        hits: list[float] = []
        false: list[float] = []
        for frame, ((tracks, ended), time_s) in enumerate(zip(self._steps, self._film.times_s.tolist(), strict=True)):
            for event in raiser.update(tracks, ended, time_s, 0.0):
                if isinstance(event, Alarm) and not self._film.on_drone(frame, np.array([event.box_xyxy])).any():
                    false.append(time_s)
            passed = [
                track.box_xyxy for track in tracks if not track.missed and options.evidence_of(track) >= threshold
            ]
            if passed and not hits and self._film.on_drone(frame, np.array(passed)).any():
                hits.append(time_s)
        return Outcome(hits[0] if hits else None, tuple(false))


def _snapshot(track: Track) -> Track:
    """A track as it is now; its box and its trail are not looked at later, or never changed."""
    now = copy.copy(track)
    now.evidence = dict(track.evidence)
    return now


class FrameReplay:
    """Alarms without tracks: enough of the last frames have a box of a high enough score, wherever it is.

    Boxes on drones and others are voted on apart. An alarm lasts until no frame has passed for the cooldown.

    Args:
        film: see there.
        labels: the classes that raise alarms, as the network's indices.
        votes, window: so many of so many frames; 1, 1: any single frame.
        cooldown_s: see `AlarmOptions`.
    """

    def __init__(self, film: SeenFilm, labels: frozenset[int], votes: int, window: int, cooldown_s: float) -> None:
        right: list[float] = []
        wrong: list[float] = []
        for frame, found in enumerate(film.detections):
            own = np.isin(found.labels, list(labels))
            near = film.on_drone(frame, found.boxes_xyxy[own])
            scores = found.scores[own].astype(np.float64)
            right.append(max(scores[near].tolist(), default=0.0))
            wrong.append(max(scores[~near].tolist(), default=0.0))
        self._times_s, self._cooldown_s = film.times_s, cooldown_s
        self._right, self._wrong = (_voted(values, votes, window) for values in (right, wrong))
        self.peaks = tuple(np.unique(self._wrong[self._wrong > 0]).tolist())

    def at(self, threshold: float) -> Outcome:
        """See `Replay`."""
        hits = self._times_s[self._right >= threshold]
        passed = self._times_s[self._wrong >= threshold]
        starts = passed[np.diff(passed, prepend=-np.inf) > self._cooldown_s]
        return Outcome(float(hits[0]) if len(hits) else None, tuple(starts.tolist()))


def _voted(values: Sequence[float], votes: int, window: int) -> NDArray[np.float64]:
    """(n,) of each frame the greatest threshold that `votes` of the last `window` values pass; 0: none."""
    padded = np.concatenate((np.zeros(window - 1), values))
    views = np.lib.stride_tricks.sliding_window_view(padded, window)
    return np.asarray(np.sort(views, axis=1)[:, window - votes])
