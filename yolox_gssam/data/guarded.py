"""Calls in a process of their own: a parser that a damaged file crashes, hangs or makes fill the memory ends there."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from functools import lru_cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

MAX_SECONDS = 4.0
"""Longest time a call may take."""
MAX_MEMORY = 2**31
"""Bytes that the calls may take on top of what the process holds at its start, on Linux."""
_START_SECONDS = 60.0

Argument = TypeVar("Argument")
Result = TypeVar("Result")


class GuardError(RuntimeError):
    """A call crashed its process or took longer than `MAX_SECONDS`."""


def call_guarded(function: Callable[[Argument], Result], argument: Argument) -> Result:
    """`function(argument)` in another process, which the next calls use again.

    A script that comes here must keep its work under `if __name__ == "__main__"`: the new process imports it.

    Args:
        function: one that pickle finds by its name.

    Raises:
        GuardError: see there.
        Exception: whatever the function raises.
    """
    worker = _worker()
    try:
        done, result = worker.ask((function, argument))
    except BaseException:  # also Ctrl-C: a late answer must not be taken for that of the next call
        _worker.cache_clear()
        worker.end()
        raise
    if not done:
        raise result
    return result


class _Worker:
    """The process and the pipe to it."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would take over the locks of other threads
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()  # so that its end is noticed here
        self._receive(_START_SECONDS)

    def ask(self, call: tuple[Callable[[Any], Any], Any]) -> tuple[bool, Any]:
        """Whether a call ended well, and its result or its exception."""
        self._receive(_START_SECONDS, call)  # the function's module is imported first, which no file can prolong
        answer: tuple[bool, Any] = self._receive(MAX_SECONDS)
        return answer

    def end(self) -> None:
        self._process.kill()
        self._process.join()

    def _receive(self, seconds: float, call: Any = None) -> Any:
        try:
            if call is not None:
                self._pipe.send(call)
            if not self._pipe.poll(seconds):
                raise GuardError(f"it took longer than {seconds:g} s")
            return self._pipe.recv()
        except (EOFError, OSError) as error:
            raise GuardError("it crashed") from error


_worker = lru_cache(maxsize=1)(_Worker)


def _serve(pipe: "Connection[Any, Any]") -> None:
    """Answers calls until the other process is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks
    _limit_memory()
    pipe.send("ready")
    while True:
        try:
            function, argument = pipe.recv()
        except EOFError:
            return
        pipe.send("begun")
        try:
            answer = True, function(argument)
        except Exception as error:
            answer = False, error
        pipe.send(answer)


def _limit_memory() -> None:
    """Holds the process to `MAX_MEMORY` where the system can."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return
    import resource  # not there on Windows

    held = int(statm.read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (held + MAX_MEMORY, held + MAX_MEMORY))
