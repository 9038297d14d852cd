"""Sources of frames: streams, cameras and files, each read by a thread of its own, so that none holds up another."""

import re
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from loguru import logger
from numpy.typing import NDArray

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.text import printable

_USER = re.compile(r"(?<=://)[^/@]*@")
_NAMED = re.compile(r"([\w-]+)=(.+)", re.DOTALL)
_RECENT_S = 5.0  # over which rates are told


@dataclass(frozen=True)
class SourceOptions:
    """How sources are read.

    Attributes:
        realtime: of a file as many frames a second as it says, and the newest one, as of a camera.
        open_s, read_s: seconds until opening or waiting for a frame is given up.
        first_wait_s, longest_wait_s: before the first try to connect again, and at most; each try doubles it.
    """

    realtime: bool = False
    open_s: float = 10.0
    read_s: float = 5.0
    first_wait_s: float = 1.0
    longest_wait_s: float = 60.0


@dataclass(frozen=True, eq=False)
class Picture:
    """One frame of a source.

    Attributes:
        image: BGR (H, W, 3).
        time_s: of a file, seconds from its start; else seconds on a clock that is never set.
        clock_s: seconds since 1970 when it was read.
        read_s: seconds on the clock that is never set when it was read; for latency.
    """

    image: NDArray[np.uint8]
    time_s: float
    clock_s: float
    read_s: float


@dataclass(frozen=True)
class SourceState:
    """What a source does, for the page and the log.

    Attributes:
        name: without user and password.
        state: "opening", "running", "waiting" (to connect again), "ended" or "failed".
        message: what is wrong; empty where nothing is.
        frames, taken, dropped: read, detected on, and overtaken by newer ones.
        reconnects: how often it was opened again.
        rate_in, rate_through: frames a second read and detected on, over the last seconds.
        age_s: seconds since the last frame; None before the first.
    """

    name: str
    state: str
    message: str
    frames: int
    taken: int
    dropped: int
    reconnects: int
    rate_in: float
    rate_through: float
    age_s: float | None


class Source(threading.Thread):
    """Reads one source until it is stopped; a file until its end.

    Args:
        place: file, URL or number of a camera.
        name: what it is called, without user and password.
        options: see there.
        news: notified at each frame and at the end.
    """

    def __init__(self, place: str, name: str, options: SourceOptions, news: threading.Condition) -> None:
        super().__init__(name=f"source {name}", daemon=True)
        self.place, self.source, self.options = place, name, options
        self.is_file = "://" not in place and not place.isdecimal()
        self._news, self._stop_asked = news, threading.Event()
        self._newest: Picture | None = None
        self._state, self._message = "opening", ""
        self._frames = self._taken = self._dropped = self._reconnects = 0
        self._last_read_s: float | None = None
        self._rate_in, self._rate_through = _Rate(), _Rate()

    @property
    def over(self) -> bool:
        """Whether no frame will come any more, and none waits."""
        return self._state in ("ended", "failed") and self._newest is None

    @property
    def failed(self) -> bool:
        """Whether it is a file that could not be read."""
        return self._state == "failed"

    def state(self) -> SourceState:
        """A copy of its counters."""
        age = None if self._last_read_s is None else time.monotonic() - self._last_read_s
        return SourceState(
            self.source,
            self._state,
            self._message,
            self._frames,
            self._taken,
            self._dropped,
            self._reconnects,
            self._rate_in.value(),
            self._rate_through.value(),
            age,
        )

    def take(self) -> Picture | None:
        """The newest frame, once; None where no new one has come. The caller holds `news`."""
        picture, self._newest = self._newest, None
        if picture is not None:
            self._taken += 1
            self._rate_through.count()
            self._news.notify_all()
        return picture

    def stop(self) -> None:
        """Asks it to end, which it does within the read time-out."""
        self._stop_asked.set()
        with self._news:
            self._news.notify_all()

    def run(self) -> None:
        """Opens, reads and opens again, whatever happens."""
        wait_s = self.options.first_wait_s
        while not self._stop_asked.is_set():
            before = self._frames
            try:
                self._read_all()
            except Exception as error:  # of a codec or driver: the others must go on
                self._message = _USER.sub("", f"{type(error).__name__}: {error}")
            if self.is_file:
                self._end_file()
                return
            if self._stop_asked.is_set():
                break
            wait_s = self.options.first_wait_s if self._frames > before else wait_s
            self._say("waiting", f"{self._message}; trying again in {wait_s:.0f} s")
            self._stop_asked.wait(wait_s)
            wait_s = min(2 * wait_s, self.options.longest_wait_s)
            self._reconnects += 1
        self._say("ended", "")

    def _end_file(self) -> None:
        if self._frames:
            self._say("ended", "")
        else:
            self._say("failed", self._message or "no frames in it")

    def _read_all(self) -> None:
        """Reads until there are no more frames; says why in `_message`."""
        self._say("opening", "")
        video = self._open()
        try:
            if not video.isOpened():
                self._message = "cannot be opened"
                return
            rate = video.get(cv2.CAP_PROP_FPS)
            rate = rate if 1 <= rate <= 1000 else 25.0
            started_s, number = time.monotonic(), 0
            while not self._stop_asked.is_set():
                good, image = video.read()
                if not good or image is None:
                    self._message = "no frame came" if number == 0 else "it ended or was cut"
                    return
                if self.is_file and self.options.realtime:
                    self._stop_asked.wait(max(0.0, started_s + number / rate - time.monotonic()))
                self._offer(np.asarray(image, np.uint8), number / rate)
                number += 1
        finally:
            video.release()

    def _open(self) -> cv2.VideoCapture:
        if self.place.isdecimal():
            return cv2.VideoCapture(int(self.place))
        limits = [
            cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
            int(1000 * self.options.open_s),
            cv2.CAP_PROP_READ_TIMEOUT_MSEC,
            int(1000 * self.options.read_s),
        ]
        return cv2.VideoCapture(self.place, cv2.CAP_FFMPEG, limits)

    def _offer(self, image: NDArray[np.uint8], file_s: float) -> None:
        """Puts a frame where `take` finds it; a file that is read as fast as it can be waits until it is taken."""
        now_s = time.monotonic()
        picture = Picture(image, file_s if self.is_file else now_s, time.time(), now_s)
        with self._news:
            if self.is_file and not self.options.realtime:
                self._news.wait_for(lambda: self._newest is None or self._stop_asked.is_set())
                if self._stop_asked.is_set():
                    return
            self._dropped += self._newest is not None
            self._newest, self._last_read_s = picture, now_s
            self._frames += 1
            self._rate_in.count()
            if self._state != "running":
                self._set("running", "")
            self._news.notify_all()

    def _say(self, state: str, message: str) -> None:
        with self._news:
            self._set(state, message)
            self._news.notify_all()

    def _set(self, state: str, message: str) -> None:
        self._state, self._message = state, message
        if message or state in ("running", "ended"):
            (logger.warning if message else logger.info)(f"{self.source}: {message or state}")


