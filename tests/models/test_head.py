"""The head's losses: YOLOX's own, but for numbers that are not finite."""

import pytest
import torch
from torch import Tensor
from yolox.models import YOLOXHead

from yolox_gssam.models import build_yolox


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = 255 * torch.rand(2, 3, 64, 64, generator=generator)
    targets = torch.tensor([[[0.0, 20, 20, 10, 12], [1, 40, 40, 16, 8]], [[0, 0, 0, 0, 0], [0, 0, 0, 0, 0]]])
    return images, targets


def test_losses_are_those_of_yolox(batch: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = build_yolox(2, 0.33, 0.125)
    ours = model(*batch)
    monkeypatch.setattr(type(model.head), "get_losses", YOLOXHead.get_losses)
    theirs = model(*batch)
    assert {name: float(value) for name, value in ours.items()} == {n: float(v) for n, v in theirs.items()}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_outputs_that_are_not_finite_give_nan_and_a_gradient(batch: tuple[Tensor, Tensor], value: float) -> None:
    model = build_yolox(2, 0.33, 0.125)
    with torch.no_grad():
        model.head.obj_preds[0].bias.fill_(value)
    losses = model(*batch)
    assert torch.isnan(losses["total_loss"])
    losses["total_loss"].backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
