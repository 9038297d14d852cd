"""The non-local block, against its equations in loops."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from yolox_gssam.attention import NonLocal
from yolox_gssam.common.errors import UserError


def awake(channels: int, **options: int) -> NonLocal:
    """A block in float64 whose BatchNorm does not scale by 0."""
    module = NonLocal(channels, **options).double().eval()
    module.norm.weight.data.uniform_(0.5, 1.5)
    return module


@pytest.mark.parametrize(("channels", "reduction"), [(64, 2), (48, 4)])
def test_parameters(channels: int, reduction: int) -> None:
    """Three convolutions to C / 2 and one back, all with offsets, and a BatchNorm: Fig. 2 and section 4.1."""
    hidden = channels // reduction
    expected = 3 * (channels + 1) * hidden + (hidden + 1) * channels + 2 * channels
    assert sum(p.numel() for p in NonLocal(channels, reduction).parameters()) == expected


def vectors_in_loops(module: NonLocal, queries: Tensor, keys: Tensor) -> Tensor:
    """y_i, for queries (N, C) and the pixels (M, C) that phi and g see -> (N, d)."""
    theta, phi, g = (
        (convolution.weight[:, :, 0, 0], convolution.bias) for convolution in (module.theta, module.phi, module.g)
    )
    mixed = []
    for query in queries:
        a = (theta[0] @ query + theta[1]).detach()
        powers = [math.exp(float(a @ (phi[0] @ key + phi[1]).detach()) / math.sqrt(len(a))) for key in keys]
        values = [g[0] @ key + g[1] for key in keys]
        mixed.append(sum(power / sum(powers) * value for power, value in zip(powers, values, strict=True)))
    return torch.stack(mixed)


@pytest.mark.parametrize("pool_size", [1, 2])
def test_follows_the_equations(pool_size: int) -> None:
    module = awake(6, pool_size=pool_size)
    images = torch.randn(2, 6, 3, 5, dtype=torch.float64)
    for image in images:
        keys = torch.stack(
            [
                torch.stack([channel[y : y + pool_size, x : x + pool_size].max() for channel in image])
                for y in range(0, 3, pool_size)
                for x in range(0, 5, pool_size)
            ]
        )
        y = vectors_in_loops(module, image.flatten(1).T, keys)
        expanded = F.linear(y, module.expand.weight[:, :, 0, 0], module.expand.bias)
        scaled = expanded * module.norm.weight / math.sqrt(1 + module.norm.eps) + module.norm.bias
        torch.testing.assert_close(module(image[None])[0], image + scaled.T.reshape(6, 3, 5))


def test_a_fresh_block_changes_nothing() -> None:
    images = torch.randn(2, 8, 5, 3)
    assert torch.equal(NonLocal(8).eval()(images), images)


def test_pixels_may_change_places() -> None:
    """Without a pool a pixel is known by its values, not by its place."""
    images = torch.randn(2, 8, 5, 6, dtype=torch.float64)
    order = torch.randperm(30)

    def shuffle(x: Tensor) -> Tensor:
        return x.flatten(2)[..., order].view_as(x)

    module = awake(8)
    torch.testing.assert_close(module(shuffle(images)), shuffle(module(images)))
    pooled = awake(8, pool_size=2)
    assert not torch.allclose(pooled(shuffle(images)), shuffle(pooled(images)))


def test_every_pixel_sees_every_other() -> None:
    module = awake(8)
    images = torch.randn(1, 8, 6, 7, dtype=torch.float64).requires_grad_()
    (gradient,) = torch.autograd.grad(module(images)[0, :, 0, 0].sum(), images)
    assert (gradient.abs().sum(dim=1) > 0).all()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param({"reduction": 9}, "reduction must be from 1 to the 8 channels", id="reduction"),
        pytest.param({"pool_size": 0}, "pool_size must be at least 1 pixel, not 0", id="pool"),
    ],
)
def test_bad_options(options: dict[str, int], said: str) -> None:
    with pytest.raises(UserError, match=said):
        NonLocal(8, **options)
