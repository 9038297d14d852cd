"""Images a second of training, each side in a process of its own, a turn of some steps after the other."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import torch

import yolox_gssam
from yolox_gssam.common.errors import UserError, innermost_message
from yolox_gssam.common.progress import progress_bar
from yolox_gssam.data.builder import build_dataset
from yolox_gssam.data.synthetic import SYNTHETIC_CLASSES, synthetic_records
from yolox_gssam.evaluation.timing import summarize
from yolox_gssam.research.benchmark.compare import measure_in_turn, speed_ratio
from yolox_gssam.research.benchmark.frames import DEFAULT_DATA, DRAWN_HW
from yolox_gssam.research.benchmark.machine import describe_machine
from yolox_gssam.research.benchmark.network import NetworkSize, network_size
from yolox_gssam.research.benchmark.report import TOTAL, Report, SideResult
from yolox_gssam.research.benchmark.sides import SideSpec, leave_out_stock, load_side

FLAGS = ("cache", "fp16", "bf16")
SETTINGS = (*FLAGS, "code")
"""What a side may set besides fields of its experiment."""
PARTS = ("data", "forward", "loss", "backward", "optimizer + EMA", "other")
DRAWN_IMAGES = 80

# One size for all, so that the steps of two sides are alike.
COMMON = ("multiscale_range", "0")
MEMORY = {
    "cpu": "resident memory of the training process at its peak over that before (Linux), without its loader processes",
    "cuda": "the most that torch's allocator held on the GPU (max_memory_allocated)",
    "mps": "not measured on MPS",
}


@dataclass(frozen=True)
class TrainingSettings:
    """How to measure.

    Attributes:
        iterations: steps a turn that count.
        rounds: turns of each side.
        batch_size: images a step.
        seed: of the training and of the order of the sides.
        quick: a turn then begins with one step that does not count, instead of with as many as were loaded ahead.
    """

    iterations: int
    rounds: int
    batch_size: int
    seed: int
    quick: bool = False


def measure_training(
    specs: Sequence[SideSpec], data: Path | None, settings: TrainingSettings, device: torch.device
) -> Report:
    """Measures all sides in turn on the same data set.

    Args:
        specs: the sides; the first is the one compared with. Stock YOLOX trains on CUDA only.
        data: a data set in COCO format; None: `DEFAULT_DATA` where it is there, otherwise one is drawn.

    Raises:
        UserError: a side cannot be built or its training fails.
    """
    specs, left_out = leave_out_stock(specs, device, ("cuda",))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))
        root = _find_data(data, folder)
        workers = {
            spec.name: stack.enter_context(_started(spec, _configure(spec, root, folder, settings, device)))
            for spec in specs
        }
        turns, parts = _measure(workers, settings)
        sizes = {spec.name: _network_size(spec, root) for spec in specs}
    seconds = {name: [sum(step[TOTAL] for step in turn) for turn in own] for name, own in turns.items()}
    results = {}
    for spec in specs:
        steps = {TOTAL: [step[TOTAL] for turn in turns[spec.name] for step in turn]}
        steps |= {part: [step.get(part, 0.0) for step in parts[spec.name]] for part in PARTS}
        results[spec.name] = SideResult(
            what=str(spec),
            steps={
                name: summarize([1000 / settings.batch_size * value for value in values])
                for name, values in steps.items()
            },
            ratio=speed_ratio(seconds[specs[0].name], seconds[spec.name], settings.seed),
            memory_bytes=workers[spec.name].memory,
            network=sizes[spec.name],
        )
    described = {
        "data": str(
            data or (DEFAULT_DATA if root.resolve() == DEFAULT_DATA.resolve() else f"{DRAWN_IMAGES} drawn images")
        ),
        "batch_size": settings.batch_size,
        "steps_a_turn": settings.iterations,
        "turns": settings.rounds,
        "seed": settings.seed,
    }
    return Report(
        "train", settings.quick, described, describe_machine(device), results, _how(settings, device), left_out
    )


class _Worker:
    """The process of one side, see training_worker.py."""

    def __init__(self, name: str, process: "subprocess.Popen[str]", errors: IO[str]) -> None:
        self.name = name
        self.process = process
        self.errors = errors
        self.memory: int | None = None
        self.read_ahead: int = self._answer()["read_ahead"]

    def turn(self, iterations: int, skip: int, parts: bool) -> list[dict[str, float]]:
        """Seconds of each of so many steps, after some that do not count."""
        self._send({"iterations": iterations, "skip": skip, "parts": parts})
        answer = self._answer()
        self.memory = answer["memory"]
        steps: list[dict[str, float]] = answer["steps"]
        return steps

    def _send(self, request: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise self._failure() from None

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise self._failure()
        return json.loads(line)

    def _failure(self) -> UserError:
        self.process.wait()
        self.errors.seek(0)
        text = self.errors.read().strip()
        message = innermost_message(text) or (text.splitlines() or [f"ended with status {self.process.returncode}"])[-1]
        return UserError(f"side {self.name}: {message}")


@contextmanager
def _started(spec: SideSpec, config: dict[str, Any]) -> Iterator[_Worker]:
    """Starts the process of a side with the code it asks for, and ends it."""
    code = Path(spec.settings.get("code", Path(yolox_gssam.__file__).parents[1])).resolve()
    if not (code / "yolox_gssam").is_dir():
        raise UserError(f"side {spec.name}: {code}: holds no folder yolox_gssam; code is the folder of a checkout")
    environment = {**os.environ, "PYTHONPATH": str(code)}
    with tempfile.TemporaryFile("w+", errors="replace") as errors:
        process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("training_worker.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment,
            text=True,
        )
        try:
            assert process.stdin is not None
            process.stdin.write(json.dumps(config) + "\n")
            process.stdin.flush()
            yield _Worker(spec.name, process, errors)
        finally:
            process.kill()
            process.communicate()


def _measure(
    workers: Mapping[str, _Worker], settings: TrainingSettings
) -> tuple[dict[str, list[list[dict[str, float]]]], dict[str, list[dict[str, float]]]]:
    """The steps of every turn, and those of a last turn of each side with their parts."""

    def turn(worker: _Worker, parts: bool) -> list[dict[str, float]]:
        return worker.turn(settings.iterations, 1 if settings.quick else 1 + worker.read_ahead, parts)

    turns = {name: lambda _, worker=worker: turn(worker, False) for name, worker in workers.items()}
    total = (1 + settings.rounds + 1) * len(workers)
    with progress_bar(description="train", unit="turns", total=total) as bar:
        for worker in workers.values():  # to warm up
            worker.turn(1, 1, False)
            bar.update()
        measured = measure_in_turn(turns, range(settings.rounds), settings.seed, bar.update)
        parts = {}
        for name, worker in workers.items():
            parts[name] = turn(worker, True)
            bar.update()
    return measured, parts


def _find_data(data: Path | None, folder: Path) -> Path:
    """The data set asked for, the default one, or one drawn in `folder`."""
    if data is None and not DEFAULT_DATA.is_dir():
        records = synthetic_records(DRAWN_IMAGES, 0, DRAWN_HW, 1)
        build_dataset(
            folder / "data", SYNTHETIC_CLASSES, records, source="drawn", command="tools/benchmark.py train", seed=0
        )
        return folder / "data"
    root = data or DEFAULT_DATA
    if not (root / "annotations" / "train.json").is_file():
        raise UserError(f"{root}: no such data set; make one with tools/prepare_dataset.py")
    return root


def _configure(
    spec: SideSpec, root: Path, folder: Path, settings: TrainingSettings, device: torch.device
) -> dict[str, Any]:
    """What the process of a side is told.

    Raises:
        UserError: stock YOLOX is asked for bfloat16.
    """
    if spec.is_stock and spec.is_on("bf16"):
        raise UserError(f"side {spec.name}: stock YOLOX has no bf16; use fp16")
    return {
        "exp": spec.exp_file,
        "exp_name": spec.name,
        "options": ["data_dir", str(root), *COMMON, *spec.options],
        "flags": {flag: spec.is_on(flag) for flag in FLAGS},
        "batch_size": settings.batch_size,
        "device": str(device),
        "threads": torch.get_num_threads(),
        "seed": settings.seed,
        "output_dir": str(folder),
    }


def _network_size(spec: SideSpec, root: Path) -> NetworkSize | None:
    """That of the side's network; None where another checkout builds it."""
    if "code" in spec.settings:
        return None
    own = replace(spec, settings={}, options=("data_dir", str(root), *spec.options))
    exp, model = load_side(own, torch.device("cpu"), seed=0)
    return network_size(model, exp.training_size)


def _how(settings: TrainingSettings, device: torch.device) -> list[str]:
    ahead = "one step does" if settings.quick else "as many steps as its loader had read ahead, and one, do"
    return [
        f"Time: whole steps, from the loader to the averaged weights, {settings.iterations} a turn, the sides in turn "
        f"in an order drawn anew each round, each side in its own process; {ahead} not count at the beginning of a "
        "turn.",
        "Steps: from one more turn in which the device is waited for at each border.",
        f"All sides: {' '.join(COMMON)}, unless set otherwise. Stock YOLOX has its own recipe, set fields to make them "
        "alike.",
        f"MiB: {MEMORY[device.type]}. GFLOPs: of the forward pass.",
    ]
