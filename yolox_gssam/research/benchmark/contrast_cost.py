"""Time and memory of the global contrast against the two usual ways to compute it, as the maps grow."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product

import torch
from torch import Tensor

from yolox_gssam.attention import global_contrast
from yolox_gssam.common.memory import free_bytes
from yolox_gssam.common.progress import progress_bar
from yolox_gssam.common.text_table import text_table
from yolox_gssam.evaluation.timing import Milliseconds, summarize
from yolox_gssam.research.benchmark.compare import Ratio, speed_ratio, time_calls_in_turn
from yolox_gssam.research.benchmark.cost_report import CostReport, CostSettings
from yolox_gssam.research.benchmark.machine import describe_machine
from yolox_gssam.research.benchmark.peak_memory import peak_memory
from yolox_gssam.research.benchmark.speed_report import mebibytes

VALUES = (400, 1600, 6400, 25_600, 102_400, 409_600)
SAMPLES = (1, 6, 25, 100, 400, 1600)
QUICK_VALUES = (400, 6400, 102_400)
QUICK_SAMPLES = (1, 25, 400)
# The first stage at 640 x 640 has 320 x 320 values and, at every stage, 400 base points.
STAGE = (102_400, 400)
MODES = ("forward", "forward + backward")
TARGETS = {"forward": 40, "forward + backward": 100}
"""Times as fast as broadcasting at `STAGE` on a CPU."""
RIVAL_BYTES = {"forward": 8, "forward + backward": 16}
"""An upper bound of what the rivals hold for each of the M N differences, in float32."""

Contrast = Callable[[Tensor, Tensor], Tensor]


def broadcasting(values: Tensor, samples: Tensor) -> Tensor:
    """The definition: (B, M, N) differences in memory, as the paper has them."""
    return (values[:, :, None] - samples[:, None]).abs().sum(dim=-1)


def cdist(values: Tensor, samples: Tensor) -> Tensor:
    """torch's own distances between points with one coordinate; (B, M, N) in memory."""
    return torch.cdist(values[..., None], samples[..., None], p=1).sum(dim=-1)


VARIANTS: dict[str, Contrast] = {"broadcasting": broadcasting, "cdist": cdist, "global_contrast": global_contrast}
OURS = "global_contrast"
HOW = "/ ours: the median over the rounds of time / time of global_contrast, with a bootstrap interval."


@dataclass(frozen=True)
class ContrastCost:
    """One way at one M and N.

    Attributes:
        device: "cpu" or "cuda".
        left_out: why it was not measured; None where it was. The numbers are then None.
        time: milliseconds per call.
        ratio: how many times as fast `global_contrast` is as this way.
    """

    device: str
    mode: str
    variant: str
    values: int
    samples: int
    left_out: str | None
    time: Milliseconds | None = None
    ratio: Ratio | None = None
    memory_bytes: int | None = None


def measure_contrast(
    devices: Sequence[torch.device], values: Sequence[int], samples: Sequence[int], settings: CostSettings
) -> CostReport:
    """Measures every variant at every M and N on every device, forward alone and with backward."""
    cells: list[ContrastCost] = []
    sizes = list(product(values, samples))
    total = len(devices) * len(MODES) * len(sizes)
    with progress_bar(description="contrast", unit="sizes", total=total) as bar:
        for device, mode, size in product(devices, MODES, sizes):
            cells += _measure_size(device, mode, size, settings)
            bar.update()
    tables = [_table([c for c in cells if (c.device, c.mode) == (d.type, m)]) for d in devices for m in MODES]
    machines = [describe_machine(device) for device in devices]
    return CostReport("contrast", settings, {}, machines, cells, tables, [*targets(cells), HOW])


def run(variant: str, mode: str, values: Tensor, samples: Tensor, weights: Tensor) -> tuple[Tensor, ...]:
    """One call: the result (B, M), or the result and both gradients, where `weights` (B, M) come from above."""
    result = VARIANTS[variant](values, samples)
    if mode == MODES[0]:
        return (result,)
    return result, *torch.autograd.grad(result, [values, samples], weights)


