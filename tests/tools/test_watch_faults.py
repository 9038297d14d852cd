"""Watching through faults at random moments: no alarm lost, none doubled.

A drone passes the camera every few seconds, each time at another height, so that an alarm's box tells which pass it is
of. FAULTS=30 tries so many faults; docs/reliability.md has what that gave.
"""

import json
import os
import random
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import ROOT
from numpy.typing import NDArray
from warm_python import WarmProcess, WarmPython
from watch.mjpeg_server import MjpegServer, wait_for
from watch.scenes import picture
from watch.test_notify import Hook

from yolox_gssam.watch.store import AlarmFilter, Store

FAULTS = int(os.environ.get("FAULTS", "6"))
# A pass is over, its track lost (1 s) and its alarm ended (--cooldown) before the next one begins.
PASS_S, PERIOD_S, COOLDOWN_S = 1.6, 3.4, 0.3
HEIGHTS = 8
# A stream that comes back is watched again when a few of its frames were read.
SETTLED_S = 0.5


class Camera:
    """A stream of passing drones that can be cut and can change its size.

    Attributes:
        scale: of the frames, 1 or 2.
        began_s: when the first pass begins, on the monotonic clock.
    """

    def __init__(self) -> None:
        self.scale, self.began_s = 1, time.monotonic() + PERIOD_S
        self.server = MjpegServer(self._frame)
        self.port = self.server.port

    def cut(self) -> None:
        self.server.stop()

    def mend(self) -> None:
        self.server = MjpegServer(self._frame, port=self.port)

    def pass_at(self, moment_s: float) -> float:
        """How many passes have begun, the last one counted by how much of its period is over."""
        return (moment_s - self.began_s) / PERIOD_S

    def _frame(self, number: int) -> NDArray[np.uint8]:
        passes = self.pass_at(time.monotonic())
        seconds = PERIOD_S * (passes % 1)
        spots = () if passes < 0 or seconds > PASS_S else ((20 + 80 * seconds, 12 * (int(passes) % HEIGHTS) + 8, 250),)
        image = picture(*spots)
        return np.asarray(cv2.resize(image, None, fx=self.scale, fy=self.scale, interpolation=cv2.INTER_NEAREST))


class Watch:
    """The watching process with what it tells and is told, and the faults that can befall it.

    Attributes:
        disturbed: from when to when passes may be lost, as the process or its stream was away.
        kills: how many there were.
    """

    def __init__(self, python: WarmPython, disk: Path, folder: Path) -> None:
        self.python, self.camera, self.hook, self.out = python, Camera(), Hook(), disk / "out"
        self.clock, self.kills, self.disturbed = folder / "clock", 0, [(0.0, time.monotonic())]
        self.got: list[dict[str, object]] = []
        self.port = self.hook.port
        self.clock.write_text("0")
        self.process = self._start()

    def kill(self) -> None:
        began, connections = time.monotonic(), self.camera.server.connections
        self.process.kill()
        self.process.wait(20)
        self.kills += 1
        self.process = self._start()
        self._away(began, connections)

    def cut_stream(self) -> None:
        began = time.monotonic()
        self.camera.cut()
        time.sleep(0.3)
        self.camera.mend()
        self._away(began, 0)

    def change_frame_size(self) -> None:
        self.camera.scale = 3 - self.camera.scale

    def stop_receiver(self) -> None:
        self.hook.stop()
        time.sleep(1.2 * PERIOD_S)
        self.got += self.hook.got
        self.hook = Hook(self.port)

    def fill_disk(self) -> None:
        """For longer than a period its disk has no room or, where it has none of its own, its files cannot grow."""
        if self.out.parent.is_mount():
            filler = self.out.parent / "filler"
            _write_until_full(filler)
            time.sleep(1.2 * PERIOD_S)
            filler.unlink(missing_ok=True)
            return
        _, hard = resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (1, hard))
        time.sleep(1.2 * PERIOD_S)
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (hard, hard))

    def set_clock_back(self) -> None:
        """By an hour, and further each time."""
        self.clock.write_text(str(int(self.clock.read_text()) - 3600))

    def end(self) -> None:
        """Ends the process and waits until the receiver has all."""
        self.process.terminate()
        assert self.process.wait(20) == 128 + signal.SIGTERM
        events = len((self.out / "alarms.jsonl").read_text().splitlines())
        # What the receiver has not got it gets after the next start.
        self.process = self._start()
        wait_for(lambda: len({_key(body) for body in (*self.got, *self.hook.got)}) >= events, 60)
        self.process.terminate()
        self.process.wait(20)
        self.got += self.hook.got
        self.hook.stop()
        self.camera.cut()

    def whole_passes(self) -> list[int]:
        """The passes that are over and of which nothing fell into a disturbance."""
        begins = [
            self.camera.began_s + number * PERIOD_S for number in range(int(self.camera.pass_at(time.monotonic())))
        ]
        return [
            number
            for number, first in enumerate(begins)
            if not any(began < first + PASS_S and ended > first for began, ended in self.disturbed)
        ]

    def _start(self) -> WarmProcess:
        paths = os.pathsep.join((str(ROOT), str(ROOT / "tests")))
        environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "WATCH_CLOCK": str(self.clock)}
        options = ["--output", self.out, "--cooldown", COOLDOWN_S, "--webhook", f"http://127.0.0.1:{self.port}/"]
        script = ROOT / "tests" / "watch" / "watch_bright.py"
        return self.python.popen([script, f"gate={self.camera.server.url}", *options], ROOT, environment)

    def _away(self, began_s: float, connections: int) -> None:
        """Waits until the stream is read again, by one connection more than so many."""
        wait_for(lambda: self.camera.server.connections > connections, 60)
        time.sleep(SETTLED_S)
        self.disturbed.append((began_s, time.monotonic()))


