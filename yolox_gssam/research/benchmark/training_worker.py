"""One side of the training benchmark: trains in turns that another process asks for, a JSON line for each.

Run as a script by the module `training` beside it, so that `yolox_gssam` is what PYTHONPATH says, which may be another
version: only what every version has is used here.
"""

import sys

# This folder, in which a script's imports begin: its modules would hide others of the same name.
if __name__ == "__main__":
    sys.path.pop(0)

import argparse
import ast
import itertools
import json
import os
import re
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

Config = dict[str, Any]


class StepClock:
    """Seconds of the parts of a step, summed up while it is on; it waits for the device at each border."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.on = False
        self.seconds: defaultdict[str, float] = defaultdict(float)

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        elif self.device.type == "mps":
            torch.mps.synchronize()

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, whose time counts as that of `part`."""

        def call(*arguments: Any, **named: Any) -> Any:
            if not self.on:
                return function(*arguments, **named)
            self.wait()
            start = time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                self.wait()
                self.seconds[part] += time.perf_counter() - start

        return call

    def attach(self, trainer: Any) -> None:
        """Times forward pass, loss, backward pass, optimizer and EMA of our trainer or of YOLOX's."""
        model = trainer.model
        model.forward = self.timed("forward", model.forward)
        model.head.get_losses = self.timed("loss", model.head.get_losses)
        torch.Tensor.backward = self.timed("backward", torch.Tensor.backward)  # type: ignore[method-assign]
        trainer.optimizer.step = self.timed("optimizer + EMA", trainer.optimizer.step)
        if getattr(trainer, "ema_model", None) is not None:
            trainer.ema_model.update = self.timed("optimizer + EMA", trainer.ema_model.update)

    def take(self, seconds: float) -> dict[str, float]:
        """The parts of a step of so many seconds, and begins the next."""
        parts = dict(self.seconds)
        parts["forward"] = parts.get("forward", 0.0) - parts.get("loss", 0.0)  # YOLOX computes the loss in its forward
        parts["other"] = seconds - sum(parts.values())
        self.seconds.clear()
        return parts


def own_steps(config: Config, clock: StepClock) -> Iterator[None]:
    """Our trainer: the first item when it is ready, then one a step."""
    from yolox_gssam.experiment import load_exp

    exp = load_exp(config["exp"], [*config["options"], "output_dir", config["output_dir"]])
    exp.seed = config["seed"]
    trainer: Any = exp.get_trainer(_trainer_args(config))
    trainer.before_train()
    clock.attach(trainer)
    config["read_ahead"] = _read_ahead(trainer.train_loader)
    yield
    for epoch in itertools.count():
        trainer.epoch = epoch
        trainer.before_epoch()
        batches = iter(trainer.train_loader)
        next_batch = clock.timed("data", lambda batches=batches: next(batches, None))
        for iteration in range(trainer.max_iter):
            trainer.iter = iteration
            trainer.before_iter()
            trainer.train_one_iter(*next_batch())
            trainer.after_iter()
            yield
        trainer.run.progress.begin_epoch()


def stock_steps(config: Config, clock: StepClock) -> Iterator[None]:
    """YOLOX's own trainer on the same data, with its own exp, loader and augmentation."""
    from yolox.core import Trainer
    from yolox.exp import Exp

    exp = Exp()
    exp.depth, exp.width = 0.33, 0.5  # YOLOX-s, as ours
    exp.depthwise = False
    exp.train_ann, exp.val_ann = "train.json", "val.json"
    exp.seed = config["seed"]
    _set_fields(exp, config["options"])
    exp.output_dir = config["output_dir"]
    exp.num_classes = _class_count(Path(exp.data_dir, "annotations", exp.train_ann))
    exp.data_dir = _stock_layout(Path(exp.data_dir), config["output_dir"])
    if exp.depthwise:
        _make_depthwise(exp)
    trainer: Any = Trainer(exp, _trainer_args(config))
    trainer.before_train()
    clock.attach(trainer)
    trainer.prefetcher.next = clock.timed("data", trainer.prefetcher.next)
    # One more batch waits in the prefetcher.
    config["read_ahead"] = _read_ahead(trainer.train_loader) + 1
    yield
    for step in itertools.count():
        trainer.epoch, trainer.iter = divmod(step, trainer.max_iter)
        if trainer.iter == 0:
            trainer.before_epoch()
        trainer.before_iter()
        trainer.train_one_iter()
        trainer.after_iter()
        yield