class Sources:
    """Several sources at once.

    Args:
        places: files, URLs and numbers of cameras, each as `NAME=PLACE` or `PLACE`.
        options: see there.

    Raises:
        UserError: no such file, or a name twice.
    """

    def __init__(self, places: Sequence[str], options: SourceOptions) -> None:
        self._news = threading.Condition()
        self.all: list[Source] = []
        for text in places:
            name, place = split_name(text)
            if name in (source.source for source in self.all):
                raise UserError(f"{name}: a source of this name is there already; give it another: OTHER={place}")
            self.all.append(Source(place, name, options, self._news))
        missing = [source.place for source in self.all if source.is_file and not Path(source.place).exists()]
        if missing:
            raise UserError(f"{printable(missing[0])}: no such file; give a file, a URL or the number of a camera")

    def start(self) -> None:
        """Begins to read all of them."""
        for source in self.all:
            source.start()

    def batch(self, timeout_s: float) -> list[tuple[int, Picture]]:
        """Number of the source and newest frame of each that has a new one.

        Waits until at least one has; after `timeout_s`, or where all are over, the list is empty.
        """
        with self._news:
            self._news.wait_for(lambda: self.over or any(source._newest for source in self.all), timeout_s)
            taken = [(number, source.take()) for number, source in enumerate(self.all)]
        return [(number, picture) for number, picture in taken if picture is not None]

    @property
    def over(self) -> bool:
        """Whether no frame will come any more."""
        return all(source.over for source in self.all)

    def states(self) -> list[SourceState]:
        """Of each source."""
        return [source.state() for source in self.all]

    def stop(self, timeout_s: float) -> None:
        """Asks all to end and waits for them; one that hangs in a driver is left behind."""
        for source in self.all:
            source.stop()
        deadline = time.monotonic() + timeout_s
        for source in self.all:
            if source.is_alive():
                source.join(max(0.0, deadline - time.monotonic()))


def split_name(text: str) -> tuple[str, str]:
    """Name and place of `NAME=PLACE`; of a mere place, the name is the place without user and password."""
    named = _NAMED.fullmatch(text)
    if named and not Path(text).exists():
        return named[1], named[2]
    if "://" in text:
        return printable(_USER.sub("", text)), text
    return (f"camera {text}" if text.isdecimal() else printable(Path(text).name)), text


class _Rate:
    """How often something happened a second, over the last seconds; constant memory."""

    def __init__(self) -> None:
        self._started_s = time.monotonic()
        self._count, self._last = 0, 0.0

    def count(self) -> None:
        self._roll()
        self._count += 1

    def value(self) -> float:
        self._roll()
        elapsed = time.monotonic() - self._started_s
        return self._last or self._count / max(elapsed, 0.5)

    def _roll(self) -> None:
        elapsed = time.monotonic() - self._started_s
        if elapsed >= _RECENT_S:
            self._last, self._count = (self._count / elapsed), 0
            self._started_s = time.monotonic()
