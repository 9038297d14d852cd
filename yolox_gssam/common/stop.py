"""Ctrl-C and SIGTERM as a request: what is in hand is finished, the files are closed, then the program ends."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Stopped(SystemExit):
    """Ends the program with status 128 + `signal_number`, as a shell expects of one that a signal ended."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(128 + signal_number)
        self.signal_number = signal_number


class StopRequest:
    """While entered, the first Ctrl-C or SIGTERM only sets `signal_number`; a second one ends the program at once."""

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self._previous: dict[int, Any] = {}
        self._raises = False

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():  # Python handles signals there only
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._request)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def __bool__(self) -> bool:
        return self.signal_number is not None

    @contextmanager
    def interrupts(self) -> Iterator[None]:
        """Inside, the first signal raises `Stopped` wherever the program is: for long work that leaves no trace.

        Raises:
            Stopped: a signal came, now or before.
        """
        self._raises = True
        try:
            if self.signal_number is not None:
                raise Stopped(self.signal_number)
            yield
        finally:
            self._raises = False

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.signal_number = number
        for installed, handler in self._previous.items():
            signal.signal(installed, handler)
        if self._raises:
            raise Stopped(number)
