"""Ctrl-C and SIGTERM as a request: the frame in hand is finished, the files are closed, then the program ends."""

import signal
import threading
from types import FrameType
from typing import Any


class StopRequest:
    """While entered, the first Ctrl-C or SIGTERM only sets `signal_number`; a second one ends the program at once."""

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self._previous: dict[int, Any] = {}

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

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.signal_number = number
        for installed, handler in self._previous.items():
            signal.signal(installed, handler)
