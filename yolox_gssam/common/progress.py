"""The one progress bar."""

import sys
import time
from collections.abc import Iterable
from typing import Any, TypeVar

from tqdm import tqdm

T = TypeVar("T")
LINE_SECONDS = 30.0
LINE_SHARE = 0.1
"""Where the output is no terminal, a line comes after so long, or so much of the whole, whichever is sooner."""
_LEAST_SECONDS = 0.5


def progress_bar(
    iterable: Iterable[T] | None = None, *, description: str, unit: str, total: int | None = None, **options: Any
) -> "tqdm[T]":
    """A tqdm bar on standard error: `description`, a rate in `unit`s per second and the time left.

    Redrawn at most twice a second; in a file or a pipe, which keep every picture of it, a line now and then instead.
    Further options go to tqdm.
    """
    kind = tqdm if sys.stderr.isatty() else _Lines
    return kind(
        iterable,
        desc=description,
        unit=f" {unit}",
        total=total,
        mininterval=_LEAST_SECONDS,
        dynamic_ncols=kind is tqdm,
        **options,
    )


class _Lines(tqdm):
    """The bar as lines of a log."""

    disable: bool

    def __init__(self, *args: Any, **options: Any) -> None:
        self._said_at = time.monotonic()
        self._said = 0.0
        super().__init__(*args, **options)
        self._said = self.n

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Writes a line, if it is time for one; called by tqdm whenever it would redraw the bar."""
        seconds = time.monotonic() - self._said_at
        much = self.total and self.n - self._said >= LINE_SHARE * self.total
        if self.n > self._said and (seconds >= LINE_SECONDS or (much and seconds >= _LEAST_SECONDS)):
            self._write()

    def clear(self, nolock: bool = False) -> None:
        """Nothing: lines stay."""

    def close(self) -> None:
        if self.disable:
            return
        if self.leave and (self.n > self._said or not self.n):
            self._write()
        self.disable = True
        self._decr_instances(self)

    def _write(self) -> None:
        self._said_at, self._said = time.monotonic(), self.n
        self.fp.write(f"{self}\n")
        self.fp.flush()