def _trainer_args(config: Config) -> argparse.Namespace:
    """As tools/train.py and YOLOX's own parse them."""
    flags = config["flags"]
    return argparse.Namespace(
        experiment_name=config["exp_name"],
        batch_size=config["batch_size"],
        device=config["device"],
        fp16=flags["fp16"],
        bf16=flags["bf16"],
        cache=flags["cache"],
        clip_grad_norm=None,
        save_every_minutes=float("inf"),
        ckpt=None,
        resume=False,
        force=False,
        start_epoch=None,
        occupy=False,
        logger="tensorboard",
        opts=[],
    )


def _read_ahead(loader: Any) -> int:
    """Batches that the loader holds ready while another side has its turn."""
    return loader.num_workers * (loader.prefetch_factor or 0)


def _set_fields(exp: Any, options: list[str]) -> None:
    """Sets fields of a stock experiment; a name that it lacks is an error."""
    from yolox_gssam.common.errors import UserError

    for name, text in zip(options[::2], options[1::2], strict=True):
        if not hasattr(exp, name):
            raise UserError(f"stock YOLOX has no field {name}")
        present = getattr(exp, name)
        setattr(exp, name, text if isinstance(present, str) or name == "data_dir" else ast.literal_eval(text))


def _class_count(annotations: Path) -> int:
    return len(json.loads(annotations.read_bytes())["categories"])


def _stock_layout(data: Path, output_dir: str) -> str:
    """The data set as YOLOX wants it: links in a folder of its own, into which it also writes its cache."""
    folder = Path(tempfile.mkdtemp(prefix="stock-", dir=output_dir))
    for name, target in (("annotations", "annotations"), ("train2017", "images"), ("val2017", "images")):
        (folder / name).symlink_to((data / target).resolve(), target_is_directory=True)
    return str(folder)


def _make_depthwise(exp: Any) -> None:
    """Gives the experiment the network of YOLOX-nano, as yolox.exp.default.yolox_nano builds it."""
    from yolox.models import YOLOPAFPN, YOLOX, YOLOXHead

    channels = [256, 512, 1024]
    neck = YOLOPAFPN(exp.depth, exp.width, in_channels=channels, act=exp.act, depthwise=True)
    exp.model = YOLOX(neck, YOLOXHead(exp.num_classes, exp.width, in_channels=channels, act=exp.act, depthwise=True))


def _kilobytes(name: str) -> int | None:
    try:
        found = re.search(rf"^{name}:\s*(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) if found else None


def _memory(device: torch.device, before_kb: int | None) -> int | None:
    """Bytes at the peak: of torch's allocator on a GPU, otherwise resident here beyond what the process began with."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = _kilobytes("VmHWM")
    return None if before_kb is None or peak is None or device.type != "cpu" else 1024 * (peak - before_kb)


def _turn(steps: Iterator[None], clock: StepClock, iterations: int, with_parts: bool) -> list[dict[str, float]]:
    """Seconds of each of the next steps, under "total" and, with the clock on, by part."""
    clock.wait()
    clock.on = with_parts
    clock.seconds.clear()
    results: list[dict[str, float]] = []
    start = time.perf_counter()
    for number in range(iterations):
        next(steps)
        if number == iterations - 1:
            clock.wait()
        end = time.perf_counter()
        parts = clock.take(end - start) if with_parts else {}
        results.append({"total": end - start, **parts})
        start = end
    clock.on = False
    return results


def main() -> None:
    # What others print goes to standard error; standard output belongs to the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def answer(value: Any) -> None:
        print(json.dumps(value), file=answers, flush=True)

    config: Config = json.loads(sys.stdin.readline())
    torch.set_num_threads(config["threads"])
    device = torch.device(config["device"])
    clock = StepClock(device)
    before_kb = _kilobytes("VmRSS")
    steps = (stock_steps if config["exp"] == "stock" else own_steps)(config, clock)
    next(steps)
    answer({"read_ahead": config["read_ahead"]})
    for line in sys.stdin:
        request = json.loads(line)
        _turn(steps, clock, request["skip"], with_parts=False)
        measured = _turn(steps, clock, request["iterations"], request["parts"])
        answer({"steps": measured, "memory": _memory(device, before_kb)})


if __name__ == "__main__":
    main()