def prepare_run(variant: str, mode: str, device: str, size: tuple[int, int], seed: int) -> Callable[[], object]:
    """A call of `run` on numbers that are there already, after a small one that loads what is loaded at first use."""
    run(variant, mode, *_numbers(torch.device(device), mode, (8, 2), seed))
    return partial(run, variant, mode, *_numbers(torch.device(device), mode, size, seed))


def _measure_size(
    device: torch.device, mode: str, size: tuple[int, int], settings: CostSettings
) -> Iterator[ContrastCost]:
    free = free_bytes(device)
    needed = RIVAL_BYTES[mode] * size[0] * size[1]
    fits = free is None or needed < free
    variants = [variant for variant in VARIANTS if fits or variant == OURS]
    numbers = _numbers(device, mode, size, settings.seed)
    calls = {variant: partial(run, variant, mode, *numbers) for variant in variants}
    times = time_calls_in_turn(calls, device, settings.rounds, settings.seconds, settings.seed)
    for variant in VARIANTS:
        key = (device.type, mode, variant, *size)
        if variant not in variants:
            yield ContrastCost(*key, left_out=f"needs {needed / 2**30:.1f} GiB")
            continue
        arguments = (variant, mode, str(device), size, settings.seed)
        yield ContrastCost(
            *key,
            left_out=None,
            time=summarize([1000 * seconds for seconds in times[variant]]),
            ratio=speed_ratio(times[variant], times[OURS], settings.seed),
            memory_bytes=peak_memory(prepare_run, arguments, device),
        )


def _numbers(device: torch.device, mode: str, size: tuple[int, int], seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Values (1, M), samples (1, N) and the gradient (1, M) that comes from above."""
    generator = torch.Generator().manual_seed(seed)
    values, samples, weights = (torch.randn(1, count, generator=generator).to(device) for count in (*size, size[0]))
    needs_gradient = mode != MODES[0]
    return values.requires_grad_(needs_gradient), samples.requires_grad_(needs_gradient), weights


def targets(cells: Sequence[ContrastCost]) -> Iterator[str]:
    """Whether the aims at `STAGE` on a CPU are reached, a line each."""
    for cell in cells:
        at_stage = (cell.values, cell.samples) == STAGE and cell.device == "cpu" and cell.variant == "broadcasting"
        if at_stage and cell.ratio is not None:
            reached = "reached" if cell.ratio.median >= TARGETS[cell.mode] else "missed"
            yield (
                f"M = {STAGE[0]:,}, N = {STAGE[1]}, CPU, {cell.mode}: {cell.ratio} times as fast as broadcasting; "
                f"at least {TARGETS[cell.mode]} times: {reached}"
            )


def _table(cells: Sequence[ContrastCost]) -> str:
    rows = []
    for M, N in dict.fromkeys((cell.values, cell.samples) for cell in cells):
        of_size = {cell.variant: cell for cell in cells if (cell.values, cell.samples) == (M, N)}
        row = [f"{M:,} x {N:,}"]
        for variant in VARIANTS:
            time = of_size[variant].time
            if time is None:
                row += [str(of_size[variant].left_out), "-"]
            else:
                spread = f"{time.minimum:.3f} to {time.p95:.3f}" if variant == OURS else str(of_size[variant].ratio)
                row += [f"{time.median:.3f}", spread]
        rows.append([*row, *(mebibytes(of_size[variant].memory_bytes) for variant in VARIANTS)])
    headers = [f"{cells[0].device}, {cells[0].mode}: M x N"]
    for variant in VARIANTS:
        headers += [f"{variant}, ms", "/ ours (95 %)" if variant != OURS else "min to p95"]
    return text_table(rows, [*headers, *(f"{variant}, MiB" for variant in VARIANTS)])
