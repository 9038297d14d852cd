"""The ablation without sampling and comparison."""

import pytest
import torch
from torch import nn

from yolox_gssam.attention import ConvAttention


def test_map_is_the_sigmoid_of_the_weighted_channels() -> None:
    module = ConvAttention(2, 0)
    weight = torch.tensor([0.5, -2.0])
    module.embedding[0].weight.data.copy_(weight.view(1, 2, 1, 1))
    images = torch.tensor([[[[1.0, 2.0]], [[0.25, 3.0]]]])  # two pixels of two channels
    expected = 1 / (1 + torch.exp(-torch.tensor([[[[0.5 - 0.5, 1.0 - 6.0]]]])))
    torch.testing.assert_close(module.attention_map(images), expected)
    torch.testing.assert_close(module(images), images * expected)
    module.residual = True
    torch.testing.assert_close(module(images), images + images * expected)


@pytest.mark.parametrize("embedding", ["pointwise", "dual"])
@pytest.mark.parametrize("size_hw", [(1, 1), (7, 5), (33, 17)])
def test_trains_at_any_size(size_hw: tuple[int, int], embedding: str) -> None:
    module = ConvAttention(4, 2, residual=True, embedding=embedding)
    images = torch.randn(1, 4, *size_hw, generator=torch.Generator().manual_seed(0), requires_grad=True)
    attended = module(images)
    assert attended.shape == images.shape
    attended.square().sum().backward()
    assert images.grad.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in module.parameters())


@pytest.mark.parametrize("autocast", [False, True], ids=["half", "autocast"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype: torch.dtype, autocast: bool) -> None:
    module: nn.Module = ConvAttention(4, 1)
    images = 1e4 * torch.randn(1, 4, 9, 9, generator=torch.Generator().manual_seed(0))
    if not autocast:
        module, images = module.to(dtype), images.to(dtype)
    with torch.autocast("cpu", dtype=dtype, enabled=autocast):
        attended = module(images)
    assert attended.dtype == images.dtype
    assert (attended.abs() <= images.abs()).all()
