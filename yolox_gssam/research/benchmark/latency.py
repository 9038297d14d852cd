"""From an image in memory to its boxes: our predictor and stock YOLOX's own, frame by frame in turn."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from loguru import logger
from numpy.typing import NDArray
from yolox.models import YOLOX
from yolox.tools.demo import Predictor as StockPredictor

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.progress import progress_bar
from yolox_gssam.evaluation.timing import STEPS, summarize, time_once
from yolox_gssam.experiment import DroneExp
from yolox_gssam.experiment.loading import load_detector
from yolox_gssam.inference.backends import BACKENDS, FILE_SUFFIXES
from yolox_gssam.inference.conversion import build_backend
from yolox_gssam.inference.network import Network
from yolox_gssam.inference.predictor import Predictor
from yolox_gssam.research.benchmark.compare import measure_in_turn, speed_ratio
from yolox_gssam.research.benchmark.machine import describe_machine, synchronize
from yolox_gssam.research.benchmark.peak_memory import HOW, peak_memory
from yolox_gssam.research.benchmark.speed_report import TOTAL, SpeedReport, VariantResult, network_size
from yolox_gssam.research.benchmark.variants import VariantSpec, load_variant

SETTINGS = ("ckpt", "backend", "fp16", "tight")
"""What a variant may set besides fields of its experiment."""
STOCK_DEVICES = "stock YOLOX runs on cpu and cuda only"
PER_TURN = 5
"""Batches that a variant gets before it is the next one's turn."""

Images = Sequence[NDArray[np.uint8]]
Seconds = Sequence[float]


@dataclass(frozen=True)
class LatencySettings:
    """How to measure.

    Attributes:
        inferences: of each variant that count.
        warmup: inferences before them that do not.
        seed: of the weights without a checkpoint, and of the order of the variants.
    """

    inferences: int
    warmup: int
    batch_size: int
    score_threshold: float
    nms_threshold: float
    seed: int


@dataclass(frozen=True)
class OwnVariant:
    """Our `Predictor` as our demo uses it; `model` is None for an exported file."""

    exp: DroneExp
    model: YOLOX | None
    predictor: Predictor

    def time(self, images: Images) -> Seconds:
        """Seconds of pre-processing, network and NMS for one batch."""
        return time_once(self.predictor, images)

    def count(self, images: Images) -> int:
        """Boxes found in one batch."""
        return sum(map(len, self.predictor.predict(images)))


class StockVariant:
    """The predictor of YOLOX's demo, as it is; it takes one image at a time.

    Its network is told apart by hooks; decoding is part of it. Its log line for each image is not written.
    """

    def __init__(self, exp: DroneExp, model: YOLOX, device: torch.device, half: bool) -> None:
        logger.disable("yolox.tools.demo")
        self.exp = exp
        self.model = model.half() if half else model
        self.device = device
        name = "gpu" if device.type == "cuda" else "cpu"
        self.predictor = StockPredictor(model, exp, exp.class_names, device=name, fp16=half)
        self.borders: list[float] = []
        model.register_forward_pre_hook(self._mark)
        model.register_forward_hook(self._mark)

    def time(self, images: Images) -> Seconds:
        seconds = np.zeros(3)
        for image in images:
            self.borders.clear()
            self._mark()
            self.predictor.inference(image)
            self._mark()
            seconds += np.diff(self.borders)
        return seconds.tolist()

    def count(self, images: Images) -> int:
        boxes = [self.predictor.inference(image)[0][0] for image in images]
        return sum(len(rows) for rows in boxes if rows is not None)

    def _mark(self, *_: Any) -> None:
        synchronize(self.device)
        self.borders.append(time.perf_counter())


Variant = OwnVariant | StockVariant


def build_variant(spec: VariantSpec, settings: LatencySettings, device: torch.device) -> Variant:
    """Raises UserError: no such exp file or checkpoint, or a setting that the variant has not."""
    half = spec.is_on("fp16")
    if not spec.is_stock:
        return _build_own(spec, settings, device, half)
    exp, model = load_variant(spec, device, settings.seed)
    exp.test_conf, exp.nmsthre = settings.score_threshold, settings.nms_threshold
    for setting in ("backend", "tight"):
        if setting in spec.settings:
            raise UserError(f"variant {spec.name}: stock YOLOX has no {setting}")
    if half and device.type != "cuda":
        raise UserError(f"variant {spec.name}: stock YOLOX has fp16 on CUDA only")
    return StockVariant(exp, model, device, half)


