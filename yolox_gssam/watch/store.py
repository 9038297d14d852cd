"""Where alarms are kept: SQLite as the truth, `alarms.jsonl` for other programs, `snapshots/` and `clips/`.

An alarm is on the disk when `Store.add` returns: it survives a killed process and a loss of power.
"""

import json
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yolox_gssam.common.errors import UserError
from yolox_gssam.watch.alarms import Alarm, AlarmEnd

SNAPSHOTS, CLIPS = "snapshots", "clips"
_JSONL = "alarms.jsonl"
_TAIL = 1 << 16  # bytes at the end of alarms.jsonl in which its last line lies
_SCHEMA = """
CREATE TABLE IF NOT EXISTS alarms (
    number INTEGER PRIMARY KEY AUTOINCREMENT, alarm_id TEXT UNIQUE NOT NULL, time_utc TEXT NOT NULL,
    source TEXT NOT NULL, track INTEGER NOT NULL, label TEXT NOT NULL, score REAL NOT NULL, evidence REAL NOT NULL,
    box_xyxy TEXT NOT NULL, snapshot TEXT, clip TEXT, ended_utc TEXT, duration_s REAL
);
CREATE INDEX IF NOT EXISTS alarms_by_time ON alarms (time_utc);
CREATE TABLE IF NOT EXISTS events (
    number INTEGER PRIMARY KEY AUTOINCREMENT, alarm_id TEXT NOT NULL, event TEXT NOT NULL, body TEXT NOT NULL,
    UNIQUE (alarm_id, event)
);
CREATE TABLE IF NOT EXISTS receivers (name TEXT PRIMARY KEY, delivered INTEGER NOT NULL);
"""


@dataclass(frozen=True)
class AlarmFilter:
    """Which alarms to list; None leaves a field open.

    Attributes:
        source, label: exact names.
        since_utc, until_utc: ISO 8601 as in the records; the end is not included.
        before: only alarms with a smaller number, to page backwards.
        limit: at most so many, newest first.
    """

    source: str | None = None
    label: str | None = None
    since_utc: str | None = None
    until_utc: str | None = None
    before: int | None = None
    limit: int = 100


