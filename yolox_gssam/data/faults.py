"""What is wrong in a file, and where: readers report it, the caller decides whether to stop."""

import reprlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

from yolox_gssam.errors import UserError

_REPR = reprlib.Repr()  # bounded in depth and breadth: a value may be nested without end
_REPR.maxlevel, _REPR.maxstring, _REPR.maxother = 3, 80, 80

MAX_OBJECTS = 10_000
"""Objects of one image, whatever the format. No real set comes near it; a file with millions would take minutes."""
TOO_MANY_OBJECTS = f"has more than {MAX_OBJECTS:,} objects, the most that are read; leave the image out"


@dataclass(frozen=True)
class Fault:
    """Something wrong in a file; as text it is one line.

    Attributes:
        path: the file.
        where: "image 7", "annotation 12", "line 3"; empty where it concerns the whole file.
        message: what is wrong.
        fatal: training or evaluating on it would be wrong; otherwise the item is passed over or put right.
        of_set: said once of many files or items, often with their count, so that it is never cut from a long list.
    """

    path: Path
    where: str
    message: str
    fatal: bool = True
    of_set: bool = False

    def __str__(self) -> str:
        return ": ".join(filter(None, (printable(self.path), self.where, self.message)))


Report = Callable[[Fault], None]
"""Takes a fault and returns, so that the reader goes on to the next item, or raises."""


def raise_fatal(fault: Fault) -> None:
    """A `Report` that stops at the first fatal fault and passes over the others.

    Raises:
        UserError: the fault is fatal.
    """
    if fault.fatal:
        raise UserError(str(fault))


def shorten(value: object) -> str:
    """A value for a message: quoted, on one line, at most 80 characters."""
    try:
        text = _REPR.repr(value)
    except ValueError:  # a whole number of more digits than Python prints
        return "a number of thousands of digits"
    return text if len(text) <= 80 else text[:77] + "..."


def printable(name: object) -> str:
    """A file's name for a message: as it is, quoted where it holds line breaks or other signs that do not print."""
    text = str(name)
    return text if text.isprintable() else repr(text)


def is_text(value: object) -> TypeGuard[str]:
    """Whether it is text that a file can hold: without half a surrogate pair, as JSON and YAML may carry."""
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:
        return False


def one_line(error: Exception) -> str:
    """What a parser says of a damaged file, for a message: on one line, at most 200 characters, or the error's kind."""
    text = printable(" ".join(str(error).split())) or type(error).__name__
    return text if len(text) <= 200 else text[:197] + "..."
