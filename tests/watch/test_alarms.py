"""One alarm per target, none for what is likely another class, and its end."""

from collections.abc import Iterable

import numpy as np
import pytest

from yolox_gssam.detections import Detections
from yolox_gssam.tracking.tracks import Tracker, TrackOptions
from yolox_gssam.watch.alarms import Alarm, AlarmEnd, AlarmOptions, AlarmRaiser, utc_text

START = 1_700_000_000.0
Boxes = list[tuple[float, float, int, float]]  # x, y, label, score


def watch(frames: Iterable[Boxes], options: AlarmOptions, rate: float = 10) -> list[Alarm | AlarmEnd]:
    tracker, raiser = Tracker(TrackOptions()), AlarmRaiser("gate", ("drone", "bird"), options)
    events: list[Alarm | AlarmEnd] = []
    number = 0
    for number, boxes in enumerate(frames):
        corners = np.array([(x - 5, y - 5, x + 5, y + 5) for x, y, _, _ in boxes], np.float32)
        found = Detections(corners, [box[3] for box in boxes], [box[2] for box in boxes])
        ended = tracker.update(found, number / rate)
        events += raiser.update(tracker.tracks, ended, number / rate, START + number / rate)
    return events + raiser.end_all(START + number / rate)


def test_one_alarm_and_its_end() -> None:
    frames: list[Boxes] = [[(10.0 + 3 * frame, 50, 0, 0.8)] for frame in range(40)] + [[]] * 100
    alarm, end = watch(frames, AlarmOptions(threshold=2.5, cooldown_s=2.05))
    assert isinstance(alarm, Alarm)
    assert isinstance(end, AlarmEnd)
    # -5 log(1 - 0.8) (1 - exp(-n / 5)) after n frames: 1.46, and with the second 2.65.
    assert alarm.time_utc == utc_text(START + 0.1) == "2023-11-14T22:13:20.100Z"
    assert (alarm.source, alarm.track, alarm.label, alarm.score) == ("gate", 1, "drone", 0.8)
    assert alarm.box_xyxy == pytest.approx((8, 45, 18, 55))
    assert (end.alarm_id, end.duration_s, end.score) == (alarm.alarm_id, 3.9, 0.8)
    assert end.time_utc == utc_text(START + 6.0)
    assert alarm.as_dict()["event"] == "alarm"
    assert end.as_dict()["event"] == "end"


def test_a_bird_that_looks_like_a_drone_in_some_frames_raises_none() -> None:
    frames: list[Boxes] = [[(10, 50, 0 if frame % 20 == 7 else 1, 0.9)] for frame in range(100)]
    assert watch(frames, AlarmOptions()) == []


def test_two_at_once_are_two_alarms_and_one_lost_for_a_moment_is_one() -> None:
    both: list[Boxes] = [[(10, 50, 0, 0.9), (500, 50, 0, 0.9)]] * 20
    away: list[Boxes] = [[]] * 30
    back: list[Boxes] = [[(200, 300, 0, 0.9)]] * 20
    events = watch([*both, *away, *back], AlarmOptions(cooldown_s=4))
    assert [type(event) for event in events] == [Alarm, Alarm, AlarmEnd, AlarmEnd]
    assert sorted(event.duration_s for event in events if isinstance(event, AlarmEnd)) == [1.9, 6.9]
    events = watch([*both, *away, *back], AlarmOptions(cooldown_s=1))
    assert sum(isinstance(event, Alarm) for event in events) == 3
    assert len({event.alarm_id for event in events}) == 3


def test_the_threshold_is_reached_by_weak_boxes_too_but_later() -> None:
    frames: list[Boxes] = [[(10, 50, 0, 0.3)]] * 100
    alarm, _ = watch(frames, AlarmOptions(threshold=1.5))
    needed = int(np.ceil(-5 * np.log(1 - 1.5 / (-5 * np.log(0.7)))))
    assert alarm.time_utc == utc_text(START + (needed - 1) / 10)


def test_a_class_without_a_name_is_shown_by_its_number() -> None:
    alarm, _ = watch([[(10, 50, 5, 0.9)]] * 5, AlarmOptions(labels=frozenset({5})))
    assert isinstance(alarm, Alarm)
    assert alarm.label == "5"
