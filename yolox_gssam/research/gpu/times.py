"""Times of networks on a device at the paper's own size, and images per second of training, beside stock YOLOX."""

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from yolox.models import YOLOPAFPN, YOLOX, YOLOXHead
from yolox.utils import ModelEMA

from yolox_gssam.common.device import autocast
from yolox_gssam.engine.averaging import AveragedWeights
from yolox_gssam.engine.step import StaticStep
from yolox_gssam.experiment import load_exp
from yolox_gssam.models.yolox import IN_CHANNELS
from yolox_gssam.research.benchmark.compare import speed_ratio, time_calls_in_turn
from yolox_gssam.research.benchmark.machine import synchronize
from yolox_gssam.research.gpu.correctness import drawn_batch, nano
from yolox_gssam.research.tables.plan import EXPS

ORIGIN, BEST, STOCK = "origin", "gssam_sig_res_p1", "stock"
CLASSES = 4


def networks(rows: Sequence[str], fields: Sequence[str]) -> dict[str, YOLOX]:
    """Row -> its network with fresh weights; "stock" is YOLOX's own code with the weights of `origin`."""
    found: dict[str, YOLOX] = {}
    for row in rows:
        if row == STOCK:
            continue
        exp = load_exp(EXPS / f"{row}.py", [*fields, "num_classes", str(CLASSES)])
        torch.manual_seed(0)
        found[row] = exp.get_model()
    if STOCK in rows:
        found[STOCK] = stock(load_exp(EXPS / f"{ORIGIN}.py", fields), found[ORIGIN])
    return found


def stock(exp: Any, origin: YOLOX) -> YOLOX:
    """YOLOX as yolox's own classes build it, with the weights of `origin`, which has the same names."""
    neck = YOLOPAFPN(exp.depth, exp.width, in_channels=list(IN_CHANNELS), act=exp.act, depthwise=exp.depthwise)
    head = YOLOXHead(CLASSES, exp.width, in_channels=list(IN_CHANNELS), act=exp.act, depthwise=exp.depthwise)
    model = YOLOX(neck, head)
    model.load_state_dict(origin.state_dict())
    for module, own in zip(model.modules(), origin.modules(), strict=False):
        if isinstance(module, nn.BatchNorm2d) and isinstance(own, nn.BatchNorm2d):
            module.eps, module.momentum = own.eps, own.momentum
    return model.train()


def inference_times(
    models: Mapping[str, YOLOX], device: torch.device, size_hw: tuple[int, int], batch: int, seconds: float
) -> dict[str, Any]:
    """Milliseconds per batch from the network's input to decoded outputs, all variants in turn.

    Variants are `<row>`, `<row> float16`, and on CUDA at batch 1 `<row> graph` for the two rows that matter.
    """
    images = drawn_batch(batch, size_hw)[0].to(device).contiguous(memory_format=torch.channels_last)
    calls: dict[str, Callable[[], object]] = {}
    for row, model in models.items():
        full = copy.deepcopy(model).to(device).eval().to(memory_format=torch.channels_last)
        calls[row] = _inference(full, images)
        if device.type == "cuda":
            calls[f"{row} float16"] = _inference(copy.deepcopy(full).half(), images.half())
            if batch == 1 and row in (ORIGIN, BEST):
                calls[f"{row} graph"] = _graphed(full, images)
    times = time_calls_in_turn(calls, device, 200, seconds, 0)
    return {variant: _summary(times[variant], times[_first(variant)]) for variant in calls}


def compiled_times(
    models: Mapping[str, YOLOX], device: torch.device, size_hw: tuple[int, int], seconds: float
) -> dict[str, Any]:
    """The same of torch.compile at batch 1, with what compiling took."""
    images = drawn_batch(1, size_hw)[0].to(device).contiguous(memory_format=torch.channels_last)
    calls, compiling = {}, {}
    for row in (ORIGIN, BEST):
        model = copy.deepcopy(models[row]).to(device).eval().to(memory_format=torch.channels_last)
        calls[row] = _inference(model, images)
        start = time.perf_counter()
        calls[f"{row} compile"] = _inference(torch.compile(copy.deepcopy(model)), images)
        calls[f"{row} compile"]()
        synchronize(device)
        compiling[row] = time.perf_counter() - start
    times = time_calls_in_turn(calls, device, 200, seconds, 0)
    return {
        "compiling_seconds": compiling,
        "times": {variant: _summary(times[variant], times[_first(variant)]) for variant in calls},
    }


