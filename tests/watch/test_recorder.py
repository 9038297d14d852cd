"""The writing thread: alarms wait for the disk, detection does not."""

import sqlite3
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from watch.alarm_cases import alarm, end_of

from yolox_gssam.watch import recorder as module
from yolox_gssam.watch.clips import Clip, encode
from yolox_gssam.watch.recorder import Recorder
from yolox_gssam.watch.store import Store

IMAGE = np.full((120, 160, 3), 90, np.uint8)


def test_alarm_snapshot_and_clip(tmp_path: Path) -> None:
    store, told = Store(tmp_path), []
    recorder = Recorder(store, told.append)
    event = alarm(1)
    recorder.event(event, IMAGE)
    recorder.event(end_of(event))
    recorder.clip(Clip(event.alarm_id, [encode(IMAGE, 1280, frame / 10) for frame in range(5)]))
    assert recorder.close(5)
    (row,) = store.alarms()
    assert len(told) == 2
    assert row["duration_s"] == 12.5
    snapshot = cv2.imread(str(tmp_path / "snapshots" / row["snapshot"]))
    assert snapshot.shape == IMAGE.shape
    # The box is drawn around the target, not over it.
    assert abs(snapshot[25:36, 15:26].astype(int) - 90).max() < 12
    assert abs(snapshot.astype(int) - 90).max() > 60
    assert (tmp_path / "clips" / row["clip"]).stat().st_size > 1000


def test_alarms_wait_while_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_RETRY_S", 0.02)
    store = Store(tmp_path)
    recorder = Recorder(store)
    old = alarm(0)
    recorder.event(old, IMAGE)
    deadline = time.monotonic() + 5
    while not store.alarms() or store.alarms()[0]["snapshot"] is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    add, tries = store.add, []

    def refuse(event: object) -> None:
        tries.append(event)
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(store, "add", refuse)
    for number in range(1, 4):
        started = time.perf_counter()
        recorder.event(alarm(number))
        assert time.perf_counter() - started < 0.1
    while len(tries) < 3:
        time.sleep(0.01)
    assert recorder.waiting == 3
    assert list((tmp_path / "snapshots").iterdir()) == []  # the oldest made room
    monkeypatch.setattr(store, "add", add)
    assert recorder.close(5)
    assert [row["track"] for row in store.alarms()] == [3, 2, 1, 0]


def test_a_disk_too_slow_loses_files_not_alarms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    monkeypatch.setattr(module, "write_avi", lambda path, pictures: time.sleep(0.005))
    recorder = Recorder(store)
    for number in range(50):
        event = alarm(number)
        recorder.event(event)
        recorder.clip(Clip(event.alarm_id, []))
        assert len(recorder._files) <= module._MAX_FILES
    assert recorder.close(20)
    assert len(store.alarms()) == 50
