"""The embedding: its parameters, and how far a value sees."""

from functools import partial

import pytest
import torch
from torch import nn

from yolox_gssam.attention import embedding
from yolox_gssam.attention.embedding import Embedding, SpatialConvolution
from yolox_gssam.common.errors import UserError


@pytest.mark.parametrize("channels", [1, 3, 64, 1024])
@pytest.mark.parametrize("num_convs", range(4))
def test_parameter_counts(channels: int, num_convs: int) -> None:
    def count(**options: object) -> int:
        return sum(p.numel() for p in Embedding(channels, num_convs, **options).parameters())

    assert count(kind="dual") == 10 * channels + 3 + 9 * num_convs
    assert count(kind="dual", dual_kernel=1) == 2 * channels + 3 + 9 * num_convs
    assert count(kind="pointwise") == channels + (2 + 9) * num_convs


@pytest.mark.parametrize("num_convs", range(4))
@pytest.mark.parametrize("options", [{"kind": "pointwise"}, {"kind": "dual"}, {"kind": "dual", "dual_kernel": 1}])
def test_receptive_field_is_what_a_value_depends_on(num_convs: int, options: dict[str, object]) -> None:
    embedding = Embedding(2, num_convs, **options).eval()
    for convolution in embedding.modules():
        if isinstance(convolution, nn.Conv2d):
            nn.init.ones_(convolution.weight)
    images = torch.ones(1, 2, 21, 21, requires_grad=True)
    embedding(images)[0, 0, 10, 10].backward()
    seen = images.grad[0, 0] != 0
    assert seen.any(dim=0).sum() == seen.any(dim=1).sum() == embedding.receptive_field
    assert seen.sum() == embedding.receptive_field**2


def test_dual_sums_its_two_convolutions() -> None:
    embedding = Embedding(2, 0, kind="dual").eval()
    images = torch.arange(18.0).view(1, 2, 3, 3)
    with torch.no_grad():
        for parameter in embedding.parameters():
            parameter.fill_(1)
        middle = embedding(images)[0, 0, 1, 1] * (1 + 1e-5) ** 0.5
    # 1x1: 4 + 13 and a bias of 1; 3x3: all 18 numbers; the BatchNorm adds 1.
    assert middle.item() == pytest.approx(17 + 1 + 153 + 1, abs=1e-2)


@pytest.mark.parametrize("kind", ["pointwise", "dual"])
def test_one_value_in_training(kind: str) -> None:
    embedding = Embedding(3, 2, kind=kind).train()
    before = {name: buffer.clone() for name, buffer in embedding.named_buffers()}
    embedding(torch.randn(1, 3, 1, 1)).sum().backward()
    assert all(torch.equal(buffer, before[name]) for name, buffer in embedding.named_buffers())
    embedding(torch.randn(2, 3, 1, 1))
    assert not all(torch.equal(buffer, before[name]) for name, buffer in embedding.named_buffers())


@pytest.mark.parametrize("kind", ["pointwise", "dual"])
def test_normalisations_are_batch_norms_to_yolox(kind: str) -> None:
    """YOLOX sets their eps and momentum, and keeps them from weight decay, by this class."""
    kinds = [type(module) for module in Embedding(3, 3, kind=kind) if isinstance(module, nn.BatchNorm2d)]
    assert len(kinds) == (3 if kind == "pointwise" else 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param((8, 2, "double"), "embedding must be one of pointwise, dual, not 'double'", id="kind"),
        pytest.param((0, 2), "channels must be at least 1", id="channels"),
        pytest.param((8, -1), "num_convs at least 0, not 8 and -1", id="num_convs"),
    ],
)
def test_bad_options(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Embedding(*arguments)


@pytest.mark.parametrize("few_pixels", [0, 2**20], ids=["strips", "in one piece"])
@pytest.mark.parametrize("height", [1, 6, 7, 8, 12, 40])
def test_strips_give_the_plain_convolution_and_its_gradients(
    height: int, few_pixels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "FEW_PIXELS", few_pixels)
    convolution = SpatialConvolution().double()
    images = torch.randn(2, 1, height, 11, dtype=torch.float64)
    results = []
    for forward in (convolution, partial(nn.Conv2d.forward, convolution)):
        inputs = images.clone().requires_grad_()
        convolution.zero_grad()
        outputs = forward(inputs)
        outputs.square().sum().backward()
        results.append((outputs, inputs.grad, convolution.weight.grad.clone()))
    for ours, plain in zip(*results, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("kind", "convolutions"), [("pointwise", 4), ("dual", 4)], ids=["pointwise", "dual-merges-its-two"]
)
@pytest.mark.parametrize("dual_kernel", [1, 3])
def test_folded_for_inference(kind: str, convolutions: int, dual_kernel: int) -> None:
    embedding = Embedding(5, 3, kind=kind, dual_kernel=dual_kernel).double()
    for _ in range(3):  # statistics that are not those of fresh weights
        embedding(3 * torch.randn(4, 5, 16, 9, dtype=torch.float64) + 1)
    embedding.eval()
    images = torch.randn(2, 5, 16, 9, dtype=torch.float64)
    with torch.no_grad():
        expected = embedding(images)
        embedding.fold()
        torch.testing.assert_close(embedding(images), expected, rtol=1e-10, atol=1e-12)
    assert sum(isinstance(module, nn.Conv2d) for module in embedding.modules()) == convolutions
    assert not any(isinstance(module, nn.BatchNorm2d) for module in embedding.modules())
