"""The clock of the training benchmark, on a trainer whose parts take known times."""

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch

from yolox_gssam.common.errors import UserError
from yolox_gssam.research.benchmark import training_speed
from yolox_gssam.research.benchmark.training_speed import StepClock, TrainingSettings, measure_training
from yolox_gssam.research.benchmark.variants import parse_variants


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

    def steps(self, clock: StepClock) -> Iterator[None]:
        data = clock.timed("data", lambda: self.spend(1))
        while True:
            data()
            loss = self.model.forward()
            loss.backward()
            self.optimizer.step()
            self.ema_model.update(self.model)
            self.spend(3)
            yield


def test_parts_of_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = FakeTrainer()
    monkeypatch.setattr("time.perf_counter", lambda: trainer.now)
    monkeypatch.setattr(torch.Tensor, "backward", lambda loss: trainer.spend(4))
    clock = StepClock(torch.device("cpu"))
    clock.attach(trainer)
    steps = trainer.steps(clock)
    assert clock.turn(steps, 2) == [{"total": 16}] * 2
    parts = {"data": 1, "forward": 3, "loss": 2, "backward": 4, "optimizer + EMA": 3, "other": 3}
    assert clock.turn(steps, 2, with_parts=True) == [{"total": 16, **parts}] * 2
    assert set(parts) == set(training_speed.PARTS)
    assert clock.turn(steps, 1) == [{"total": 16}]


def test_stock_is_refused() -> None:
    with pytest.raises(UserError, match=r"timed by tools/gpu\.py"):
        measure_training(parse_variants(["stock"], [], []), None, TrainingSettings(1, 1, 1, 0), torch.device("cpu"))
