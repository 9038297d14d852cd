"""A thread that writes alarms, snapshots and clips, so that a slow disk never slows detection."""

import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

import numpy as np
from loguru import logger
from numpy.typing import NDArray

from yolox_gssam.common.files import atomic_path
from yolox_gssam.detections import Detections
from yolox_gssam.inference.drawing import draw_detections
from yolox_gssam.watch.alarms import Alarm, AlarmEnd
from yolox_gssam.watch.clips import Clip, encode, write_avi
from yolox_gssam.watch.store import CLIPS, SNAPSHOTS, Store

_RETRY_S = 1.0
_MAX_FILES = 16  # snapshots and clips that wait; beyond, the disk is too slow for them


class Recorder:
    """Writes to a store in a thread of its own. Alarms wait until they are written; files may be given up.

    Args:
        store: where to.
        on_written: called in that thread with each alarm or end that was written.
    """

    def __init__(self, store: Store, on_written: Callable[[Alarm | AlarmEnd], None] = lambda event: None) -> None:
        self.store = store
        self._on_written = on_written
        self._events: deque[Alarm | AlarmEnd] = deque()
        self._files: deque[Callable[[], None]] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Alarms and ends that are not on the disk yet."""
        return len(self._events)

    def event(self, event: Alarm | AlarmEnd, image: NDArray[np.uint8] | None = None) -> None:
        """Has an alarm or an end written, of an alarm also the frame (H, W, 3), BGR, as snapshot."""
        with self._wake:
            self._events.append(event)
            if isinstance(event, Alarm) and image is not None:
                self._add_file(lambda: self._write_snapshot(event, image))
            self._wake.notify()

    def clip(self, clip: Clip) -> None:
        """Has a clip written."""
        with self._wake:
            self._add_file(lambda: self._write_clip(clip))
            self._wake.notify()

    def close(self, timeout_s: float) -> bool:
        """Writes what waits and ends; whether all was written within the time."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join(timeout_s)
        return not self._thread.is_alive() and not self._events

    def _add_file(self, write: Callable[[], None]) -> None:
        if len(self._files) < _MAX_FILES:
            self._files.append(write)
        else:
            logger.warning(f"{self.store.folder}: the disk is too slow: a snapshot or clip is left out")

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._events or self._files or self._closing)
                if self._closing and not self._events and not self._files:
                    return
            if not self._write_events():
                if self._closing:
                    return
                with self._wake:
                    self._wake.wait(_RETRY_S)
            elif self._files:
                self._write_file(self._files.popleft())

    def _write_events(self) -> bool:
        """Writes the alarms that wait, oldest first; False where the disk refuses."""
        while self._events:
            try:
                self.store.add(self._events[0])
            except (sqlite3.Error, OSError) as error:
                logger.error(f"{self.store.folder}: an alarm cannot be written yet: {error}; older clips make room")
                self._make_room()
                return False
            self._on_written(self._events.popleft())
        return True

    def _make_room(self) -> None:
        try:
            self.store.remove_oldest()
        except (sqlite3.Error, OSError) as error:
            logger.error(f"{self.store.folder}: no room can be made: {error}")

    def _write_file(self, write: Callable[[], None]) -> None:
        try:
            write()
        except (ValueError, sqlite3.Error, OSError) as error:
            logger.error(f"{self.store.folder}: a snapshot or clip is left out: {error}")
            self._make_room()

    def _write_snapshot(self, alarm: Alarm, image: NDArray[np.uint8]) -> None:
        boxes = Detections(np.array([alarm.box_xyxy], np.float32), np.array([alarm.score]), np.zeros(1, np.int64))
        picture = encode(draw_detections(image, boxes, [alarm.label]), 1 << 16, 0.0, quality=95)
        path = self._path(SNAPSHOTS, alarm.alarm_id, ".jpg")
        with atomic_path(path) as part:
            part.write_bytes(picture.data)
        self.store.attach(alarm.alarm_id, "snapshot", path)

    def _write_clip(self, clip: Clip) -> None:
        path = self._path(CLIPS, clip.alarm_id, ".avi")
        write_avi(path, clip.pictures)
        self.store.attach(clip.alarm_id, "clip", path)

    def _path(self, folder: str, alarm_id: str, suffix: str) -> Path:
        return self.store.folder / folder / f"{alarm_id}{suffix}"
