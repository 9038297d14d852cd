"""The head's losses: YOLOX's own, but for numbers that are not finite."""

from itertools import islice
from pathlib import Path

import pytest
import torch
from torch import Tensor
from yolox.models import YOLOX, YOLOXHead

from yolox_gssam.experiment import load_exp
from yolox_gssam.models import build_yolox
from yolox_gssam.models.assignment import Grid


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = 255 * torch.rand(2, 3, 64, 64, generator=generator)
    targets = torch.tensor([[[0.0, 20, 20, 10, 12], [1, 40, 40, 16, 8]], [[0, 0, 0, 0, 0], [0, 0, 0, 0, 0]]])
    return images, targets


def losses_and_gradients(model: YOLOX, images: Tensor, targets: Tensor) -> tuple[dict[str, float], list[Tensor]]:
    """The losses by name, and the gradients of the total one."""
    losses = model(images, targets)
    gradients = torch.autograd.grad(losses["total_loss"], list(model.parameters()))
    return {name: float(torch.as_tensor(value).detach()) for name, value in losses.items()}, list(gradients)


def assert_those_of_yolox(model: YOLOX, images: Tensor, targets: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, our_gradients = losses_and_gradients(model, images, targets)
    for name in ("forward", "get_losses"):
        monkeypatch.setattr(type(model.head), name, getattr(YOLOXHead, name))
    theirs, their_gradients = losses_and_gradients(model, images, targets)
    monkeypatch.undo()
    assert ours == pytest.approx(theirs, rel=1e-5)
    # Of all parameters together: some single ones, such as an offset that the contrast does not see, have none but
    # rounding.
    gradient, expected = (torch.cat([g.flatten() for g in parts]) for parts in (our_gradients, their_gradients))
    assert float((gradient - expected).norm()) <= 1e-5 * float(expected.norm())


@pytest.mark.parametrize("use_l1", [False, True])
def test_losses_are_those_of_yolox(batch: tuple[Tensor, Tensor], use_l1: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = build_yolox(2, 0.33, 0.125)
    model.head.use_l1 = use_l1
    assert_those_of_yolox(model, *batch, monkeypatch)


@pytest.mark.parametrize("objects", [True, False])
def test_losses_with_static_shapes_are_the_same(batch: tuple[Tensor, Tensor], objects: bool) -> None:
    torch.manual_seed(0)
    model = build_yolox(2, 0.33, 0.125)
    images, targets = batch
    targets = targets if objects else torch.zeros(2, 8, 5)
    plain, gradients = losses_and_gradients(model, images, targets)
    model.head.static_shapes = True
    static, static_gradients = losses_and_gradients(model, images, torch.nn.functional.pad(targets, (0, 0, 0, 5)))
    assert static == pytest.approx(plain, rel=1e-6)
    for ours, theirs in zip(static_gradients, gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_losses_of_a_batch_without_an_object_are_those_of_yolox(
    batch: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    assert_those_of_yolox(build_yolox(2, 0.33, 0.125), batch[0], torch.zeros(2, 1, 5), monkeypatch)


@pytest.mark.skipif(not Path("datasets/svanstrom").exists(), reason="datasets/svanstrom has not been made here")
@pytest.mark.parametrize("mosaic", [True, False])
def test_losses_of_real_images_are_those_of_yolox(mosaic: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    nano = ["depth", "0.33", "width", "0.25", "depthwise", "True"]
    exp = load_exp("exps/gssam_sig_res_p1.py", [*nano, "input_size", "256,320", "data_num_workers", "0"])
    torch.manual_seed(0)
    model = exp.get_model()
    model.head.use_l1 = not mosaic
    loader, sampler = exp.get_training_data(8, cache=False)
    sampler.set_epoch(0, mosaic=mosaic)
    for images, targets in islice(loader, 3):
        assert_those_of_yolox(model, images.float(), targets, monkeypatch)


def losses_of(outputs: Tensor) -> tuple[Tensor, ...]:
    """YOLOX's six of outputs (2, 84, 7) for images of 64 x 64 pixels with two objects in the first."""
    head = build_yolox(2, 0.33, 0.125).head
    grids = [Grid(64 // stride, 64 // stride, stride) for stride in head.strides]
    head.use_l1 = True
    targets = torch.tensor([[[0.0, 20, 20, 10, 12], [1, 36, 36, 16, 8]], [[0, 0, 0, 0, 0], [0, 0, 0, 0, 0]]])
    return head.get_losses(outputs, targets, outputs[..., :4], grids)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_are_summed_in_float32(dtype: torch.dtype) -> None:
    outputs = (10 * torch.rand(2, 84, 7, generator=torch.Generator().manual_seed(0))).to(dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = losses_of(outputs)
    assert torch.equal(torch.stack(losses), torch.stack(losses_of(outputs.float())))


def test_no_gradient_comes_from_what_is_not_matched() -> None:
    """A box whose area is infinite would turn the gradient of its IoU into NaN."""
    outputs = torch.zeros(2, 84, 7)
    outputs[..., :4] = torch.tensor([20.0, 20, 1e30, 1e30])
    outputs[:, 2 * 8 + 2, :4] = torch.tensor([20.0, 20, 10, 12])
    outputs[:, 4 * 8 + 4, :4] = torch.tensor([36.0, 36, 16, 8])
    outputs.requires_grad_()
    losses = losses_of(outputs)
    losses[0].backward()
    assert bool(torch.isfinite(losses[0]))
    assert bool(torch.isfinite(outputs.grad).all())
    assert (outputs.grad[..., :4] != 0).any(dim=2).nonzero().tolist() == [[0, 18], [0, 36]]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_outputs_that_are_not_finite_give_nan_and_a_gradient(batch: tuple[Tensor, Tensor], value: float) -> None:
    model = build_yolox(2, 0.33, 0.125)
    with torch.no_grad():
        model.head.obj_preds[0].bias.fill_(value)
    losses = model(*batch)
    assert torch.isnan(losses["total_loss"])
    losses["total_loss"].backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
