"""Size, time and memory of attention modules at the five stages of the backbone, as experiments put them there."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.figure import save_figure
from yolox_gssam.common.files import write_json
from yolox_gssam.common.progress import progress_bar
from yolox_gssam.evaluation.timing import Milliseconds, summarize
from yolox_gssam.experiment import DroneExp, load_exp
from yolox_gssam.models import STAGES, build_stage_attention, stage_channels
from yolox_gssam.research.benchmark.compare import time_calls_in_turn
from yolox_gssam.research.benchmark.machine import Machine, describe_machine
from yolox_gssam.research.benchmark.peak_memory import HOW, peak_memory
from yolox_gssam.research.benchmark.speed_report import align, mebibytes
from yolox_gssam.research.benchmark.variants import SideSpec

MODES = ("inference", "training")
WHAT_IS_COUNTED = (
    "two for each multiply-add of convolutions and matrix products, as torch's FlopCounterMode sees them; not "
    "normalizations, activations, pooling, products of maps, nor the sorting and looking up of the global contrast"
)


@dataclass(frozen=True)
class AttentionSettings:
    """How to measure.

    Attributes:
        rounds: most rounds of one stage; at least three.
        seconds: after so many no further round of one stage begins.
        seed: of the weights, the numbers and the order of the sides.
        quick: said in the report.
    """

    rounds: int = 21
    seconds: float = 20.0
    seed: int = 0
    quick: bool = False


@dataclass(frozen=True)
class Cell:
    """One module at one stage.

    Attributes:
        device: "cpu" or "cuda".
        maps: channels, height and width of what enters and leaves it.
        gflops: thousand millions of operations for one image, see `WHAT_IS_COUNTED`.
        time: "inference" and "training" -> milliseconds a call.
        memory_bytes: the same -> at the peak; None where it was not measured.
    """

    device: str
    stage: str
    side: str
    maps: tuple[int, int, int]
    parameters: int
    gflops: float
    time: Mapping[str, Milliseconds]
    memory_bytes: Mapping[str, int | None]


@dataclass(frozen=True)
class AttentionReport:
    """All cells, what the sides are, and where they were measured (one machine a device)."""

    settings: AttentionSettings
    sides: Mapping[str, str]
    machines: Sequence[Machine]
    cells: Sequence[Cell]

    def table(self) -> str:
        """Text: a table for each device and stage, and how it was measured."""
        sections = [f"attention{' (quick: rough numbers)' if self.settings.quick else ''}, one image, float32"]
        for device in self._devices():
            sections += [self._table(device, stage) for stage in STAGES]
        return "\n\n".join((*sections, "\n".join(self._how())))

    def write(self, folder: Path) -> dict[str, Path]:
        """Writes the numbers and a chart for each device.

        Raises:
            UserError: a file could not be written.
        """
        files = {"numbers": folder / "attention.json"}
        write_json(files["numbers"], {"benchmark": "attention", **asdict(self)})
        for device in self._devices():
            files[f"chart of {device}"] = folder / f"attention_{device}.png"
            self.plot(files[f"chart of {device}"], device)
        return files

    def plot(self, path: Path, device: str) -> None:
        """Time and memory of every side at the five stages, in inference and in training.

        Raises:
            UserError: the file could not be written.
        """
        figure = Figure(figsize=(12, 8), layout="constrained")
        grid = figure.subplots(2, 2, sharex=True, sharey="row")
        for column, mode in enumerate(MODES):
            times, memory = grid[0][column], grid[1][column]
            for side in self.sides:
                cells = [cell for cell in self.cells if (cell.device, cell.side) == (device, side)]
                stages = [cell.stage for cell in cells]
                spans = [cell.time[mode] for cell in cells]
                spread = [[t.median - t.minimum for t in spans], [max(t.p95 - t.median, 0) for t in spans]]
                label = side.replace("$", r"\$")
                times.errorbar(stages, [t.median for t in spans], yerr=spread, capsize=2, marker=".", label=label)
                # Below a tenth of a MiB the system tells nothing; nothing has no place on a logarithmic axis.
                memory.plot(stages, [max((c.memory_bytes[mode] or 0) / 2**20, 0.1) for c in cells], marker=".")
            times.set(yscale="log", title=mode, ylabel="ms a call: median, minimum to p95")
            memory.set(yscale="log", ylabel="MiB at the peak")
            for axes in (times, memory):
                axes.grid(alpha=0.3)
        grid[0][0].legend(fontsize="small")
        figure.suptitle(f"attention on {device}{', quick' if self.settings.quick else ''}")
        save_figure(figure, path)

    def _devices(self) -> list[str]:
        return list(dict.fromkeys(cell.device for cell in self.cells))

    def _table(self, device: str, stage: str) -> str:
        rows = []
        for cell in self.cells:
            if (cell.device, cell.stage) != (device, stage):
                continue
            row = [cell.side, " x ".join(map(str, cell.maps)), f"{cell.parameters:,}", f"{cell.gflops:.3f}"]
            for mode in MODES:
                time = cell.time[mode]
                row += [f"{time.median:.2f}", f"{time.minimum:.2f} to {time.p95:.2f}"]
                row.append(mebibytes(cell.memory_bytes[mode]))
            rows.append(row)
        headers = [f"{device}, {stage}", "maps", "parameters", "GFLOPs"]
        for mode in MODES:
            headers += [f"{mode}, ms", "min to p95", "MiB"]
        return align(rows, headers)

    def _how(self) -> Iterator[str]:
        yield from (f"{name}: {what}" for name, what in self.sides.items())
        yield (
            "Time: one call of the module alone, the sides in turn, in an order drawn anew each round; a turn of each "
            "is as many calls as the slowest needs for one, in 1 ms to 0.5 s, and gives their mean.\n"
            "Inference: forward, in evaluation mode. Training: forward and backward, with the gradients of the input "
            "and of all parameters.\n"
            f"GFLOPs: {WHAT_IS_COUNTED}."
        )
        for machine in self.machines:
            kind = machine.device.split(":")[0].split(" ")[0]
            yield f"MiB: {HOW[kind]}: results and gradients included, the input not. '-': not measured."
            yield from machine.lines()


def measure_attention(
    sides: Sequence[SideSpec], devices: Sequence[torch.device], settings: AttentionSettings
) -> AttentionReport:
    """Measures the module of every side at every stage on every device.

    Raises:
        UserError: a side without attention, or whose exp file is faulty.
    """
    cells: list[Cell] = []
    for side in sides:
        _load(side)  # faults first, not after minutes
    with progress_bar(description="attention", unit="modules", total=len(devices) * len(STAGES) * len(sides)) as bar:
        for device in devices:
            for stage in STAGES:
                for cell in _measure_stage(sides, stage, device, settings):
                    cells.append(cell)
                    bar.update()
    machines = [describe_machine(device) for device in devices]
    return AttentionReport(settings, {side.name: str(side) for side in sides}, machines, cells)


def prepare_call(side: SideSpec, stage: str, mode: str, device: str, seed: int) -> Callable[[], object]:
    """A call of the module on random maps that are there already, after a small one that loads what is loaded at first
    use."""
    module, maps = _module_and_maps(side, stage, mode, torch.device(device), seed)
    small = maps[..., :8, :8].detach().clone().requires_grad_(maps.requires_grad)
    if mode == "inference":
        _infer(module, small)
        return partial(_infer, module, maps)
    _train(module, small, torch.ones_like(small))
    return partial(_train, module, maps, torch.ones_like(maps))


def count_gflops(module: nn.Module, maps: Tensor) -> float:
    """See `WHAT_IS_COUNTED`."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(maps)
    return counter.get_total_flops() / 1e9