def training_rates(
    models: Mapping[str, YOLOX], device: torch.device, size_hw: tuple[int, int], batch: int, seconds: float
) -> dict[str, Any]:
    """Images per second of whole steps on one batch, from the input to the averaged weights, the variants in turn:
    stock YOLOX's step, ours, and on CUDA ours recorded as a graph."""
    images, targets = (part.to(device) for part in drawn_batch(batch, size_hw))
    images = images.contiguous(memory_format=torch.channels_last)
    calls: dict[str, Callable[[], object]] = {}
    for row, model in models.items():
        own = copy.deepcopy(model).to(device).train()
        if row == STOCK:
            calls[row] = _plain_step(own, ModelEMA(own, 0.9998), images.contiguous(), targets, with_model=True)
            continue
        own = own.to(memory_format=torch.channels_last)
        calls[row] = _plain_step(own, AveragedWeights(own, 0.9998, 2000), images, targets, with_model=False)
        if device.type == "cuda":
            recorded = copy.deepcopy(model).to(device).train().to(memory_format=torch.channels_last)
            calls[f"{row} graph"] = partial(static_step(recorded, nullcontext).run, images, targets, 1e-6)
    times = time_calls_in_turn(calls, device, 50, seconds, 0)
    first = next(iter(calls))
    return {
        variant: {"images_per_second": batch / _median(times[variant]), **_summary(times[variant], times[first])}
        for variant in calls
    }


def step_variants(
    device: torch.device, sizes: Sequence[tuple[int, int]], batch: int, seconds: float
) -> dict[str, float]:
    """Images per second of a whole step of YOLOX-nano with GSSAM, by size, precision and memory layout; on CUDA it is
    recorded."""
    rates = {}
    layouts = {"channels last": torch.channels_last, "contiguous": torch.contiguous_format}
    for size_hw in sizes:
        for half in (None, torch.bfloat16):
            for layout, memory_format in layouts.items():
                images, targets = (part.to(device) for part in drawn_batch(batch, size_hw))
                images = images.contiguous(memory_format=memory_format)
                model = nano(None).to(device).to(memory_format=memory_format)
                step = static_step(model, partial(autocast, device, half))
                name = f"{size_hw[0]} x {size_hw[1]}, {'float32' if half is None else 'bfloat16'}, {layout}"
                rates[name] = batch * _rate(partial(step.run, images, targets, 1e-6), device, seconds)
    return rates


def _rate(work: Callable[[], object], device: torch.device, seconds: float) -> float:
    """Calls a second, in groups of ten, after three that do not count."""
    for _ in range(3):
        work()
    synchronize(device)
    start, calls = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        for _ in range(10 if device.type == "cuda" else 1):
            work()
            calls += 1
        synchronize(device)
    return calls / (time.perf_counter() - start)


def _inference(model: Any, images: Tensor) -> Callable[[], object]:
    def call() -> object:
        with torch.inference_mode():
            return model(images)

    return call


def _graphed(model: YOLOX, images: Tensor) -> Callable[[], object]:
    """The forward pass recorded once; decoding makes its grids anew each time and is left out of the recording."""
    decodes, model.head.decode_in_inference = model.head.decode_in_inference, False
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.inference_mode(), torch.cuda.stream(stream):
        for _ in range(3):
            model(images)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.inference_mode(), torch.cuda.graph(graph):
        outputs = model(images)
    model.head.decode_in_inference = decodes

    def call() -> object:
        graph.replay()
        return outputs

    return call


def _plain_step(model: YOLOX, average: Any, images: Tensor, targets: Tensor, with_model: bool) -> Callable[[], object]:
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6, momentum=0.9, nesterov=True, fused=not with_model)

    def call() -> object:
        losses = model(images, targets)
        optimizer.zero_grad()
        losses["total_loss"].backward()
        optimizer.step()
        average.update(model) if with_model else average.update()
        return None

    return call


def static_step(model: YOLOX, context: Callable[[], AbstractContextManager[Any]]) -> StaticStep:
    model.head.static_shapes = True
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6, momentum=0.9, nesterov=True, fused=True)
    return StaticStep(model, optimizer, AveragedWeights(model, 0.9998, 2000), math.inf, ("total_loss",), context)


def _first(variant: str) -> str:
    """What a variant's time is divided by: the plain network in the same form."""
    form = variant.partition(" ")[2]
    return f"{ORIGIN} {form}".strip()


def _summary(times: Sequence[float], first: Sequence[float]) -> dict[str, Any]:
    """Milliseconds, and the ratio to the first variant's time, round by round."""
    ratio = speed_ratio(times, first, 0)
    ordered = sorted(times)
    return {
        "ms": 1000 * _median(times),
        "ms_p5_p95": [1000 * ordered[int(share * (len(ordered) - 1))] for share in (0.05, 0.95)],
        "times_the_time": ratio.median,
        "interval": [ratio.low, ratio.high],
        "rounds": len(times),
    }


def _median(times: Sequence[float]) -> float:
    return sorted(times)[len(times) // 2]