def _write_until_full(path: Path) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY)
    try:
        while True:
            os.write(descriptor, bytes(4096))
    except OSError:
        os.close(descriptor)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of its own, of 8 MiB, where it is allowed to mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], capture_output=True)
    yield folder
    if mounted.returncode == 0:
        subprocess.run(["umount", "--lazy", folder], check=True)


def _key(body: dict[str, object]) -> tuple[object, object]:
    return body["alarm_id"], body["event"]


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux sets limits of another process")
def test_no_alarm_is_lost_or_doubled(warm_python: WarmPython, disk: Path, tmp_path: Path) -> None:
    rng = random.Random(FAULTS)
    watch = Watch(warm_python, disk, tmp_path)
    kinds: list[Callable[[], None]] = [watch.kill, watch.cut_stream, watch.change_frame_size]
    kinds += [watch.stop_receiver, watch.fill_disk, watch.set_clock_back]
    order = [kind for _ in range(-(-FAULTS // len(kinds))) for kind in rng.sample(kinds, len(kinds))][:FAULTS]
    wait_for(lambda: watch.camera.server.connections, 60)
    time.sleep(SETTLED_S)
    watch.disturbed = [(0.0, time.monotonic())]
    for fault in order:
        time.sleep(rng.uniform(0, PERIOD_S))
        fault()
    # As many whole passes as faults, and the last one over.
    while len(watch.whole_passes()) < FAULTS:
        time.sleep(PERIOD_S / 4)
    whole = watch.whole_passes()
    last = whole[-1]
    # The pass that has begun meanwhile must not be cut in two by the end.
    time.sleep(max(0.0, watch.camera.began_s + (last + 1) * PERIOD_S + PASS_S + 1.4 - time.monotonic()))
    watch.end()

    store = Store(watch.out)
    alarms = list(reversed(store.alarms(AlarmFilter(limit=10_000))))
    seen = [_pass_of(alarm["box_xyxy"]) for alarm in alarms]
    counts, number = dict.fromkeys(range(last + 1), 0), 0
    for height in seen:
        number += (height - number) % HEIGHTS
        counts[number] = counts.get(number, 0) + 1
    assert {number: counts[number] for number in whole if counts[number] != 1} == {}
    # A pass that a kill cuts in two may be an alarm of each process.
    assert sum(count - 1 for count in counts.values() if count > 1) <= watch.kills

    written = [_key(json.loads(line)) for line in (watch.out / "alarms.jsonl").read_text().splitlines()]
    assert len(written) == len(set(written)) == 2 * len(alarms)
    assert [name for name, event in written if event == "alarm"] == [alarm["alarm_id"] for alarm in alarms]
    told = list(dict.fromkeys(_key(body) for body in watch.got))
    assert told == written
    # Killed between sending and noting it, a process sends an event again, with the key that it had before.
    assert len(watch.got) - len(told) <= watch.kills
    print(
        f"{[fault.__name__ for fault in order]}: {len(alarms)} alarms of {last + 1} passes, {len(whole)} of them whole"
    )


def _pass_of(box_xyxy: list[float]) -> int:
    """The height that a box was at, whatever the frame's size; the number of its pass, modulo HEIGHTS."""
    _, top, _, bottom = box_xyxy
    scale = 2 if bottom - top > 12 else 1
    return round((top / scale - 8) / 12) % HEIGHTS
