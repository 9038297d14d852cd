"""EMA attention, against its equations in loops and the authors' counts."""

import math

import pytest
import torch
from torch import Tensor

from yolox_gssam.attention import EfficientMultiScaleAttention
from yolox_gssam.common.errors import UserError


def test_parameters_added_to_mobilenetv2() -> None:
    """github.com/YOLOonMe/EMA-attention-module: one module in each block that is wider than 144 within, 32 groups.

    Its table has MobileNetV2 with 3.50 million parameters, and 3.55 with them.
    """
    widths = 3 * [192] + 4 * [384] + 3 * [576] + 3 * [960]
    added = sum(p.numel() for width in widths for p in EfficientMultiScaleAttention(width).parameters())
    assert round((3_504_872 + added) / 1e6, 2) == 3.55


@pytest.mark.parametrize(("channels", "groups"), [(32, 32), (64, 8), (48, 3)])
def test_parameters(channels: int, groups: int) -> None:
    """A 1x1 and a 3x3 convolution with offsets and a GroupNorm, of the width of one group."""
    width = channels // groups
    module = EfficientMultiScaleAttention(channels, groups)
    assert sum(p.numel() for p in module.parameters()) == 10 * width**2 + 4 * width


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def softmax(values: list[float]) -> list[float]:
    powers = [math.exp(value) for value in values]
    return [power / sum(powers) for power in powers]


def map_in_loops(module: EfficientMultiScaleAttention, group: list[list[list[float]]]) -> list[list[float]]:
    """The equations for one group of channels, given as channels of rows."""
    channels, height, width = range(len(group)), range(len(group[0])), range(len(group[0][0]))
    w1, b1 = module.pointwise.weight[:, :, 0, 0].tolist(), module.pointwise.bias.tolist()
    w3, b3 = module.spatial.weight.tolist(), module.spatial.bias.tolist()
    gamma, beta = module.norm.weight.tolist(), module.norm.bias.tolist()

    def pointwise(means: list[float], out: int) -> float:
        return sigmoid(b1[out] + sum(w1[out][c] * means[c] for c in channels))

    def at(c: int, y: int, x: int) -> float:
        return group[c][y][x] if y in height and x in width else 0.0

    rows = [[sum(group[c][y]) / len(width) for c in channels] for y in height]
    columns = [[sum(group[c][y][x] for y in height) / len(height) for c in channels] for x in width]
    one, three = [], []
    for c in channels:
        gated = [[group[c][y][x] * pointwise(rows[y], c) * pointwise(columns[x], c) for x in width] for y in height]
        values = [value for row in gated for value in row]
        mean = sum(values) / len(values)
        deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / len(values) + module.norm.eps)
        one.append([[gamma[c] * (value - mean) / deviation + beta[c] for value in row] for row in gated])
        three.append(
            [
                [
                    b3[c]
                    + sum(
                        w3[c][k][i][j] * at(k, y + i - 1, x + j - 1)
                        for k in channels
                        for i in range(3)
                        for j in range(3)
                    )
                    for x in width
                ]
                for y in height
            ]
        )
    first, second = (
        softmax([sum(map(sum, branch[c])) / len(height) / len(width) for c in channels]) for branch in (one, three)
    )
    return [
        [sigmoid(sum(first[c] * three[c][y][x] + second[c] * one[c][y][x] for c in channels)) for x in width]
        for y in height
    ]


def test_follows_the_equations() -> None:
    module = EfficientMultiScaleAttention(6, groups=2).double()
    torch.nn.init.normal_(module.norm.weight)
    torch.nn.init.normal_(module.norm.bias)
    images = torch.randn(2, 6, 4, 3, dtype=torch.float64)
    maps = module.group_maps(images)
    for image, image_maps in zip(images, maps, strict=True):
        for number in range(2):
            expected = map_in_loops(module, image[3 * number : 3 * number + 3].tolist())
            torch.testing.assert_close(image_maps[number], torch.tensor(expected, dtype=torch.float64))
    torch.testing.assert_close(module(images), images * maps.repeat_interleave(3, dim=1))


def test_groups_do_not_mix() -> None:
    module = EfficientMultiScaleAttention(12, groups=3)
    images = torch.randn(2, 12, 6, 5)
    other = images.clone()
    other[:, 4:8] += torch.randn(2, 4, 6, 5)
    attended, changed = module(images), module(other)
    same = (attended == changed).all(dim=3).all(dim=2).all(dim=0)
    assert same.tolist() == 4 * [True] + 4 * [False] + 4 * [True]


def test_groups_share_their_weights() -> None:
    module = EfficientMultiScaleAttention(12, groups=3)
    images = torch.randn(2, 12, 6, 5)
    order = [8, 9, 10, 11, 0, 1, 2, 3, 4, 5, 6, 7]
    torch.testing.assert_close(module(images[:, order]), module(images)[:, order])


def test_the_pool_of_the_normalised_branch_is_its_bias() -> None:
    """So the weights that sum up the 3x3 branch are the same for all images."""
    module = EfficientMultiScaleAttention(6, groups=2).double()
    torch.nn.init.normal_(module.norm.bias)
    seen: list[Tensor] = []
    module.norm.register_forward_hook(lambda _, inputs, output: seen.append(output.mean(dim=(2, 3))))
    module(torch.randn(4, 6, 9, 7, dtype=torch.float64))
    torch.testing.assert_close(seen[0], module.norm.bias.detach().expand(8, 3))


@pytest.mark.parametrize("groups", [0, 3, 16])
def test_bad_groups(groups: int) -> None:
    with pytest.raises(UserError, match=f"groups must divide the 8 input channels, not {groups}"):
        EfficientMultiScaleAttention(8, groups)
