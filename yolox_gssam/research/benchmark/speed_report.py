"""One comparison: as a table for people, as JSON for programs."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from yolox_gssam.common.files import write_json
from yolox_gssam.common.text_table import text_table
from yolox_gssam.evaluation.timing import Milliseconds
from yolox_gssam.models.operations import multiply_adds
from yolox_gssam.research.benchmark.compare import Ratio
from yolox_gssam.research.benchmark.machine import Machine

TOTAL = "total"
"""Name of the whole among the steps."""
GFLOPS = (
    "two for each multiply-add that thop sees, as YOLOX counts them: convolutions, normalizations, average pooling and "
    "upsampling; not activations, sums of maps, decoding, nor the sorting and looking up of the global contrast"
)


@dataclass(frozen=True)
class NetworkSize:
    """Parameters, and `GFLOPS` for one image."""

    parameters: int
    gflops: float


def network_size(model: nn.Module, size_hw: tuple[int, int]) -> NetworkSize:
    """The size of a network for images of `size_hw` pixels; the model itself is not touched."""
    return NetworkSize(sum(p.numel() for p in model.parameters()), 2 * multiply_adds(model, size_hw) / 1e9)


@dataclass(frozen=True)
class VariantResult:
    """What was measured of one variant.

    Attributes:
        what: exp file and settings.
        steps: milliseconds per image by step, the whole under "total".
        memory_bytes: at its peak; None where it was not measured.
        network: None of an exported file.
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
    """One comparison of variants, which have the same steps and further numbers; the ratios are to the first.

    Attributes:
        benchmark: which, as tools/benchmark.py calls it.
        quick: a short run, of rough numbers.
        settings: what all variants ran with.
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
        head = f"{self.benchmark}{' (quick: rough numbers)' if self.quick else ''}: " + ", ".join(
            f"{name.replace('_', ' ')} {value}" for name, value in self.settings.items()
        )
        how = "\n".join((*self.how, *self.machine.lines()))
        return "\n\n".join((head, self._times(), self._steps(), self._variants(), how))

    def write(self, folder: Path) -> Path:
        """Writes the numbers and returns their file; times are milliseconds per image."""
        path = folder / f"{self.benchmark}.json"
        write_json(path, asdict(self))
        return path

    def _times(self) -> str:
        first, result = next(iter(self.variants.items()))
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
                    *(f"{value:.2f}" for value in variant.more.values()),
                )
            )
        headers = ("ms per image", "mean", "median", "p95", "min", "images/s", f"times as fast as {first} (95 %)")
        return text_table(rows, (*headers, "MiB", "M parameters", "GFLOPs", *result.more))

    def _steps(self) -> str:
        names = [step for step in next(iter(self.variants.values())).steps if step != TOTAL]
        rows = [
            (name, *(f"{variant.steps[step].median:.2f}" for step in names)) for name, variant in self.variants.items()
        ]
        return text_table(rows, ("median ms per image", *names))

    def _variants(self) -> str:
        lines = [f"{name}: {variant.what}" for name, variant in self.variants.items()]
        lines += [f"{name}: left out, {reason}" for name, reason in self.left_out.items()]
        if any(variant.network for variant in self.variants.values()):
            lines.append(f"GFLOPs: {GFLOPS}")
        return "\n".join(lines)


def mebibytes(count: int | None) -> str:
    """Bytes in MiB, "-" for None."""
    return "-" if count is None else f"{count / 2**20:.1f}"
