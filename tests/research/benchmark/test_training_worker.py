"""The clock of the training benchmark, on a trainer whose parts take known times."""

import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from yolox_gssam.research.benchmark import training


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The script's names; it takes the first folder of sys.path away, as a script's own is there."""
    monkeypatch.setattr(sys, "path", ["its own folder", *sys.path])
    return SimpleNamespace(**runpy.run_path(str(Path(training.__file__).with_name("training_worker.py"))))


class FakeTrainer:
    """A step: data 1 s, forward 5 s of which 2 s are the loss, backward 4 s, optimizer 1 s, EMA 2 s, and 3 s more."""

    def __init__(self) -> None:
        self.now = 0.0
        self.model = SimpleNamespace(forward=self.forward, head=SimpleNamespace(get_losses=lambda: self.spend(2)))
        self.optimizer = SimpleNamespace(step=lambda: self.spend(1))
        self.ema_model = SimpleNamespace(update=lambda model: self.spend(2))

    def spend(self, seconds: float) -> None:
        self.now += seconds

    def forward(self) -> torch.Tensor:
        self.spend(3)
        self.model.head.get_losses()
        return torch.zeros((), requires_grad=True)

    def steps(self, clock: Any) -> Iterator[None]:
        data = clock.timed("data", lambda: self.spend(1))
        while True:
            data()
            loss = self.model.forward()
            loss.backward()
            self.optimizer.step()
            self.ema_model.update(self.model)
            self.spend(3)
            yield


def test_parts_of_a_step(worker: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = FakeTrainer()
    monkeypatch.setattr("time.perf_counter", lambda: trainer.now)
    monkeypatch.setattr(torch.Tensor, "backward", lambda loss: trainer.spend(4))
    clock = worker.StepClock(torch.device("cpu"))
    clock.attach(trainer)
    steps = trainer.steps(clock)
    assert worker._turn(steps, clock, 2, False) == [{"total": 16}] * 2
    parts = {"data": 1, "forward": 3, "loss": 2, "backward": 4, "optimizer + EMA": 3, "other": 3}
    assert worker._turn(steps, clock, 2, True) == [{"total": 16, **parts}] * 2
    assert set(parts) == set(training.PARTS)
    assert worker._turn(steps, clock, 1, False) == [{"total": 16}]


def test_stock_finds_the_data_set_and_its_classes(worker: SimpleNamespace, tiny_dataset: Path, tmp_path: Path) -> None:
    folder = Path(worker._stock_layout(tiny_dataset, str(tmp_path)))
    assert (folder / "train2017" / "train_0.jpg").is_file()
    assert (folder / "val2017" / "val_0.jpg").is_file()
    assert worker._class_count(folder / "annotations" / "train.json") == 2
    assert not any(path.is_symlink() for path in tiny_dataset.iterdir())


def test_fields_of_stock(worker: SimpleNamespace) -> None:
    exp = SimpleNamespace(width=0.5, act="silu", input_size=(640, 640), data_dir=None)
    worker._set_fields(exp, ["width", "0.25", "act", "relu", "input_size", "(64, 96)", "data_dir", "a/b"])
    assert vars(exp) == {"width": 0.25, "act": "relu", "input_size": (64, 96), "data_dir": "a/b"}
    with pytest.raises(ValueError, match="stock YOLOX has no field crop_size"):
        worker._set_fields(exp, ["crop_size", "(64, 64)"])
