"""What is wrong in a file, and where: readers report it, the caller decides whether to stop."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.text import printable

MAX_OBJECTS = 10_000
"""Objects of one image, whatever the format. No real set comes near it; a file with millions would take minutes."""
TOO_MANY_OBJECTS = f"has more than {MAX_OBJECTS:,} objects, the most that are read; leave the image out"


@dataclass(frozen=True)
class Fault:
    """Something wrong in a file; as text it is one line.

    Attributes:
        where: "image 7", "annotation 12", "line 3"; empty where it concerns the whole file.
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


def check_objects(count: int, path: Path, where: str = "") -> None:
    """Raises UserError where one image has more objects than are read."""
    if count > MAX_OBJECTS:
        raise UserError(str(Fault(path, where, TOO_MANY_OBJECTS)))


def raise_fatal(fault: Fault) -> None:
    """A `Report` that stops at the first fatal fault and passes over the others.

    Raises:
        UserError: the fault is fatal.
    """
    if fault.fatal:
        raise UserError(str(fault))
