"""BAM, against its equations written out and its paper's count."""

import pytest
import torch
from torch import Tensor, nn

from yolox_gssam.attention import BAM
from yolox_gssam.common.errors import UserError


def test_parameters_added_to_resnet50() -> None:
    """ResNet-50 has 25.56 million parameters and 25.92 with the three modules at its bottlenecks (BAM's paper)."""
    added = sum(p.numel() for width in (256, 512, 1024) for p in BAM(width).parameters())
    assert round((25_557_032 + added) / 1e6, 2) == 25.92


@pytest.mark.parametrize(("channels", "reduction"), [(64, 16), (24, 4)])
def test_parameters_of_the_authors_layers(channels: int, reduction: int) -> None:
    """MODELS/bam.py of github.com/Jongchan/attention-module: weights, biases, and two for each normalised channel."""
    hidden = channels // reduction
    channel = (channels + 1) * hidden + 2 * hidden + (hidden + 1) * channels
    spatial = (channels + 1) * hidden + 2 * (9 * hidden + 1) * hidden + 3 * 2 * hidden + hidden + 1
    assert sum(p.numel() for p in BAM(channels, reduction).parameters()) == channel + spatial


def set_all(module: nn.Module, value: float) -> None:
    """Every weight of the convolutions the same, every offset 0; BatchNorms that change nothing."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.constant_(layer.weight, value)
            nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm2d):
            layer.eps = 0


def test_follows_the_equations() -> None:
    module = BAM(2, reduction=2, dilation=1).eval()
    set_all(module.channel, 0.5)
    set_all(module.spatial, 0.1)
    images = torch.tensor([[[[1.0, 2.0, 4.0]], [[3.0, -1.0, 0.0]]]])
    # Channels: the means are 7/3 and 2/3, the hidden value half their sum, 1.5, and the output 0.75 for both.
    # Pixels: a tenth of the sums 4, 1, 4 is 0.4, 0.1, 0.4; then twice the sum of up to three neighbours times 0.1.
    first = [0.1 * (0.4 + 0.1), 0.1 * (0.4 + 0.1 + 0.4), 0.1 * (0.1 + 0.4)]
    second = [0.1 * (first[0] + first[1]), 0.1 * sum(first), 0.1 * (first[1] + first[2])]
    spatial = torch.tensor([0.1 * value for value in second]).view(1, 1, 1, 3)
    torch.testing.assert_close(module(images), images + images * (0.75 + spatial).sigmoid())
    torch.testing.assert_close(module.attention_map(images), spatial.sigmoid())


def test_branches_are_added() -> None:
    """M is sigmoid(Mc + Ms): its logit less the pixels' part is one number a channel."""
    module = BAM(16).eval()
    images = torch.rand(1, 16, 9, 11) + 0.5
    logits = (module(images) / images - 1).logit() - module.attention_map(images).logit()
    torch.testing.assert_close(logits, logits[..., :1, :1].expand_as(logits), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("dilation", "reach"), [(1, 2), (4, 8)])
def test_how_far_a_pixel_sees(dilation: int, reach: int) -> None:
    """Two dilated 3x3 convolutions; on a lattice of `dilation` pixels."""
    module = BAM(16, reduction=2, dilation=dilation).double().eval()
    images = torch.randn(1, 16, 21, 21, dtype=torch.float64).requires_grad_()
    (gradient,) = torch.autograd.grad(module.attention_map(images)[0, 0, 10, 10], images)
    rows, columns = gradient.abs().sum(dim=(0, 1)).nonzero(as_tuple=True)
    assert set((rows - 10).tolist()) == set((columns - 10).tolist()) == set(range(-reach, reach + 1, dilation))


def test_one_image_in_training_has_the_running_statistics_in_the_channels_branch() -> None:
    module = BAM(16)
    norm = module.channel[1]
    before: Tensor = norm.running_mean.clone()
    module.train()(torch.randn(1, 16, 4, 4))
    assert torch.equal(norm.running_mean, before)
    module(torch.randn(2, 16, 4, 4))
    assert not torch.equal(norm.running_mean, before)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param({"reduction": 16}, "reduction must be from 1 to the 8 channels", id="reduction"),
        pytest.param({"reduction": 2, "dilation": 0}, "dilation must be at least 1 pixel, not 0", id="dilation"),
    ],
)
def test_bad_options(options: dict[str, int], said: str) -> None:
    with pytest.raises(UserError, match=said):
        BAM(8, **options)
