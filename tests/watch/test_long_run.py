"""Watching for hours, faster than the clock: memory, files and database stay within their bounds, and no alarm is lost.

As a script, a whole day in half an hour: PYTHONPATH=tests python tests/watch/test_long_run.py 24 NEW_FOLDER
"""

import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
from watch.scenes import CLASSES, BrightSpots, picture

from yolox_gssam.watch.recorder import Recorder
from yolox_gssam.watch.sources import Picture
from yolox_gssam.watch.store import CLIPS, SNAPSHOTS, AlarmFilter, Store
from yolox_gssam.watch.watcher import Watcher

RATE = 5.0
"""Frames a second of simulated time."""
PERIOD = 150
"""Frames of the scene that is repeated: a drone for 20 frames, a bird all along."""
QUOTA = 1_000_000


class Clock:
    """Sources whose time goes as fast as their frames are taken; `on_period` is called after each repetition."""

    def __init__(self, hours: float, on_period: Any) -> None:
        self.all = [SimpleNamespace(source="gate", over=False, is_file=True)]
        self.frames = round(hours * 3600 * RATE)
        self._number, self._on_period = 0, on_period
        self._scene = [
            picture((10 + number % 100, 90, 10), *(((20 + 3 * number, 20, 250),) if number < 20 else ()))
            for number in range(PERIOD)
        ]

    @property
    def over(self) -> bool:
        return self._number >= self.frames

    def start(self) -> None:
        pass

    def states(self) -> list[Any]:
        return []

    def batch(self, timeout_s: float) -> list[tuple[int, Picture]]:
        if self.over:
            self.all[0].over = True
            return []
        if self._number % PERIOD == PERIOD - 1:
            self._on_period(self._number / RATE / 3600)
        time_s = self._number / RATE
        image = self._scene[self._number % PERIOD]
        self._number += 1
        return [(0, Picture(image, time_s, 1.8e9 + time_s, time.monotonic()))]


def run(folder: Path, hours: float) -> tuple[int, int, list[float]]:
    """Alarms expected and stored, and the memory in MiB after each tenth of the time, the first of them left out."""
    memory: list[float] = []
    process = psutil.Process()
    store = Store(folder, QUOTA)
    recorder = Recorder(store)

    def on_period(hour: float) -> None:
        while recorder.waiting or recorder._files:  # a disk keeps up with the clock, not with this
            time.sleep(0.001)
        if hour >= (len(memory) + 1) * hours / 10:
            memory.append(process.memory_info().rss / 2**20)

    clock = Clock(hours, on_period)
    watcher = Watcher(BrightSpots(), CLASSES, clock, recorder)
    watcher.run(lambda: False)
    assert recorder.close(10)
    number = len({row["alarm_id"] for row in store.alarms(AlarmFilter(limit=10**9))})
    store.close()
    return clock.frames // PERIOD, number, memory[1:]


def stored_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for kind in (SNAPSHOTS, CLIPS) for path in (folder / kind).iterdir())


def test_a_quarter_of_an_hour_leaves_one_alarm_per_drone_and_no_growth(tmp_path: Path) -> None:
    expected, number, memory = run(tmp_path / "out", 0.25)
    assert number == expected == 30
    assert memory[-1] - memory[0] < 16
    assert 0 < stored_bytes(tmp_path / "out") <= QUOTA
    assert (tmp_path / "out" / "watch.sqlite").stat().st_size < 500_000


if __name__ == "__main__":
    started = time.monotonic()
    Path(sys.argv[2]).mkdir(parents=True)  # alarms of an earlier run would be counted as well
    expected, number, memory = run(Path(sys.argv[2]), float(sys.argv[1]))
    files = stored_bytes(Path(sys.argv[2])) / 1e6
    print(f"{expected} drones, {number} alarms, {files:.2f} MB of files within {QUOTA / 1e6}")
    print("MiB:", *(f"{value:.0f}" for value in memory), f"; {time.monotonic() - started:.0f} s")
