"""Alarms: one per thing that flies, when what its track has shown passes a threshold, and one word at its end."""

import math
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any

from yolox_gssam.tracking.tracks import Track


@dataclass(frozen=True)
class AlarmOptions:
    """When a track is an alarm.

    Attributes:
        labels: the classes that are alarmed of, as indices of the network's.
        threshold: evidence from which on it is one, see `Track.evidence_for`.
        others_weight: what evidence of another class takes away, per unit.
        cooldown_s: seconds after the loss of an alarmed track within which a new track goes on with its alarm
            instead of raising another; each lost track takes one. Two seen at once are two alarms.
    """

    labels: frozenset[int] = frozenset({0})
    threshold: float = 5.0
    others_weight: float = 1.5
    cooldown_s: float = 5.0

    def evidence_of(self, track: Track) -> float:
        """What the threshold is compared with: minus infinity where most evidence is for a class not alarmed of."""
        return track.evidence_for(self.labels, self.others_weight) if track.label in self.labels else -math.inf


@dataclass(frozen=True)
class Alarm:
    """Something was seen.

    Attributes:
        alarm_id: unique for ever, 32 hexadecimal digits.
        time_utc: of the frame, ISO 8601 with milliseconds and Z.
        source: name of the source.
        track: number of the track in its source since the start.
        label: name of the class.
        score: greatest score of the track so far.
        evidence: what passed the threshold.
        box_xyxy: pixels of the frame.
    """

    alarm_id: str
    time_utc: str
    source: str
    track: int
    label: str
    score: float
    evidence: float
    box_xyxy: tuple[float, float, float, float]

    def as_dict(self) -> dict[str, Any]:
        """As written to JSON, with `event` "alarm"."""
        return {"event": "alarm", **asdict(self), "box_xyxy": list(self.box_xyxy)}


@dataclass(frozen=True)
class AlarmEnd:
    """An alarm's thing was not seen again.

    Attributes:
        alarm_id: of the alarm.
        time_utc: when it was given up, `AlarmOptions.cooldown_s` after it was lost.
        source: name of the source.
        duration_s: seconds from the first to the last box; None where the program was killed in between.
        score: greatest score.
    """

    alarm_id: str
    time_utc: str
    source: str
    duration_s: float | None
    score: float

    def as_dict(self) -> dict[str, Any]:
        """As written to JSON, with `event` "end"."""
        return {"event": "end", **asdict(self)}


def utc_text(seconds: float) -> str:
    """Seconds since 1970 as ISO 8601 in UTC, such as 2026-01-31T12:00:00.250Z."""
    moment = datetime.fromtimestamp(seconds, timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(eq=False)
class _Open:
    """An alarm without an end: what carries it, or since when nothing does."""

    alarm_id: str
    started_s: float
    seen_s: float
    score: float
    track_id: int | None


class AlarmRaiser:
    """The alarms of one source.

    Args:
        source: its name.
        class_names: of the network's classes.
        options: see there.
    """

    def __init__(self, source: str, class_names: Sequence[str], options: AlarmOptions) -> None:
        self.source = source
        self.class_names = class_names
        self.options = options
        self._open: list[_Open] = []
        self._time_s = 0.0

    def update(
        self, tracks: Sequence[Track], ended: Sequence[Track], time_s: float, clock_s: float
    ) -> list[Alarm | AlarmEnd]:
        """Looks at the tracks after a frame.

        Args:
            tracks: those that go on.
            ended: those that ended with this frame.
            time_s: of the frame, on a clock that is never set; durations are told by it.
            clock_s: of the frame, seconds since 1970.

        Returns:
            New alarms and ends, in the order to tell them.
        """
        self._time_s = max(self._time_s, time_s)
        events: list[Alarm | AlarmEnd] = []
        carried = {alarm.track_id: alarm for alarm in self._open if alarm.track_id is not None}
        for track in (*ended, *tracks):
            alarm = carried.get(track.track_id) or self._start(track, clock_s, events)
            if alarm is not None:
                alarm.seen_s, alarm.score = track.seen_s, max(alarm.score, track.best_score)
        gone = {track.track_id for track in ended}
        for alarm in self._open:
            if alarm.track_id in gone:
                alarm.track_id = None
        return events + self._close(self.options.cooldown_s, clock_s)

    def end_all(self, clock_s: float) -> list[AlarmEnd]:
        """Ends every alarm, as where the program stops."""
        for alarm in self._open:
            alarm.track_id = None
        return self._close(-1.0, clock_s)

    def _start(self, track: Track, clock_s: float, events: list[Alarm | AlarmEnd]) -> _Open | None:
        """The alarm of a track that passed the threshold, new or one that it goes on with; None below."""
        evidence = self.options.evidence_of(track)
        if evidence < self.options.threshold:
            return None
        waiting = [alarm for alarm in self._open if alarm.track_id is None and alarm.seen_s <= track.started_s]
        if waiting:
            waiting[-1].track_id = track.track_id
            return waiting[-1]
        alarm = _Open(uuid.uuid4().hex, track.started_s, track.seen_s, track.best_score, track.track_id)
        self._open.append(alarm)
        left, top, right, bottom = (round(float(value), 1) for value in track.box_xyxy)
        events.append(
            Alarm(
                alarm.alarm_id,
                utc_text(clock_s),
                self.source,
                track.track_id,
                self.class_names[track.label] if track.label < len(self.class_names) else str(track.label),
                round(track.best_score, 4),
                round(evidence, 3),
                (left, top, right, bottom),
            )
        )
        return alarm

    def _close(self, after_s: float, clock_s: float) -> list[AlarmEnd]:
        """Ends the alarms that nothing has carried for longer than `after_s`."""
        done = [alarm for alarm in self._open if alarm.track_id is None and self._time_s - alarm.seen_s > after_s]
        self._open = [alarm for alarm in self._open if alarm not in done]
        return [
            AlarmEnd(
                alarm.alarm_id,
                utc_text(clock_s),
                self.source,
                round(alarm.seen_s - alarm.started_s, 3),
                round(alarm.score, 4),
            )
            for alarm in done
        ]