def _build_own(spec: VariantSpec, settings: LatencySettings, device: torch.device, half: bool) -> OwnVariant:
    """A variant of ours, from an exp file with or without a checkpoint, or from an exported file."""
    name = spec.settings.get("backend")
    if name not in (None, *BACKENDS):
        raise UserError(f"variant {spec.name}: backend {name!r} is not known; use {', '.join(BACKENDS)}")
    weights = Path(spec.settings.get("ckpt", ""))
    if weights.suffix in FILE_SUFFIXES:
        exp, network = load_detector(spec.exp_file, weights, spec.options, device, name, half)
    else:
        exp, model = load_variant(spec, device, settings.seed)
        backend = build_backend(name or "torch", model, exp.test_size, device, half)
        network = Network(backend, exp.class_names, exp.test_size, model=model)
    tight = spec.is_on("tight") if "tight" in spec.settings else network.dynamic_size
    thresholds = settings.score_threshold, settings.nms_threshold
    return OwnVariant(exp, network.model, network.predictor(*thresholds, class_agnostic=True, tight=tight))


def measure_latency(
    specs: Sequence[VariantSpec],
    images: Images,
    frames: str,
    settings: LatencySettings,
    device: torch.device,
    quick: bool = False,
) -> SpeedReport:
    """Measures all variants in turn on the same frames.

    Args:
        specs: the first is the one compared with.
        images: BGR (H, W, 3), decoded, taken in turn.
        frames: what they are.
        quick: said in the report.

    Raises:
        UserError: a variant cannot be built.
    """
    left_out = [spec.name for spec in specs if spec.is_stock and device.type not in ("cpu", "cuda")]
    specs = [spec for spec in specs if spec.name not in left_out]
    if not specs:
        raise UserError(f"{STOCK_DEVICES}: no variant is left; name one with --variant EXP")
    variants = {spec.name: build_variant(spec, settings, device) for spec in specs}
    seconds = _time_in_turn(variants, images, settings)
    results = {}
    first = seconds[specs[0].name].sum(axis=(1, 2))
    for spec in specs:
        variant, times = variants[spec.name], seconds[spec.name]
        steps = 1000 / settings.batch_size * times.reshape(-1, len(STEPS))
        some = images[: max(10, settings.batch_size)]
        results[spec.name] = VariantResult(
            what=str(spec),
            steps={TOTAL: summarize(steps.sum(axis=1)), **dict(zip(STEPS, map(summarize, steps.T), strict=True))},
            ratio=speed_ratio(first, times.sum(axis=(1, 2)), settings.seed),
            memory_bytes=peak_memory(prepare_variant, (spec, settings, str(device), images[:3]), device),
            network=None if variant.model is None else network_size(variant.model, variant.exp.test_size),
            more={"boxes/image": variant.count(some) / len(some)},
        )
    return SpeedReport(
        "latency",
        quick,
        {"frames": frames, **asdict(settings)},
        describe_machine(device),
        results,
        _how(settings, device),
        dict.fromkeys(left_out, STOCK_DEVICES),
    )


def _time_in_turn(
    variants: dict[str, Variant], images: Images, settings: LatencySettings
) -> dict[str, NDArray[np.float64]]:
    """Variant -> (rounds, inferences per turn, 3) seconds of a batch."""
    rounds = -(-settings.inferences // PER_TURN)
    warmup = -(-settings.warmup // PER_TURN)

    def turn(variant: Variant, number: int) -> list[Seconds]:
        return [variant.time(_batch(images, number * PER_TURN + i, settings.batch_size)) for i in range(PER_TURN)]

    turns = {name: lambda number, variant=variant: turn(variant, number) for name, variant in variants.items()}
    with progress_bar(description="latency", unit="turns", total=(warmup + rounds) * len(variants)) as bar:
        measure_in_turn(turns, range(warmup), settings.seed, bar.update)
        measured = measure_in_turn(turns, range(rounds), settings.seed, bar.update)
    return {name: np.array(values) for name, values in measured.items()}


def _batch(images: Images, number: int, size: int) -> Images:
    return [images[(number * size + i) % len(images)] for i in range(size)]


def prepare_variant(spec: VariantSpec, settings: LatencySettings, device: str, images: Images) -> Callable[[], Variant]:
    """What the memory is measured of: building the variant, and inferences one after the other."""

    def work() -> Variant:
        variant = build_variant(spec, settings, torch.device(device))
        for number in range(len(images)):
            variant.count(_batch(images, number, settings.batch_size))
        return variant

    return work


def _how(settings: LatencySettings, device: torch.device) -> list[str]:
    lines = [
        f"Time: from a decoded image to its boxes, the variants in turn, {PER_TURN} inferences per turn, in an order "
        "drawn anew each round; the ratio is the median over the rounds with a bootstrap 95 % interval.",
        f"MiB: {HOW[device.type]}: network, weights and three inferences.",
        "Images are padded to multiples of 32 as in our demo; stock, and tight=False, pad them to the whole input.",
        "boxes/image: where it is 0, as with fresh weights, NMS has nothing to do.",
    ]
    if settings.batch_size > 1:
        lines.append("stock takes one image at a time: a batch is as many calls.")
    return lines
