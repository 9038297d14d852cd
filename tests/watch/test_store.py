"""Alarms on the disk: after kill -9, on a full disk, within a quota."""

import json
import os
import random
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from watch.alarm_cases import alarm, end_of

from yolox_gssam.common.errors import UserError
from yolox_gssam.watch import store as module
from yolox_gssam.watch.store import CLIPS, SNAPSHOTS, AlarmFilter, Store

ROOT = Path(__file__).parents[2]


def lines_of(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "alarms.jsonl").read_text().splitlines()]


def test_alarms_are_there_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first, second = alarm(1), alarm(2, source="hof ä", label="bird")
    for event in (first, second, end_of(first), first):
        store.add(event)
    store.close()
    store = Store(tmp_path)
    newest, oldest = store.alarms()
    assert newest["source"] == "hof ä"
    assert (newest["ended_utc"], newest["duration_s"]) == (None, None)
    assert (oldest["alarm_id"], oldest["box_xyxy"]) == (first.alarm_id, [10.0, 20.0, 30.0, 40.5])
    assert (oldest["duration_s"], oldest["score"]) == (12.5, 0.95)
    assert [(line["number"], line["event"], line["alarm_id"]) for line in lines_of(tmp_path)] == [
        (1, "alarm", first.alarm_id),
        (2, "alarm", second.alarm_id),
        (3, "end", first.alarm_id),
    ]


def test_filters(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for number in range(10):
        store.add(alarm(number, source="ab"[number % 2], label="drone" if number < 8 else "bird"))
    tracks = {
        "source": AlarmFilter(source="a"),
        "label": AlarmFilter(label="bird"),
        "time": AlarmFilter(since_utc=alarm(3).time_utc, until_utc=alarm(5).time_utc),
        "page": AlarmFilter(before=4, limit=2),
        "quote": AlarmFilter(source="a' OR '1'='1"),
    }
    found = {name: [row["track"] for row in store.alarms(wanted)] for name, wanted in tracks.items()}
    assert found == {"source": [8, 6, 4, 2, 0], "label": [9, 8], "time": [4, 3], "page": [2, 1], "quote": []}


@pytest.mark.parametrize("seed", range(4))
def test_kill_loses_and_doubles_nothing(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    printed: list[str] = []
    paths = os.pathsep.join((str(ROOT), str(ROOT / "tests")))
    for _ in range(2):
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "tests" / "watch" / "kill_writer.py"), str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": paths},
        )
        assert process.stdout is not None
        printed.append(process.stdout.readline().strip())
        time.sleep(rng.uniform(0, 0.15))
        process.kill()
        printed += process.stdout.read().split()
        process.wait()
    half = printed.pop() if len(printed[-1]) < 32 else ""
    store = Store(tmp_path)
    kept = [row["alarm_id"] for row in reversed(store.alarms(AlarmFilter(limit=100000)))]
    assert len(kept) == len(set(kept))
    assert [name for name in kept if name in set(printed)] == printed
    assert len(kept) - len(printed) <= 2, half  # written, and killed before it was said
    told = [(line["alarm_id"], line["event"]) for line in lines_of(tmp_path)]
    assert len(told) == len(set(told))
    assert [name for name, event in told if event == "alarm"] == kept