class Store:
    """A folder of alarms. Safe to use from several threads of one process.

    Args:
        folder: made if it is not there.
        quota_bytes: of snapshots and clips together; the oldest go first.

    Raises:
        UserError: it cannot be written, or holds a damaged database.
    """

    def __init__(self, folder: Path, quota_bytes: int = 10 << 30) -> None:
        self.folder = folder
        self.quota_bytes = quota_bytes
        self._lock = threading.RLock()
        try:
            for name in (SNAPSHOTS, CLIPS):
                (folder / name).mkdir(parents=True, exist_ok=True)
            self._base = sqlite3.connect(folder / "watch.sqlite", check_same_thread=False, timeout=10)
            self._base.row_factory = sqlite3.Row
            self._base.execute("PRAGMA journal_mode=WAL")
            self._base.execute("PRAGMA synchronous=FULL")
            self._base.executescript(_SCHEMA)
            self.register(_JSONL, from_start=True)
            self._repair_jsonl()
            self._remove_unknown_files()
        except (OSError, sqlite3.Error) as error:
            raise UserError(f"{folder}: the store of alarms cannot be opened: {error}; choose another place") from error

    def close(self) -> None:
        """Brings all into the one file of the database."""
        with self._lock:
            self._base.close()

    def add(self, event: Alarm | AlarmEnd) -> None:
        """Writes an alarm or its end; a second time the same one changes nothing.

        Raises:
            sqlite3.Error, OSError: it could not be written, as on a full disk; try again later.
        """
        with self._change() as base:
            if isinstance(event, Alarm):
                fields = {**event.as_dict(), "box_xyxy": json.dumps(event.box_xyxy)}
                base.execute(
                    "INSERT OR IGNORE INTO alarms (alarm_id, time_utc, source, track, label, score, evidence, box_xyxy)"
                    " VALUES (:alarm_id, :time_utc, :source, :track, :label, :score, :evidence, :box_xyxy)",
                    fields,
                )
            else:
                base.execute(
                    "UPDATE alarms SET ended_utc = :time_utc, duration_s = :duration_s, score = :score"
                    " WHERE alarm_id = :alarm_id",
                    event.as_dict(),
                )
            body = event.as_dict()
            base.execute(
                "INSERT OR IGNORE INTO events (alarm_id, event, body) VALUES (?, ?, ?)",
                (event.alarm_id, body["event"], json.dumps(body, ensure_ascii=False)),
            )
        self.write_jsonl()

    def end_interrupted(self, time_utc: str) -> None:
        """Ends the alarms that a killed process left open, so that receivers do not wait for their ends."""
        with self._lock:
            rows = self._base.execute(
                "SELECT alarm_id, source, score FROM alarms WHERE ended_utc IS NULL ORDER BY number"
            ).fetchall()
        for row in rows:
            self.add(AlarmEnd(row["alarm_id"], time_utc, row["source"], None, row["score"]))

    def attach(self, alarm_id: str, kind: str, path: Path) -> None:
        """Notes a finished file of an alarm; `kind` is "snapshot" or "clip"."""
        column = {"snapshot": "snapshot", "clip": "clip"}[kind]
        with self._change() as base:
            base.execute(f"UPDATE alarms SET {column} = ? WHERE alarm_id = ?", (path.name, alarm_id))
        self.keep_quota()

    def alarms(self, wanted: AlarmFilter | None = None) -> list[dict[str, Any]]:
        """Alarms as dictionaries of their columns, newest first."""
        wanted = wanted or AlarmFilter()
        tests = {
            "source = ?": wanted.source,
            "label = ?": wanted.label,
            "time_utc >= ?": wanted.since_utc,
            "time_utc < ?": wanted.until_utc,
            "number < ?": wanted.before,
        }
        used = {test: value for test, value in tests.items() if value is not None}
        where = f" WHERE {' AND '.join(used)}" if used else ""
        with self._lock:
            rows = self._base.execute(
                f"SELECT * FROM alarms{where} ORDER BY number DESC LIMIT ?", (*used.values(), wanted.limit)
            ).fetchall()
        return [{**dict(row), "box_xyxy": json.loads(row["box_xyxy"])} for row in rows]

    def file_of(self, alarm_id: str, kind: str) -> str | None:
        """The name of an alarm's "snapshot" or "clip"; None where there is none."""
        with self._lock:
            row = self._base.execute("SELECT snapshot, clip FROM alarms WHERE alarm_id = ?", (alarm_id,)).fetchone()
        return row[kind] if row else None

    def register(self, receiver: str, from_start: bool = False) -> None:
        """Makes a receiver known; a new one is told what happens from now on, or all."""
        first = "0" if from_start else "(SELECT COALESCE(MAX(number), 0) FROM events)"
        with self._change() as base:
            base.execute(f"INSERT OR IGNORE INTO receivers VALUES (?, {first})", (receiver,))

    def undelivered(self, receiver: str, limit: int = 100) -> list[tuple[int, dict[str, Any]]]:
        """Number and body of the next events for a receiver, oldest first."""
        with self._lock:
            rows = self._base.execute(
                "SELECT number, body FROM events WHERE number > (SELECT delivered FROM receivers WHERE name = ?)"
                " ORDER BY number LIMIT ?",
                (receiver, limit),
            ).fetchall()
        return [(row["number"], json.loads(row["body"])) for row in rows]

    def delivered(self, receiver: str, number: int) -> None:
        """Notes that a receiver has all events up to a number."""
        with self._change() as base:
            base.execute("UPDATE receivers SET delivered = ? WHERE name = ?", (number, receiver))

    def write_jsonl(self) -> None:
        """Appends what `alarms.jsonl` has not got; a line that does not fit on the disk is taken back."""
        with self._lock:
            while waiting := self.undelivered(_JSONL):
                lines = [json.dumps({"number": number, **body}, ensure_ascii=False) for number, body in waiting]
                path = self.folder / _JSONL
                start = _append(path, "\n".join(lines) + "\n")
                try:
                    self.delivered(_JSONL, waiting[-1][0])
                except sqlite3.Error:
                    # There was room for the line but not for the note of it: it would be written again.
                    os.truncate(path, start)
                    raise

    def keep_quota(self) -> None:
        """Removes the oldest alarms' files until the rest is within the quota; the alarms themselves stay."""
        with self._lock:
            sizes = {entry.name: entry.stat().st_size for entry in self._files()}
            excess = sum(sizes.values()) - self.quota_bytes
            if excess <= 0:
                return
            for row in self._with_files():
                if excess <= 0:
                    break
                excess -= sum(sizes.get(name, 0) for name in self._remove_files(row))

    def remove_oldest(self, alarms: int = 10) -> None:
        """Removes the files of the oldest alarms that have some: on a full disk they make room for alarms."""
        with self._lock:
            for row in self._with_files()[:alarms]:
                self._remove_files(row)

    def _with_files(self) -> list[sqlite3.Row]:
        return self._base.execute(
            "SELECT alarm_id, snapshot, clip FROM alarms WHERE snapshot NOT NULL OR clip NOT NULL ORDER BY number"
        ).fetchall()

    def _remove_files(self, row: sqlite3.Row) -> list[str]:
        """Removes an alarm's files, then the note of them: on a full disk the note fails; the names."""
        names = []
        for folder, name in ((SNAPSHOTS, row["snapshot"]), (CLIPS, row["clip"])):
            if name is not None:
                (self.folder / folder / name).unlink(missing_ok=True)
                names.append(name)
        with self._change() as base:
            base.execute("UPDATE alarms SET snapshot = NULL, clip = NULL WHERE alarm_id = ?", (row["alarm_id"],))
        return names

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all or nothing, and on the disk at its end."""
        with self._lock, self._base:
            yield self._base

    def _files(self) -> Iterator["os.DirEntry[str]"]:
        for name in (SNAPSHOTS, CLIPS):
            with os.scandir(self.folder / name) as entries:
                yield from (entry for entry in entries if entry.is_file(follow_symlinks=False))

    def _remove_unknown_files(self) -> None:
        """Removes half-written files and those that a killed process had not noted yet."""
        known = {
            name
            for row in self._base.execute("SELECT snapshot, clip FROM alarms WHERE snapshot NOT NULL OR clip NOT NULL")
            for name in row
        }
        for entry in list(self._files()):
            if entry.name not in known:
                Path(entry.path).unlink(missing_ok=True)
        self.keep_quota()

    def _repair_jsonl(self) -> None:
        """Takes away half a last line, and goes on behind the last whole one, whatever the killed process noted."""
        path = self.folder / _JSONL
        if path.exists():
            with path.open("r+b") as stream:
                size = stream.seek(0, os.SEEK_END)
                stream.seek(max(0, size - _TAIL))
                tail = stream.read()
                whole = tail.rfind(b"\n") + 1
                if whole < len(tail):
                    stream.truncate(size - len(tail) + whole)
            last = _last_number(tail[:whole].splitlines())
            with self._change() as base:
                base.execute(
                    "UPDATE receivers SET delivered = MAX(delivered, ?) WHERE name = ?"
                    " AND ? <= (SELECT COALESCE(MAX(number), 0) FROM events)",
                    (last, _JSONL, last),
                )
        self.write_jsonl()


def _append(path: Path, text: str) -> int:
    """Appends all of the text or nothing; where it begins."""
    # Without a buffer: one that a full disk refused would be written when the file is closed, were there room by then.
    with path.open("ab", buffering=0) as stream:
        start = stream.tell()
        data = memoryview(text.encode())
        try:
            while data:
                data = data[stream.write(data) :]
            os.fsync(stream.fileno())
        except OSError:
            os.ftruncate(stream.fileno(), start)
            raise
    return start


def _last_number(lines: Sequence[bytes]) -> int:
    """The number of the last event in lines of `alarms.jsonl`; 0 where the last one is none of ours."""
    try:
        return int(json.loads(lines[-1])["number"])
    except (IndexError, KeyError, TypeError, ValueError):
        return 0
