"""Images per second of training, variants in turn, and where the time of a step goes."""

import itertools
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.progress import progress_bar
from yolox_gssam.data.builder import build_dataset
from yolox_gssam.data.synthetic import SYNTHETIC_CLASSES, synthetic_records
from yolox_gssam.evaluation.timing import summarize
from yolox_gssam.experiment import load_exp
from yolox_gssam.research.benchmark.compare import measure_in_turn, speed_ratio
from yolox_gssam.research.benchmark.machine import describe_machine, synchronize
from yolox_gssam.research.benchmark.measured_frames import DEFAULT_DATA, DRAWN_HW
from yolox_gssam.research.benchmark.speed_report import TOTAL, SpeedReport, VariantResult, network_size
from yolox_gssam.research.benchmark.variants import VariantSpec
from yolox_gssam.research.trainer_args import trainer_args

SETTINGS = ("cache", "fp16", "bf16")
"""What a variant may set besides fields of its experiment."""
PARTS = ("data", "forward", "loss", "backward", "optimizer + EMA", "other")
DRAWN_IMAGES = 80
# One size for all, so that the steps of two variants are alike.
COMMON = ("multiscale_range", "0")


@dataclass(frozen=True)
class TrainingSettings:
    """How to measure.

    Attributes:
        iterations: steps per turn that count.
        rounds: turns of each variant.
        seed: of the training and of the order of the variants.
        quick: a turn then begins with one step that does not count, instead of with as many as were loaded ahead.
    """

    iterations: int
    rounds: int
    batch_size: int
    seed: int
    quick: bool = False


class StepClock:
    """Seconds of the parts of a step, summed up while it is on; it waits for the device at each border."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.on = False
        self.seconds: defaultdict[str, float] = defaultdict(float)

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, whose time counts as that of `part`."""

        def call(*arguments: Any, **named: Any) -> Any:
            if not self.on:
                return function(*arguments, **named)
            synchronize(self.device)
            start = time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                synchronize(self.device)
                self.seconds[part] += time.perf_counter() - start

        return call

    def attach(self, trainer: Any) -> None:
        """Times forward pass, loss, optimizer and averaging of a trainer."""
        model = trainer.model
        model.forward = self.timed("forward", model.forward)
        model.head.get_losses = self.timed("loss", model.head.get_losses)
        trainer.optimizer.step = self.timed("optimizer + EMA", trainer.optimizer.step)
        if trainer.ema_model is not None:
            trainer.ema_model.update = self.timed("optimizer + EMA", trainer.ema_model.update)

    def take(self, seconds: float) -> dict[str, float]:
        """The parts of a step of so many seconds, and begins the next."""
        parts = dict(self.seconds)
        parts["forward"] = parts.get("forward", 0.0) - parts.get("loss", 0.0)  # the loss is computed within it
        parts["other"] = seconds - sum(parts.values())
        self.seconds.clear()
        return parts

    def turn(self, steps: Iterator[None], iterations: int, with_parts: bool = False) -> list[dict[str, float]]:
        """Seconds of each of the next steps, under "total" and, if asked for, by part."""
        synchronize(self.device)
        self.on = with_parts
        self.seconds.clear()
        results: list[dict[str, float]] = []
        with patch.object(torch.Tensor, "backward", self.timed("backward", torch.Tensor.backward)):
            start = time.perf_counter()
            for number in range(iterations):
                next(steps)
                if number == iterations - 1:
                    synchronize(self.device)
                end = time.perf_counter()
                results.append({TOTAL: end - start, **(self.take(end - start) if with_parts else {})})
                start = end
        self.on = False
        return results


class _Run:
    """The training of one variant, a step at a time."""

    def __init__(
        self, spec: VariantSpec, root: Path, folder: Path, settings: TrainingSettings, device: torch.device
    ) -> None:
        options = ["data_dir", str(root), *COMMON, *spec.options, "output_dir", str(folder)]
        try:
            self.exp = load_exp(spec.exp_file, options)
        except UserError as error:
            raise UserError(f"variant {spec.name}: {error}") from error
        self.exp.seed = settings.seed
        flags = {name: spec.is_on(name) for name in SETTINGS}
        args = trainer_args(spec.name, settings.batch_size, device, save_every_minutes=float("inf"), **flags)
        self.trainer: Any = self.exp.get_trainer(args)
        self.trainer.before_train()
        self.network = network_size(self.trainer.model, self.exp.training_size)
        self.clock = StepClock(device)
        self.clock.attach(self.trainer)
        loader: Any = self.trainer.train_loader
        # Batches that the loader holds ready while another variant has its turn.
        self.skipped = 1 if settings.quick else 1 + loader.num_workers * (loader.prefetch_factor or 0)
        self.iterations = settings.iterations
        self.steps = self._steps()

    def _steps(self) -> Iterator[None]:
        trainer = self.trainer
        for epoch in itertools.count():
            trainer.epoch = epoch
            trainer.before_epoch()
            batches = iter(trainer.train_loader)
            next_batch = self.clock.timed("data", lambda batches=batches: next(batches))
            for iteration in range(trainer.max_iter):
                trainer.iter = iteration
                trainer.before_iter()
                trainer.train_one_iter(*next_batch())
                trainer.after_iter()
                yield
            trainer.run.progress.begin_epoch()

    def turn(self, with_parts: bool = False) -> list[dict[str, float]]:
        """The seconds of a turn of steps, see `StepClock.turn`, behind those that do not count."""
        self.clock.turn(self.steps, self.skipped)
        return self.clock.turn(self.steps, self.iterations, with_parts)


