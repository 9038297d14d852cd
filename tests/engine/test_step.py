"""A step on fixed buffers against the trainer's own arithmetic, on the CPU; recording needs CUDA."""

import math
from contextlib import nullcontext

import pytest
import torch
from torch import Tensor

from yolox_gssam.engine.averaging import AveragedWeights
from yolox_gssam.engine.step import OBJECTS_STEP, StaticStep, pad_targets
from yolox_gssam.models import build_yolox

NAMES = ("total_loss", "iou_loss", "grad_norm")


def batches(count: int) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    boxes = torch.tensor([[[0.0, 20, 20, 10, 12], [1, 40, 40, 16, 8]], [[1, 30, 24, 9, 9], [0, 0, 0, 0, 0]]])
    return [(255 * torch.rand(2, 3, 64, 64, generator=generator), boxes.clone()) for _ in range(count)]


class Run:
    """A small network with its optimizer and averaged weights."""

    def __init__(self, device: str = "cpu") -> None:
        torch.manual_seed(0)
        self.model = build_yolox(2, 0.33, 0.125).to(device)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1, momentum=0.9, nesterov=True, fused=True)
        self.average = AveragedWeights(self.model, 0.9, 2)

    def static(self, limit: float = math.inf) -> StaticStep:
        self.model.head.static_shapes = True
        return StaticStep(self.model, self.optimizer, self.average, limit, NAMES, nullcontext)

    def plain_step(self, images: Tensor, targets: Tensor, rate: float, limit: float) -> dict[str, float]:
        outputs = self.model(images, targets)
        self.optimizer.zero_grad()
        outputs["total_loss"].backward()
        outputs["grad_norm"] = torch.nn.utils.clip_grad_norm_(self.model.parameters(), limit)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.average.update()
        return {name: float(outputs[name]) for name in NAMES}

    def weights(self) -> dict[str, Tensor]:
        own = {f"model {name}": value.clone() for name, value in self.model.state_dict().items()}
        return {**own, **{f"average {name}": value.clone() for name, value in self.average.ema.state_dict().items()}}


def assert_same(weights: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float) -> None:
    for name, value in weights.items():
        torch.testing.assert_close(value, expected[name], rtol=tolerance, atol=tolerance, msg=name)


@pytest.mark.parametrize("limit", [math.inf, 1.0])
def test_steps_are_those_of_a_plain_loop(limit: float) -> None:
    run, plain = Run(), Run()
    step = run.static(limit)
    sums = dict.fromkeys(NAMES, 0.0)
    for number, (images, targets) in enumerate(batches(3)):
        step.run(images, targets, 0.001 * (number + 1))
        for name, value in plain.plain_step(images, targets, 0.001 * (number + 1), limit).items():
            sums[name] += value
    assert_same(run.weights(), plain.weights(), 1e-5)
    taken = step.collect()
    assert taken.sums == pytest.approx(sums, rel=1e-5)
    assert (taken.skipped, taken.skipped_in_a_row) == (0, 0)
    assert run.average.updates == plain.average.updates == 3
    assert step.collect().sums == dict.fromkeys(NAMES, 0.0)
    assert run.optimizer.param_groups[0]["lr"] == 0.1  # the trainer's to change


def test_a_step_that_is_not_finite_changes_nothing() -> None:
    run = Run()
    step = run.static()
    (images, targets), (later, _) = batches(2)
    step.run(images, targets, 0.001)
    before = run.weights()
    for _ in range(2):
        step.run(torch.full_like(images, math.nan), targets, 0.001)
    for name, value in run.weights().items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(value, before[name]), name
    taken = step.collect()
    assert (taken.skipped, taken.skipped_in_a_row) == (2, 2)
    assert all(math.isfinite(total) for total in taken.sums.values())
    # The ramp of the averaged weights counts the steps that were taken.
    assert run.average.updates == 1
    step.run(later, targets, 0.001)
    taken = step.collect()
    assert (taken.skipped, taken.skipped_in_a_row, run.average.updates) == (0, 0, 2)
    assert not all(torch.equal(value, before[name]) for name, value in run.weights().items())


@pytest.mark.parametrize("objects", [1, 7, 8, 9])
def test_targets_are_padded_with_rows_of_zeros(objects: int) -> None:
    targets = torch.rand(2, objects, 5)
    padded = pad_targets(targets)
    assert padded.shape[1] % OBJECTS_STEP == 0
    assert padded.shape[1] - objects < OBJECTS_STEP
    assert torch.equal(padded[:, :objects], targets)
    assert not padded[:, objects:].any()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="recording a step needs CUDA")
def test_a_recorded_step_is_the_step() -> None:
    recorded, plain = Run("cuda"), Run("cuda")
    step = recorded.static()
    for number, (images, targets) in enumerate(batches(4)):
        step.run(images.cuda(), targets.cuda(), 0.001 * (number + 1))
        plain.plain_step(images.cuda(), targets.cuda(), 0.001 * (number + 1), math.inf)
    assert_same(recorded.weights(), plain.weights(), 1e-3)
