"""CBAM, against its equations written out in loops and the parameters that papers count."""

import math

import pytest
import torch
from torch import Tensor

from yolox_gssam.attention import CBAM
from yolox_gssam.common.errors import UserError


def random_images(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("widths", "added"),
    [
        # Table 1 of the GSSAM paper: what five modules add to each network.
        pytest.param((128, 256, 256, 512, 64), 25908788 - 25856586, id="resnet34"),
        pytest.param((64, 256, 512, 1024, 2048), 24225844 - 23528522, id="resnet50"),
        pytest.param((64, 128, 256, 512, 1024), 40788116 - 40613034, id="darknet53"),
        pytest.param((64, 128, 256, 512, 512), 139698996 - 139622218, id="vgg19"),
    ],
)
def test_parameters(widths: tuple[int, ...], added: int) -> None:
    assert sum(p.numel() for width in widths for p in CBAM(width).parameters()) == added


def test_both_steps_follow_the_equations() -> None:
    module = CBAM(2, reduction=1, kernel_size=1)
    first, second = torch.tensor([[1.0, -1.0], [0.5, 0.25]]), torch.tensor([[1.0, 2.0], [-1.0, 0.5]])
    module.perceptron[0].weight.data.copy_(first.view(2, 2, 1, 1))
    module.perceptron[2].weight.data.copy_(second.view(2, 2, 1, 1))
    module.spatial.weight.data.copy_(torch.tensor([0.3, -0.7]).view(1, 2, 1, 1))
    pixels = [(1.0, -2.0), (3.0, 0.5), (-1.0, 4.0)]  # of two channels

    def perceptron(a: float, b: float) -> tuple[float, float]:
        one, two = max(a - b, 0), max(0.5 * a + 0.25 * b, 0)
        return one + 2 * two, -one + 0.5 * two

    def sigmoid(value: float) -> float:
        return 1 / (1 + math.exp(-value))

    means, maxima = (sum(p[0] for p in pixels) / 3, sum(p[1] for p in pixels) / 3), (3.0, 4.0)
    channel = [sigmoid(a + b) for a, b in zip(perceptron(*means), perceptron(*maxima), strict=True)]
    expected = []
    for pixel in pixels:
        a, b = pixel[0] * channel[0], pixel[1] * channel[1]
        spatial = sigmoid(0.3 * (a + b) / 2 - 0.7 * max(a, b))
        expected.append((a * spatial, b * spatial))
    attended = module(torch.tensor(pixels).T.reshape(1, 2, 1, 3))
    torch.testing.assert_close(attended, torch.tensor(expected).T.reshape(1, 2, 1, 3))


def test_the_channel_map_is_independent_of_position() -> None:
    module = CBAM(32)
    images = random_images(2, 32, 5, 7)
    shuffled = images.flatten(2)[..., torch.randperm(35)].view_as(images)
    torch.testing.assert_close(module.channel_map(shuffled), module.channel_map(images))
    assert not torch.allclose(module.attention_map(shuffled), module.attention_map(images))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param({"reduction": 16}, "reduction must be from 1 to the 8 channels of the input, not 16", id="width"),
        pytest.param({"reduction": 0}, "reduction must be", id="reduction"),
        pytest.param({"reduction": 2, "kernel_size": 4}, "kernel_size must be odd, not 4", id="kernel"),
    ],
)
def test_bad_options(options: dict[str, int], said: str) -> None:
    with pytest.raises(UserError, match=said):
        CBAM(8, **options)