def measure_training(
    specs: Sequence[VariantSpec], data: Path | None, settings: TrainingSettings, device: torch.device
) -> SpeedReport:
    """Measures all variants in turn on the same data set.

    Args:
        specs: the first is the one compared with.
        data: a data set in COCO format; None: `DEFAULT_DATA` where it is there, otherwise one is drawn.

    Raises:
        UserError: a variant cannot be built, or it is stock YOLOX, whose trainer keeps to CUDA and its own loader.
    """
    if any(spec.is_stock for spec in specs):
        raise UserError("train measures experiments; the step of stock YOLOX is timed by tools/gpu.py, on CUDA")
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        root = _find_data(data, Path(name))
        runs = {spec.name: _Run(spec, root, Path(name), settings, device) for spec in specs}
        turns, parts = _measure(runs, settings)
    seconds = {name: np.array([[step[TOTAL] for step in turn] for turn in own]) for name, own in turns.items()}
    milliseconds = 1000 / settings.batch_size
    first = seconds[specs[0].name].sum(axis=1)
    results = {}
    for spec in specs:
        own, own_parts = seconds[spec.name], parts[spec.name]
        steps = {part: np.array([step.get(part, 0.0) for step in own_parts]) for part in PARTS}
        results[spec.name] = VariantResult(
            what=str(spec),
            steps={name: summarize(milliseconds * of_step) for name, of_step in {TOTAL: own, **steps}.items()},
            ratio=speed_ratio(first, own.sum(axis=1), settings.seed),
            memory_bytes=None,
            network=runs[spec.name].network,
        )
    drawn = data is None and root.resolve() != DEFAULT_DATA.resolve()
    described = {
        "data": f"{DRAWN_IMAGES} drawn images" if drawn else str(data or DEFAULT_DATA),
        "batch_size": settings.batch_size,
        "steps_per_turn": settings.iterations,
        "turns": settings.rounds,
        "seed": settings.seed,
    }
    ahead = "one step does" if settings.quick else "as many steps as its loader had read ahead, and one, do"
    how = [
        f"Time: whole steps, from the loader to the averaged weights, {settings.iterations} per turn, the variants in "
        f"turn in an order drawn anew each round; {ahead} not count at the beginning of a turn.",
        "Steps: from one more turn in which the device is waited for at each border.",
        f"All variants: {' '.join(COMMON)}, unless set otherwise. GFLOPs: of the forward pass.",
    ]
    return SpeedReport("train", settings.quick, described, describe_machine(device), results, how)


def _measure(
    runs: Mapping[str, _Run], settings: TrainingSettings
) -> tuple[dict[str, list[list[dict[str, float]]]], dict[str, list[dict[str, float]]]]:
    """The steps of every turn, and those of a last turn of each variant with their parts."""
    total = (1 + settings.rounds + 1) * len(runs)
    with progress_bar(description="train", unit="turns", total=total) as bar:
        for run in runs.values():  # to warm up
            run.clock.turn(run.steps, 2)
            bar.update()
        turns = {name: lambda _, run=run: run.turn() for name, run in runs.items()}
        measured = measure_in_turn(turns, range(settings.rounds), settings.seed, bar.update)
        parts = {}
        for name, run in runs.items():
            parts[name] = run.turn(with_parts=True)
            bar.update()
    return measured, parts


def _find_data(data: Path | None, folder: Path) -> Path:
    """The data set asked for, the default one, or one drawn in `folder`."""
    root = data or DEFAULT_DATA
    if data is None and not root.is_dir():
        root = folder / "data"
        records = synthetic_records(DRAWN_IMAGES, 0, DRAWN_HW, 1)
        build_dataset(root, SYNTHETIC_CLASSES, records, source="drawn", command="tools/benchmark.py train", seed=0)
    if not (root / "annotations" / "train.json").is_file():
        raise UserError(f"{root}: no such data set; make one with tools/prepare_dataset.py")
    return root
