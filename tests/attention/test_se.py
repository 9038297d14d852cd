"""Squeeze-and-excitation, against its equations and its paper's count."""

import math

import pytest
import torch

from yolox_gssam.attention import SE
from yolox_gssam.common.errors import UserError


def test_parameters_added_to_resnet50() -> None:
    """Section 6.1 of the paper: 2 / r times the sum of C^2 over the blocks, some 2.5 million for ResNet-50."""
    blocks = [256] * 3 + [512] * 4 + [1024] * 6 + [2048] * 3
    added = sum(p.numel() for width in blocks for p in SE(width).parameters())
    assert added == sum(2 * width**2 // 16 for width in blocks)
    assert round(added / 1e6, 1) == 2.5


def test_follows_the_equations() -> None:
    module = SE(2, reduction=1)
    module.perceptron[0].weight.data.copy_(torch.tensor([[1.0, -1.0], [0.5, 0.25]]).view(2, 2, 1, 1))
    module.perceptron[2].weight.data.copy_(torch.tensor([[1.0, 2.0], [-1.0, 0.5]]).view(2, 2, 1, 1))
    images = torch.tensor([[[[3.0, 1.0]], [[-2.0, 4.0]]]])  # the means are 2 and 1
    # ReLU: 2 - 1 = 1 and 0.5 * 2 + 0.25 * 1 = 1.25, then 1 + 2.5 = 3.5 and -1 + 0.625 = -0.375.
    weights = torch.tensor([1 / (1 + math.exp(-3.5)), 1 / (1 + math.exp(0.375))]).view(1, 2, 1, 1)
    torch.testing.assert_close(module(images), images * weights)


def test_the_map_is_independent_of_position() -> None:
    module = SE(32)
    images = torch.randn(2, 32, 5, 7)
    shuffled = images.flatten(2)[..., torch.randperm(35)].view_as(images)
    torch.testing.assert_close(module.channel_map(shuffled), module.channel_map(images))


def test_bad_reduction() -> None:
    with pytest.raises(UserError, match="reduction must be from 1 to the 8 channels of the input, not 16"):
        SE(8)
