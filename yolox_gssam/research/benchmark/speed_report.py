"""One comparison: as a table for people, as JSON for programs."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from yolox_gssam.common.files import write_json
from yolox_gssam.common.text_table import text_table
from yolox_gssam.evaluation.timing import Milliseconds
from yolox_gssam.research.benchmark.compare import Ratio
from yolox_gssam.research.benchmark.machine import Machine
from yolox_gssam.research.benchmark.network_size import WHAT_IS_COUNTED, NetworkSize

TOTAL = "total"
"""Name of the whole among the steps."""


@dataclass(frozen=True)
class VariantResult:
    """What was measured of one variant.

    Attributes:
        what: exp file and settings.
        steps: milliseconds per image by step, the whole under "total".
        ratio: how many times as fast as the first variant.
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
class SpeedReport:
    """One comparison of variants.

    Attributes:
        benchmark: which, as tools/benchmark.py calls it.
        quick: a short run, of rough numbers.
        settings: what all variants ran with.
        machine: where.
        variants: name -> result; the ratios are to the first.
        how: what was measured in which way, a line each.
        left_out: name -> why, of variants that cannot run here.
    """

    benchmark: str
    quick: bool
    settings: Mapping[str, Any]
    machine: Machine
    variants: Mapping[str, VariantResult]
    how: Sequence[str]
    left_out: Mapping[str, str] = field(default_factory=dict)

    def table(self) -> str:
        """Text: the whole times, the steps, what the variants are and how it was measured."""
        sections = [self._times(), self._steps(), self._variants(), "\n".join((*self.how, *self.machine.lines()))]
        head = f"{self.benchmark}{' (quick: rough numbers)' if self.quick else ''}: " + ", ".join(
            f"{name.replace('_', ' ')} {value}" for name, value in self.settings.items()
        )
        return "\n\n".join((head, *(section for section in sections if section)))

    def write(self, folder: Path) -> Path:
        """Writes the numbers and returns their file; times are milliseconds per image.

        Raises:
            UserError: it could not be written.
        """
        path = folder / f"{self.benchmark}.json"
        write_json(path, asdict(self))
        return path

    def _times(self) -> str:
        first = next(iter(self.variants))
        more = list(dict.fromkeys(name for variant in self.variants.values() for name in variant.more))
        rows = []
        for name, variant in self.variants.items():
            total = variant.steps[TOTAL]
            rows.append(
                (
                    name,
                    *(f"{value:.2f}" for value in (total.mean, total.median, total.p95, total.minimum)),
                    f"{1000 / total.mean:.2f}",
                    str(variant.ratio),
                    mebibytes(variant.memory_bytes),
                    "-" if variant.network is None else f"{variant.network.parameters / 1e6:.2f}",
                    "-" if variant.network is None else f"{variant.network.gflops:.2f}",
                    *(f"{variant.more[key]:.2f}" if key in variant.more else "-" for key in more),
                )
            )
        headers = ("ms per image", "mean", "median", "p95", "min", "images/s", f"times as fast as {first} (95 %)")
        return text_table(rows, (*headers, "MiB", "M parameters", "GFLOPs", *more))

    def _steps(self) -> str:
        names = list(
            dict.fromkeys(step for variant in self.variants.values() for step in variant.steps if step != TOTAL)
        )
        if not names:
            return ""
        rows = [
            (name, *(f"{variant.steps[step].median:.2f}" if step in variant.steps else "-" for step in names))
            for name, variant in self.variants.items()
        ]
        return text_table(rows, ("median ms per image", *names))

    def _variants(self) -> str:
        lines = [f"{name}: {variant.what}" for name, variant in self.variants.items()]
        lines += [f"{name}: left out, {reason}" for name, reason in self.left_out.items()]
        if any(variant.network for variant in self.variants.values()):
            lines.append(f"GFLOPs: {WHAT_IS_COUNTED}")
        return "\n".join(lines)


def mebibytes(count: int | None) -> str:
    """Bytes in MiB, "-" for None."""
    return "-" if count is None else f"{count / 2**20:.1f}"
