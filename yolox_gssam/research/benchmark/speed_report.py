"""One comparison: as a table for people, as JSON for programs, as a bar chart."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from tabulate import tabulate

from yolox_gssam.common.figure import save_figure
from yolox_gssam.common.files import write_json
from yolox_gssam.evaluation.timing import Milliseconds
from yolox_gssam.research.benchmark.compare import Ratio
from yolox_gssam.research.benchmark.machine import Machine
from yolox_gssam.research.benchmark.network_size import WHAT_IS_COUNTED, NetworkSize

TOTAL = "total"
"""Name of the whole among the steps."""


@dataclass(frozen=True)
class SideResult:
    """What was measured of one side.

    Attributes:
        what: exp file and settings.
        steps: milliseconds an image by step, the whole under "total".
        ratio: how many times as fast as the first side.
        memory_bytes: at its peak; None where it was not measured.
        network: None where there is none.
        more: further numbers, by name.
    """

    what: str
    steps: Mapping[str, Milliseconds]
    ratio: Ratio
    memory_bytes: int | None
    network: NetworkSize | None
    more: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """One comparison of sides.

    Attributes:
        benchmark: which, as tools/benchmark.py calls it.
        quick: a short run, of rough numbers.
        settings: what all sides ran with.
        machine: where.
        sides: name -> result; the ratios are to the first.
        how: what was measured in which way, a line each.
        left_out: name -> why, of sides that cannot run here.
    """

    benchmark: str
    quick: bool
    settings: Mapping[str, Any]
    machine: Machine
    sides: Mapping[str, SideResult]
    how: Sequence[str]
    left_out: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain values; times in milliseconds an image."""
        return asdict(self)

    def table(self) -> str:
        """Text: the whole times, the steps, what the sides are and how it was measured."""
        sections = [self._times(), self._steps(), self._sides(), "\n".join((*self.how, *self.machine.lines()))]
        head = f"{self.benchmark}{' (quick: rough numbers)' if self.quick else ''}: " + ", ".join(
            f"{name.replace('_', ' ')} {value}" for name, value in self.settings.items()
        )
        return "\n\n".join((head, *(section for section in sections if section)))

    def write(self, folder: Path) -> dict[str, Path]:
        """Writes the numbers and the chart; what they are -> where they lie.

        Raises:
            UserError: a file could not be written.
        """
        files = {"numbers": folder / f"{self.benchmark}.json", "chart": folder / f"{self.benchmark}.png"}
        write_json(files["numbers"], self.to_json())
        self.plot(files["chart"])
        return files

    def plot(self, path: Path) -> None:
        """A bar a side: the median of the whole time, with a line from the minimum to the 95th percentile.

        Raises:
            UserError: the file could not be written.
        """
        figure = Figure(figsize=(8, 1.6 + 0.6 * len(self.sides)), layout="constrained")
        axes = figure.subplots()
        totals = [side.steps[TOTAL] for side in self.sides.values()]
        medians = np.array([total.median for total in totals])
        spread = [[t.median - t.minimum for t in totals], [t.p95 - t.median for t in totals]]
        names = [name.replace("$", r"\$") for name in self.sides]
        axes.barh(names, medians, xerr=np.maximum(spread, 0), capsize=4, color="tab:blue", alpha=0.8)
        for row, side in enumerate(self.sides.values()):
            axes.annotate(
                f"{side.ratio} times", (0, row), xytext=(6, 0), textcoords="offset points", va="center", color="w"
            )
        axes.invert_yaxis()
        title = f"{self.benchmark}{', quick' if self.quick else ''}; speed compared with {names[0]}"
        axes.set(xlabel="ms an image: median, minimum to 95th percentile", title=title)
        axes.grid(axis="x", alpha=0.3)
        save_figure(figure, path)

    def _times(self) -> str:
        first = next(iter(self.sides))
        more = list(dict.fromkeys(name for side in self.sides.values() for name in side.more))
        rows = []
        for name, side in self.sides.items():
            total = side.steps[TOTAL]
            rows.append(
                (
                    name,
                    *(f"{value:.2f}" for value in (total.mean, total.median, total.p95, total.minimum)),
                    f"{1000 / total.mean:.2f}",
                    str(side.ratio),
                    mebibytes(side.memory_bytes),
                    "-" if side.network is None else f"{side.network.parameters / 1e6:.2f}",
                    "-" if side.network is None else f"{side.network.gflops:.2f}",
                    *(f"{side.more[key]:.2f}" if key in side.more else "-" for key in more),
                )
            )
        headers = ("ms an image", "mean", "median", "p95", "min", "images/s", f"times as fast as {first} (95 %)")
        return align(rows, (*headers, "MiB", "M parameters", "GFLOPs", *more))

    def _steps(self) -> str:
        names = list(dict.fromkeys(step for side in self.sides.values() for step in side.steps if step != TOTAL))
        if not names:
            return ""
        rows = [
            (name, *(f"{side.steps[step].median:.2f}" if step in side.steps else "-" for step in names))
            for name, side in self.sides.items()
        ]
        return align(rows, ("median ms an image", *names))

    def _sides(self) -> str:
        lines = [f"{name}: {side.what}" for name, side in self.sides.items()]
        lines += [f"{name}: left out, {reason}" for name, reason in self.left_out.items()]
        if any(side.network for side in self.sides.values()):
            lines.append(f"GFLOPs: {WHAT_IS_COUNTED}")
        return "\n".join(lines)


def align(rows: Sequence[Sequence[str]], headers: Sequence[str]) -> str:
    """A table as text, every cell as it is written, the first column to the left and the others to the right."""
    sides = ("left", *("right",) * (len(headers) - 1))
    return tabulate(rows, headers, tablefmt="simple", disable_numparse=True, colalign=sides)


def mebibytes(count: int | None) -> str:
    """Bytes in MiB, "-" for None."""
    return "-" if count is None else f"{count / 2**20:.1f}"
