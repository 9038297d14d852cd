"""Time and memory of small pieces of work, measured at many sizes: as tables for people, as JSON for programs."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from yolox_gssam.common.files import write_json
from yolox_gssam.research.benchmark.machine import Machine
from yolox_gssam.research.benchmark.peak_memory import HOW

IN_TURN = (
    "Time: one call, the variants in turn, in an order drawn anew each round; a turn of each is as many calls as the "
    "slowest needs for one, in 1 ms to 0.5 s, and gives their mean."
)


@dataclass(frozen=True)
class CostSettings:
    """How to measure: as `time_calls_in_turn` takes them, for each size; `quick` is said in the report."""

    rounds: int = 21
    seconds: float = 20.0
    seed: int = 0
    quick: bool = False


@dataclass(frozen=True)
class CostReport:
    """One benchmark of small pieces of work.

    Attributes:
        benchmark: which, as tools/benchmark.py calls it.
        variants: name -> what it is.
        machines: one for each device.
        cells: dataclasses, one for each variant at each size.
        tables: the cells as text.
        how: what was measured in which way, a line each.
    """

    benchmark: str
    settings: CostSettings
    variants: Mapping[str, str]
    machines: Sequence[Machine]
    cells: Sequence[Any]
    tables: Sequence[str]
    how: Sequence[str]

    def table(self) -> str:
        """The tables, and how they were measured."""
        quick = " (quick: rough numbers)" if self.settings.quick else ""
        how = [f"{name}: {what}" for name, what in self.variants.items()] + [*self.how, IN_TURN]
        for machine in self.machines:
            kind = machine.device.split(":")[0].split(" ")[0]
            how.append(f"MiB: {HOW[kind]}: results and gradients included, what goes in not. '-': not measured.")
            how += machine.lines()
        return "\n\n".join((f"{self.benchmark}{quick}, one image, float32", *self.tables, "\n".join(how)))

    def write(self, folder: Path) -> Path:
        """Writes the numbers and returns their file."""
        path = folder / f"{self.benchmark}.json"
        fields = asdict(self)
        write_json(path, {name: fields[name] for name in ("benchmark", "settings", "variants", "machines", "cells")})
        return path
