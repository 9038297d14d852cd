"""Tables as Markdown, and numbers in them."""

from collections.abc import Sequence

import numpy as np
from tabulate import tabulate


def github_table(rows: Sequence[Sequence[object]], headers: Sequence[str]) -> str:
    """A Markdown table; every cell as it is printed."""
    return tabulate([[str(cell) for cell in row] for row in rows], headers, tablefmt="github", disable_numparse=True)


def mean(values: Sequence[float | None]) -> float | None:
    """Mean of the values that are defined; None where none is."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def deviation(values: Sequence[float | None]) -> float | None:
    """Sample standard deviation of the values that are defined; None for fewer than two."""
    known = [value for value in values if value is not None]
    return float(np.std(known, ddof=1)) if len(known) > 1 else None


def number(value: float | None, form: str = ".2f", missing: str = "") -> str:
    """A number as text, and what stands for none."""
    return missing if value is None else format(value, form)
