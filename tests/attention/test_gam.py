"""GAM, against its equations written out and its paper's formula."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from yolox_gssam.attention import GAM
from yolox_gssam.attention.gam import shuffle_channels
from yolox_gssam.common.errors import UserError


@pytest.mark.parametrize(("channels", "reduction", "groups"), [(64, 4, 1), (64, 4, 4), (48, 16, 3)])
def test_parameters(channels: int, reduction: int, groups: int) -> None:
    """Two layers of a perceptron, two 7x7 convolutions, a BatchNorm behind each of these, all with offsets."""
    hidden = channels // reduction
    perceptron = 2 * channels * hidden + hidden + channels
    convolutions = 2 * 49 * channels * hidden // groups + hidden + channels
    added = sum(p.numel() for p in GAM(channels, reduction, groups=groups).parameters())
    assert added == perceptron + convolutions + 2 * (hidden + channels)


@pytest.mark.parametrize("channel_sigmoid", [True, False])
def test_follows_the_equations(channel_sigmoid: bool) -> None:
    module = GAM(2, reduction=1, channel_sigmoid=channel_sigmoid).eval()
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm2d):
            layer.eps = 0
    # The perceptron exchanges the channels and doubles them; the convolutions take each pixel and its left neighbour.
    module.perceptron[0].weight.data.copy_(torch.tensor([[0.0, 1.0], [1.0, 0.0]]).view(2, 2, 1, 1))
    module.perceptron[2].weight.data.copy_(torch.tensor([[2.0, 0.0], [0.0, 2.0]]).view(2, 2, 1, 1))
    for step in (module.reduce, module.expand):
        step[0].weight.data[[0, 1], [0, 1], 3, 2:4] = 1.0
    images = torch.tensor([[[[1.0, -2.0, 0.5]], [[0.25, 3.0, -1.0]]]])
    channel = 2 * images.flip(1).relu()
    x = images * (channel.sigmoid() if channel_sigmoid else channel)

    def with_left(values: Tensor) -> Tensor:
        return values + torch.cat((torch.zeros_like(values[..., :1]), values[..., :-1]), dim=-1)

    spatial = with_left(with_left(x).relu()).sigmoid()
    torch.testing.assert_close(module(images), x * spatial)
    torch.testing.assert_close(module.attention_map(images), spatial.mean(dim=1, keepdim=True))


def test_nothing_is_pooled() -> None:
    """A pixel sees 6 pixels far, two 7x7 convolutions, and nothing beyond."""
    module = GAM(8).double().eval()
    images = torch.randn(1, 8, 21, 21, dtype=torch.float64).requires_grad_()
    (gradient,) = torch.autograd.grad(module(images)[0, :, 10, 10].sum(), images)
    seen = torch.zeros(21, 21, dtype=torch.bool)
    seen[4:17, 4:17] = True
    assert torch.equal(gradient.abs().sum(dim=(0, 1)) > 0, seen)


def test_channel_step_sees_its_own_pixel_only() -> None:
    module = GAM(8).eval()
    images = torch.randn(2, 8, 5, 7)
    order = torch.randperm(35)

    def shuffle(x: Tensor) -> Tensor:
        return x.flatten(2)[..., order].view_as(x)

    torch.testing.assert_close(module._channel_step(shuffle(images)), shuffle(module._channel_step(images)))


def test_replicated_border_of_a_constant_map_is_no_border() -> None:
    images = torch.full((1, 8, 9, 9), 0.7)
    replicated, zeros = (GAM(8, padding=padding).eval()(images) for padding in ("replicate", "zeros"))
    torch.testing.assert_close(replicated, replicated[..., :1, :1].expand_as(replicated))
    assert not torch.allclose(zeros, zeros[..., :1, :1].expand_as(zeros))


def test_shuffle_takes_the_groups_in_turn() -> None:
    channels = torch.arange(6.0).view(1, 6, 1, 1)
    assert shuffle_channels(channels, 2).flatten().tolist() == [0, 3, 1, 4, 2, 5]
    assert shuffle_channels(channels, 1) is channels


def test_shuffled_groups_all_see_one_another() -> None:
    """Without the shuffle, a weight of the spatial step would depend on the channels of one group only."""
    module = GAM(16, groups=2).double().eval()
    images = torch.randn(1, 16, 3, 3, dtype=torch.float64).requires_grad_()
    for channel in (0, 15):
        (gradient,) = torch.autograd.grad(module._spatial_weights(images)[0, channel, 1, 1], images)
        assert (gradient.abs().sum(dim=(0, 2, 3)) > 0).all()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param({"reduction": 9}, "reduction must be from 1 to the 8 channels", id="reduction"),
        pytest.param({"padding": "reflect"}, "padding must be one of zeros, replicate, not 'reflect'", id="padding"),
        pytest.param({"groups": 3}, "groups must divide the 8 input channels, not 3", id="groups"),
        pytest.param({"groups": 4}, "groups must divide the 2 hidden channels, not 4", id="hidden-groups"),
        pytest.param({"groups": 0}, "groups must divide", id="no-group"),
    ],
)
def test_bad_options(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        GAM(8, **options)
