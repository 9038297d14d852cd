"""The progress bar of the whole house."""

from collections.abc import Iterable
from typing import Any, TypeVar

from tqdm import tqdm

T = TypeVar("T")


def progress_bar(
    iterable: Iterable[T] | None = None, *, description: str, unit: str, total: int | None = None, **options: Any
) -> "tqdm[T]":
    """A tqdm bar on standard error: `description`, a rate in `unit`s per second and the time left.

    Redrawn at most twice a second, so that a log file stays short. Further options go to tqdm.
    """
    return tqdm(
        iterable, desc=description, unit=f" {unit}", total=total, mininterval=0.5, dynamic_ncols=True, **options
    )
