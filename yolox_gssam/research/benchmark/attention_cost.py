"""Size, time and memory of attention modules at the five stages of the backbone, as experiments put them there."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.progress import progress_bar
from yolox_gssam.common.text_table import text_table
from yolox_gssam.evaluation.timing import Milliseconds, summarize
from yolox_gssam.experiment import load_exp
from yolox_gssam.models import STAGES, build_stage_attention, stage_channels
from yolox_gssam.research.benchmark.compare import time_calls_in_turn
from yolox_gssam.research.benchmark.cost_report import CostReport, CostSettings
from yolox_gssam.research.benchmark.machine import describe_machine
from yolox_gssam.research.benchmark.peak_memory import peak_memory
from yolox_gssam.research.benchmark.speed_report import mebibytes
from yolox_gssam.research.benchmark.variants import VariantSpec

MODES = ("inference", "training")
WHAT_IS_COUNTED = (
    "two for each multiply-add of convolutions and matrix products, as torch's FlopCounterMode sees them; not "
    "normalizations, activations, pooling, products of maps, nor the sorting and looking up of the global contrast"
)
HOW = (
    "Inference: forward, in evaluation mode. Training: forward and backward, with the gradients of the input and of "
    "all parameters.",
    f"GFLOPs: {WHAT_IS_COUNTED}.",
)


@dataclass(frozen=True)
class AttentionCost:
    """One module at one stage.

    Attributes:
        device: "cpu" or "cuda".
        maps: channels, height and width of what enters and leaves it.
        gflops: for one image, see `WHAT_IS_COUNTED`.
        time: mode -> milliseconds per call.
        memory_bytes: mode -> at the peak; None where it was not measured.
    """

    device: str
    stage: str
    variant: str
    maps: tuple[int, int, int]
    parameters: int
    gflops: float
    time: Mapping[str, Milliseconds]
    memory_bytes: Mapping[str, int | None]


def measure_attention(
    variants: Sequence[VariantSpec], devices: Sequence[torch.device], settings: CostSettings
) -> CostReport:
    """Measures the module of every variant at every stage on every device.

    Raises:
        UserError: a variant without attention, or whose exp file is faulty.
    """
    cells: list[AttentionCost] = []
    for variant in variants:
        _check(variant)  # faults first, not after minutes
    with progress_bar(description="attention", unit="modules", total=len(devices) * len(STAGES) * len(variants)) as bar:
        for device, stage in product(devices, STAGES):
            for cell in _measure_stage(variants, stage, device, settings):
                cells.append(cell)
                bar.update()
    machines = [describe_machine(device) for device in devices]
    tables = [_table([c for c in cells if (c.device, c.stage) == (d.type, s)]) for d in devices for s in STAGES]
    names = {variant.name: str(variant) for variant in variants}
    return CostReport("attention", settings, names, machines, cells, tables, HOW)


def prepare_call(variant: VariantSpec, stage: str, mode: str, device: str, seed: int) -> Callable[[], object]:
    """A call of the module on random maps that are there already, after a small one that loads what is loaded at first
    use."""
    module, maps = _module_and_maps(variant, stage, mode, torch.device(device), seed)
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
    variants: Sequence[VariantSpec], stage: str, device: torch.device, settings: CostSettings
) -> Iterator[AttentionCost]:
    times = {}
    for mode in MODES:
        calls = {variant.name: prepare_call(variant, stage, mode, str(device), settings.seed) for variant in variants}
        times[mode] = time_calls_in_turn(calls, device, settings.rounds, settings.seconds, settings.seed)
        del calls
    for variant in variants:
        module, maps = _module_and_maps(variant, stage, "inference", device, settings.seed)
        _, C, H, W = maps.shape
        yield AttentionCost(
            device.type,
            stage,
            variant.name,
            (C, H, W),
            sum(parameter.numel() for parameter in module.parameters()),
            count_gflops(module, maps),
            {mode: summarize([1000 * seconds for seconds in times[mode][variant.name]]) for mode in MODES},
            {
                mode: peak_memory(prepare_call, (variant, stage, mode, str(device), settings.seed), device)
                for mode in MODES
            },
        )


def _check(variant: VariantSpec) -> None:
    if variant.is_stock:
        raise UserError(f"variant {variant.name}: stock YOLOX has no attention; give an exp file that has one")
    exp = load_exp(variant.exp_file, variant.options)
    if exp.attention == "none":
        raise UserError(f"variant {variant.name}: {variant.exp_file} has no attention; give an exp file that has one")
    for stage, channels in zip(STAGES, stage_channels(exp.width), strict=True):
        build_stage_attention(exp.attention, channels, exp.attention_options, stage)


def _module_and_maps(
    variant: VariantSpec, stage: str, mode: str, device: torch.device, seed: int
) -> tuple[nn.Module, Tensor]:
    """The module, and an input (1, C, H, W) of the size that the stage gives it."""
    exp = load_exp(variant.exp_file, variant.options)
    index = STAGES.index(stage)
    channels, stride = stage_channels(exp.width)[index], 2 ** (index + 1)
    torch.manual_seed(seed)
    module = build_stage_attention(exp.attention, channels, exp.attention_options, stage).to(device)
    size_hw = [length // stride for length in exp.test_size]
    maps = torch.randn(1, channels, *size_hw, generator=torch.Generator().manual_seed(seed)).to(device)
    training = mode == "training"
    return module.train(training), maps.requires_grad_(training)


@torch.inference_mode()
def _infer(module: nn.Module, maps: Tensor) -> Tensor:
    result: Tensor = module(maps)
    return result


def _train(module: nn.Module, maps: Tensor, gradient: Tensor) -> tuple[Tensor, ...]:
    result = module(maps)
    return result, *torch.autograd.grad(result, [maps, *module.parameters()], gradient)


def _table(cells: Sequence[AttentionCost]) -> str:
    rows = []
    for cell in cells:
        row = [cell.variant, " x ".join(map(str, cell.maps)), f"{cell.parameters:,}", f"{cell.gflops:.3f}"]
        for mode in MODES:
            time = cell.time[mode]
            row += [f"{time.median:.2f}", f"{time.minimum:.2f} to {time.p95:.2f}", mebibytes(cell.memory_bytes[mode])]
        rows.append(row)
    headers = [f"{cells[0].device}, {cells[0].stage}", "maps", "parameters", "GFLOPs"]
    for mode in MODES:
        headers += [f"{mode}, ms", "min to p95", "MiB"]
    return text_table(rows, headers)