def test_half_a_line_is_taken_away_and_a_missing_one_is_written(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for number in range(3):
        store.add(alarm(number))
    store.close()
    path = tmp_path / "alarms.jsonl"
    whole = path.read_bytes()
    base = sqlite3.connect(tmp_path / "watch.sqlite")
    # Killed between the line and the note of it, and in the middle of a line.
    for content, delivered in ((whole, 1), (whole[:-20], 1), (whole[:-20] + b"", 2)):
        path.write_bytes(content)
        base.execute("UPDATE receivers SET delivered = ?", (delivered,))
        base.commit()
        Store(tmp_path).close()
        assert path.read_bytes() == whole


def test_a_rotated_file_is_begun_anew(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.add(alarm(1))
    (tmp_path / "alarms.jsonl").rename(tmp_path / "old.jsonl")
    store.add(alarm(2))
    store.close()
    Store(tmp_path)
    assert [line["track"] for line in lines_of(tmp_path)] == [2]


def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line is written when there is room again, and never in half; the alarm is in the database at once."""
    store = Store(tmp_path)
    store.add(alarm(1))

    def refuse(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(module.os, "fsync", refuse)
        with pytest.raises(OSError, match="No space"):
            store.add(alarm(2))
        assert [line["track"] for line in lines_of(tmp_path)] == [1]
        assert [row["track"] for row in store.alarms()] == [2, 1]
    store.add(alarm(3))
    assert [line["track"] for line in lines_of(tmp_path)] == [1, 2, 3]


def test_half_a_line_does_not_come_after_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk takes the first bytes of a line and has room again before the file is closed."""
    resource = pytest.importorskip("resource", reason="limits of files are set on Linux and macOS only")
    store = Store(tmp_path)
    store.add(alarm(1))
    path = tmp_path / "alarms.jsonl"
    before, limits, truncate = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE), os.ftruncate

    def room_again(descriptor: int, length: int) -> None:
        truncate(descriptor, length)
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    monkeypatch.setattr(module.os, "ftruncate", room_again)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            module._append(path, "a line that is longer than ten bytes\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before


def test_a_line_that_cannot_be_noted_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last of the room went to the line: it stands there once when there is room again."""
    store = Store(tmp_path)
    store.add(alarm(1))

    def refuse(receiver: str, number: int) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(store, "delivered", refuse)
        with pytest.raises(sqlite3.OperationalError):
            store.add(alarm(2))
    store.add(alarm(3))
    assert [line["track"] for line in lines_of(tmp_path)] == [1, 2, 3]


def test_quota_takes_the_oldest_files_and_leaves_their_alarms(tmp_path: Path) -> None:
    store = Store(tmp_path, quota_bytes=2500)
    for number in range(5):
        event = alarm(number)
        store.add(event)
        for kind, folder in (("snapshot", SNAPSHOTS), ("clip", CLIPS)):
            path = tmp_path / folder / f"{number}.{kind}"
            path.write_bytes(bytes(500))
            # A clock set back: the order is that of the alarms.
            os.utime(path, (1000 - number, 1000 - number))
            store.attach(event.alarm_id, kind, path)
    left = sorted(path.name for path in tmp_path.glob("*s/*"))
    assert left == ["3.clip", "3.snapshot", "4.clip", "4.snapshot"]
    assert [row["clip"] for row in store.alarms()] == ["4.clip", "3.clip", None, None, None]


def test_files_of_a_killed_process_go(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.close()
    (tmp_path / CLIPS / ".x-1234.avi").touch()
    (tmp_path / SNAPSHOTS / "unknown.jpg").touch()
    Store(tmp_path)
    assert list(tmp_path.glob("*s/*")) == []


def test_receivers_are_told_in_order_and_from_where_they_are(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.add(alarm(1))
    store.register("hook")
    store.add(alarm(2))
    store.add(alarm(3))
    store.register("hook")
    numbers = [(number, body["track"]) for number, body in store.undelivered("hook")]
    assert numbers == [(2, 2), (3, 3)]
    store.delivered("hook", 2)
    store.close()
    assert [number for number, _ in Store(tmp_path).undelivered("hook")] == [3]


def test_alarms_that_a_kill_left_open_are_ended(tmp_path: Path) -> None:
    store = Store(tmp_path)
    ended, left = alarm(1), alarm(2)
    for event in (ended, left, end_of(ended)):
        store.add(event)
    for _ in range(2):
        store.end_interrupted("2030-01-01T00:00:00.000Z")
    newest, oldest = store.alarms()
    assert (newest["ended_utc"], newest["duration_s"]) == ("2030-01-01T00:00:00.000Z", None)
    assert oldest["duration_s"] == 12.5
    assert [(line["event"], line["alarm_id"]) for line in lines_of(tmp_path)][2:] == [
        ("end", ended.alarm_id),
        ("end", left.alarm_id),
    ]


def test_what_is_no_store_is_said(tmp_path: Path) -> None:
    (tmp_path / "watch.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(UserError, match="cannot be opened"):
        Store(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="choose another place"):
        Store(tmp_path / "file")