def _measure_stage(
    sides: Sequence[SideSpec], stage: str, device: torch.device, settings: AttentionSettings
) -> Iterator[Cell]:
    times = {}
    for mode in MODES:
        calls = {side.name: prepare_call(side, stage, mode, str(device), settings.seed) for side in sides}
        times[mode] = time_calls_in_turn(calls, device, settings.rounds, settings.seconds, settings.seed)
        del calls
    for side in sides:
        module, maps = _module_and_maps(side, stage, "inference", device, settings.seed)
        _, C, H, W = maps.shape
        yield Cell(
            device.type,
            stage,
            side.name,
            (C, H, W),
            sum(parameter.numel() for parameter in module.parameters()),
            count_gflops(module, maps),
            {mode: summarize([1000 * seconds for seconds in times[mode][side.name]]) for mode in MODES},
            {
                mode: peak_memory(prepare_call, (side, stage, mode, str(device), settings.seed), device)
                for mode in MODES
            },
        )


def _load(side: SideSpec) -> DroneExp:
    if side.is_stock:
        raise UserError(f"side {side.name}: stock YOLOX has no attention; give an exp file that has one")
    exp = load_exp(side.exp_file, side.options)
    if exp.attention == "none":
        raise UserError(f"side {side.name}: {side.exp_file} has no attention; give an exp file that has one")
    for stage, channels in zip(STAGES, stage_channels(exp.width), strict=True):
        build_stage_attention(exp.attention, channels, exp.attention_options, stage)
    return exp


def _module_and_maps(
    side: SideSpec, stage: str, mode: str, device: torch.device, seed: int
) -> tuple[nn.Module, Tensor]:
    """The module, and an input (1, C, H, W) of the size that the stage gives it."""
    exp = load_exp(side.exp_file, side.options)
    index = STAGES.index(stage)
    channels, stride = stage_channels(exp.width)[index], 2 ** (index + 1)
    torch.manual_seed(seed)
    module = build_stage_attention(exp.attention, channels, exp.attention_options, stage).to(device)
    size_hw = [length // stride for length in exp.test_size]
    maps = torch.randn(1, channels, *size_hw, generator=torch.Generator().manual_seed(seed)).to(device)
    training = mode == "training"
    return module.train(training), maps.requires_grad_(training)


def _infer(module: nn.Module, maps: Tensor) -> Tensor:
    with torch.inference_mode():
        result: Tensor = module(maps)
    return result


def _train(module: nn.Module, maps: Tensor, gradient: Tensor) -> tuple[Tensor, ...]:
    result = module(maps)
    return result, *torch.autograd.grad(result, [maps, *module.parameters()], gradient)
