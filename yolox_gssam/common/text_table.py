"""Tables as plain text."""

from collections.abc import Sequence

from tabulate import tabulate


def text_table(rows: Sequence[Sequence[object]], headers: Sequence[str], left: int = 1) -> str:
    """A table as text, every cell as it is printed.

    Args:
        left: how many columns, from the first on, stand to the left; the others stand to the right.
    """
    places = ("left",) * left + ("right",) * (len(headers) - left)
    cells = [[str(cell) for cell in row] for row in rows]
    return tabulate(cells, headers, tablefmt="simple", disable_numparse=True, colalign=places)
