"""Time and memory of the global contrast against the two usual ways to compute it, as the maps grow."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from yolox_gssam.attention import global_contrast
from yolox_gssam.common.figure import save_figure
from yolox_gssam.common.files import write_json
from yolox_gssam.common.progress import progress_bar
from yolox_gssam.evaluation.timing import Milliseconds, summarize
from yolox_gssam.research.benchmark.compare import Ratio, speed_ratio, time_calls_in_turn
from yolox_gssam.research.benchmark.machine import Machine, describe_machine
from yolox_gssam.research.benchmark.peak_memory import HOW, available_memory, peak_memory
from yolox_gssam.research.benchmark.speed_report import align, mebibytes

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


SIDES: dict[str, Contrast] = {"broadcasting": broadcasting, "cdist": cdist, "global_contrast": global_contrast}
OURS = "global_contrast"


@dataclass(frozen=True)
class ContrastSettings:
    """How to measure.

    Attributes:
        values, samples: every M and every N.
        rounds: most rounds of one M and N; at least three.
        seconds: after so many no further round of one M and N begins.
        seed: of the numbers and of the order of the sides.
        quick: said in the report.
    """

    values: Sequence[int] = VALUES
    samples: Sequence[int] = SAMPLES
    rounds: int = 21
    seconds: float = 8.0
    seed: int = 0
    quick: bool = False


@dataclass(frozen=True)
class Cell:
    """One way at one M and N.

    Attributes:
        device: "cpu" or "cuda".
        left_out: why it was not measured; None where it was. The numbers are then None.
        time: milliseconds a call.
        ratio: how many times as fast `global_contrast` is as this way.
    """

    device: str
    mode: str
    side: str
    values: int
    samples: int
    left_out: str | None
    time: Milliseconds | None = None
    ratio: Ratio | None = None
    memory_bytes: int | None = None


@dataclass(frozen=True)
class ContrastReport:
    """All cells, and where they were measured (one machine a device)."""

    settings: ContrastSettings
    machines: Sequence[Machine]
    cells: Sequence[Cell]

    def table(self) -> str:
        """Text: a table for each device and mode, the target, and how it was measured."""
        devices = list(dict.fromkeys(cell.device for cell in self.cells))
        sections = [f"contrast{' (quick: rough numbers)' if self.settings.quick else ''}, B = 1, float32"]
        sections += [self._table(device, mode) for device in devices for mode in MODES]
        sections.append("\n".join((*self._targets(), *self._how())))
        return "\n\n".join(sections)

    def write(self, folder: Path) -> dict[str, Path]:
        """Writes the numbers and, for each device, the chart of their growth.

        Raises:
            UserError: a file could not be written.
        """
        files = {"numbers": folder / "contrast.json"}
        write_json(files["numbers"], {"benchmark": "contrast", **asdict(self)})
        for device in dict.fromkeys(cell.device for cell in self.cells):
            files[f"growth on {device}"] = folder / f"contrast_{device}.png"
            self.plot(files[f"growth on {device}"], device)
        return files

    def plot(self, path: Path, device: str) -> None:
        """Time and memory against M at the N of a stage, and against N at its M, all on logarithmic axes.

        Raises:
            UserError: the file could not be written.
        """
        figure = Figure(figsize=(11, 8), layout="constrained")
        cells = [cell for cell in self.cells if cell.device == device and cell.left_out is None]
        for row, axes_of_row in zip(("time", "memory"), figure.subplots(2, 2, sharex="col"), strict=True):
            for axes, (grown, fixed, value) in zip(
                axes_of_row, (("values", "samples", STAGE[1]), ("samples", "values", STAGE[0])), strict=True
            ):
                for side, mode in ((side, mode) for mode in MODES for side in SIDES):
                    line = [c for c in cells if (c.side, c.mode, getattr(c, fixed)) == (side, mode, value)]
                    _plot_line(axes, row, line, grown, mode, f"C{list(SIDES).index(side)}")
                letters = {"values": "M, values", "samples": "N, samples"}
                axes.set(xscale="log", yscale="log", xlabel=letters[grown], title=f"{letters[fixed][0]} = {value:,}")
                axes.set_ylabel("ms a call: median, minimum to p95" if row == "time" else "MiB at the peak")
                axes.grid(alpha=0.3)
        if figure.axes[0].get_legend_handles_labels()[0]:
            figure.axes[0].legend(fontsize="small")
        quick = ", quick" if self.settings.quick else ""
        figure.suptitle(f"{device}{quick}; dashed: forward + backward")
        save_figure(figure, path)

    def _table(self, device: str, mode: str) -> str:
        rows = []
        chosen = [cell for cell in self.cells if (cell.device, cell.mode) == (device, mode)]
        for M, N in dict.fromkeys((cell.values, cell.samples) for cell in chosen):
            cells = {cell.side: cell for cell in chosen if (cell.values, cell.samples) == (M, N)}
            row = [f"{M:,} x {N:,}"]
            for side in SIDES:
                row += _time_cells(cells[side], with_ratio=side != OURS)
            row += [mebibytes(cells[side].memory_bytes) for side in SIDES]
            rows.append(row)
        headers = [f"{device}, {mode}: M x N"]
        for side in SIDES:
            headers += [f"{side}, ms", *(["/ ours (95 %)"] if side != OURS else ["min to p95"])]
        return align(rows, [*headers, *(f"{side}, MiB" for side in SIDES)])

    def _targets(self) -> Iterator[str]:
        for cell in self.cells:
            at_stage = (cell.values, cell.samples) == STAGE and cell.device == "cpu" and cell.side == "broadcasting"
            if at_stage and cell.ratio is not None:
                reached = "reached" if cell.ratio.median >= TARGETS[cell.mode] else "missed"
                yield (
                    f"M = {STAGE[0]:,}, N = {STAGE[1]}, CPU, {cell.mode}: {cell.ratio} times as fast as broadcasting; "
                    f"at least {TARGETS[cell.mode]} times: {reached}"
                )

    def _how(self) -> Iterator[str]:
        yield (
            "Time: one call, the sides in turn, in an order drawn anew each round; a turn of each is as many calls as "
            "the slowest needs for one, in 1 ms to 0.5 s, and gives their mean.\n"
            "/ ours: the median over the rounds of time / time of global_contrast, with a bootstrap interval."
        )
        for machine in self.machines:
            kind = machine.device.split(":")[0].split(" ")[0]
            yield f"MiB: {HOW[kind]}: results and gradients included, the arguments not. '-': not measured."
            yield from machine.lines()


def measure_contrast(devices: Sequence[torch.device], settings: ContrastSettings) -> ContrastReport:
    """Measures every side at every M and N on every device, forward alone and with backward."""
    cells: list[Cell] = []
    sizes = [(M, N) for M in settings.values for N in settings.samples]
    total = len(devices) * len(MODES) * len(sizes)
    with progress_bar(description="contrast", unit="sizes", total=total) as bar:
        for device in devices:
            for mode in MODES:
                for size in sizes:
                    cells += _measure_size(device, mode, size, settings)
                    bar.update()
    return ContrastReport(settings, [describe_machine(device) for device in devices], cells)


def run(side: str, mode: str, values: Tensor, samples: Tensor, weights: Tensor) -> tuple[Tensor, ...]:
    """One call: the result (B, M), or the result and both gradients, where `weights` (B, M) come from above."""
    result = SIDES[side](values, samples)
    if mode == MODES[0]:
        return (result,)
    return result, *torch.autograd.grad(result, [values, samples], weights)


def prepare_run(side: str, mode: str, device: str, size: tuple[int, int], seed: int) -> Callable[[], object]:
    """A call of `run` on numbers that are made already, after a small one that loads what is loaded at first use."""
    run(side, mode, *_numbers(torch.device(device), mode, (8, 2), seed))
    return partial(run, side, mode, *_numbers(torch.device(device), mode, size, seed))


def _measure_size(device: torch.device, mode: str, size: tuple[int, int], settings: ContrastSettings) -> Iterator[Cell]:
    free = available_memory(device)
    needed = RIVAL_BYTES[mode] * size[0] * size[1]
    fits = free is None or needed < free
    sides = [side for side in SIDES if fits or side == OURS]
    times = _time_in_turn(device, mode, size, sides, settings)
    for side in SIDES:
        key = (device.type, mode, side, *size)
        if side not in sides:
            yield Cell(*key, left_out=f"needs {needed / 2**30:.1f} GiB")
            continue
        arguments = (side, mode, str(device), size, settings.seed)
        yield Cell(
            *key,
            left_out=None,
            time=summarize([1000 * seconds for seconds in times[side]]),
            ratio=speed_ratio(times[side], times[OURS], settings.seed),
            memory_bytes=peak_memory(prepare_run, arguments, device),
        )


def _time_in_turn(
    device: torch.device, mode: str, size: tuple[int, int], names: Sequence[str], settings: ContrastSettings
) -> dict[str, list[float]]:
    """Side -> seconds a call, one for each round."""
    numbers = _numbers(device, mode, size, settings.seed)
    calls = {side: partial(run, side, mode, *numbers) for side in names}
    return time_calls_in_turn(calls, device, settings.rounds, settings.seconds, settings.seed)


def _numbers(device: torch.device, mode: str, size: tuple[int, int], seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Values (1, M), samples (1, N) and the gradient (1, M) that comes from above."""
    generator = torch.Generator().manual_seed(seed)
    values, samples, weights = (torch.randn(1, count, generator=generator).to(device) for count in (*size, size[0]))
    needs_gradient = mode != MODES[0]
    return values.requires_grad_(needs_gradient), samples.requires_grad_(needs_gradient), weights


def _time_cells(cell: Cell, with_ratio: bool) -> list[str]:
    if cell.time is None:
        return [str(cell.left_out), "-"]
    spread = str(cell.ratio) if with_ratio else f"{cell.time.minimum:.3f} to {cell.time.p95:.3f}"
    return [f"{cell.time.median:.3f}", spread]


def _plot_line(axes: Any, row: str, cells: Sequence[Cell], grown: str, mode: str, color: str) -> None:
    style = {"color": color, "linestyle": "-" if mode == MODES[0] else "--", "marker": ".", "linewidth": 1.2}
    if row == "memory":
        held = [(getattr(c, grown), c.memory_bytes / 2**20) for c in cells if c.memory_bytes]
        if held:
            axes.plot(*zip(*held, strict=True), **style)
        return
    timed = [(getattr(c, grown), c.time) for c in cells if c.time is not None]
    if timed:
        spread = [[t.median - t.minimum for _, t in timed], [max(t.p95 - t.median, 0) for _, t in timed]]
        label = cells[0].side if mode == MODES[0] else None
        axes.errorbar([x for x, _ in timed], [t.median for _, t in timed], yerr=spread, capsize=2, label=label, **style)
