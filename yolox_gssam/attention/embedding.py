"""The map to be compared: one value a pixel from C channels (Eq. 2 of the GSSAM paper, see gssam.py)."""

import copy
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from yolox_gssam.attention.normalization import BatchNorm
from yolox_gssam.attention.options import check_choice
from yolox_gssam.common.errors import UserError

FEW_PIXELS = 2**13
"""A batch's maps of so many pixels in all are not cut into strips where gradients are wanted, and of four times as many
without: the other operations take longer than the convolution."""


class Embedding(nn.Sequential):
    """Convolutions that bring C channels to one, (B, C, H, W) -> (B, 1, H, W), and widen what each value has seen.

    - `pointwise`, the paper's text: a 1x1 convolution, then `num_convs` 3x3 ones of one channel, with BatchNorm
      and ReLU before each.
    - `dual`, the reading that the parameter counts of the paper's Table 1 show: 10 C + 3 + 9 `num_convs`. A 1x1 and
      a 3x3 convolution of the C channels, summed, and one BatchNorm in all. How the authors join the two, and where
      their ReLU stands, is not known. Ours is the usual convolution, BatchNorm, ReLU; the later 3x3 convolutions follow
      without another ReLU, which could silence the only channel for good with no BatchNorm before it.
      With `dual_kernel` 1 the second convolution is 1x1 as well: 2 C + 3 + 9 `num_convs`, as at the fifth point.

    The last convolution has no bias: a contrast does not see an offset.

    Attributes:
        receptive_field: the side, in pixels, of the square that a value depends on.

    Raises:
        UserError: an unknown `kind`, or numbers below 1 (`channels`) or 0 (`num_convs`).
    """

    def __init__(self, channels: int, num_convs: int, kind: str = "pointwise", dual_kernel: int = 3) -> None:
        check_choice("embedding", kind, ("pointwise", "dual"))
        if channels < 1 or num_convs < 0:
            raise UserError(f"channels must be at least 1 and num_convs at least 0, not {channels} and {num_convs}")
        if kind == "dual":
            layers = [_TwoConvolutions(channels, dual_kernel), BatchNorm(1)]
            layers += [nn.ReLU(inplace=True)] if num_convs else []
            layers += [SpatialConvolution() for _ in range(num_convs)]
        else:
            layers = [nn.Conv2d(channels, 1, 1, bias=False)]
            for _ in range(num_convs):
                layers += [BatchNorm(1), nn.ReLU(inplace=True), SpatialConvolution()]
        super().__init__(*layers)
        self.receptive_field = (dual_kernel if kind == "dual" else 1) + 2 * num_convs

    def fold(self) -> None:
        """Merges, for inference, what reads the input into one convolution, and each BatchNorm into the convolution
        before it. The values stay the same up to rounding."""
        layers: list[nn.Module] = []
        for layer in self:
            if isinstance(layer, _TwoConvolutions):
                layers.append(layer.merged())
            elif isinstance(layer, BatchNorm):
                layers[-1] = fuse_conv_bn_eval(cast(nn.Conv2d, layers[-1]), layer)
            else:
                layers.append(layer)
        self._modules.clear()
        for index, layer in enumerate(layers):
            self.add_module(str(index), layer)


class _TwoConvolutions(nn.Module):
    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__()
        self.pointwise = nn.Conv2d(channels, 1, 1)
        self.spatial = nn.Conv2d(channels, 1, kernel_size, padding=kernel_size // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise(x) + self.spatial(x)

    def merged(self) -> nn.Conv2d:
        """One convolution with the same result."""
        merged = copy.deepcopy(self.spatial)
        margin = merged.kernel_size[0] // 2
        merged.weight = nn.Parameter(self.spatial.weight + F.pad(self.pointwise.weight, [margin] * 4))
        merged.bias = self.pointwise.bias
        return merged


class SpatialConvolution(nn.Conv2d):
    """A 3x3 convolution of one channel without bias, (B, 1, H, W) -> the same shape.

    On a CPU, kernels compute eight channels at a time and throw seven away here. So the map is cut into strips that
    stand as the channels of a depthwise convolution, each with the neighbouring rows above and below: the same sums,
    several times faster, forward and backward.
    """

    def __init__(self) -> None:
        super().__init__(1, 1, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        B, _, H, W = x.shape
        count = next(strips for strips in (8, 4, 2, 1) if H % strips == 0)
        if count == 1 or x.device.type != "cpu":
            return super().forward(x)
        if self._is_small(x):
            # A map of one channel passes for one whose channels come last, which convolutions are slower with.
            weight = self.weight.reshape(9).view(1, 1, 3, 3)
            return F.conv2d(x.reshape(B, H * W).view(B, 1, H, W), weight, self.bias, padding=1)
        strips = x.reshape(B, count, H // count, W)
        border = torch.zeros_like(strips[:, :1, :1])
        above = torch.cat((border, strips[:, :-1, -1:]), dim=1)
        below = torch.cat((strips[:, 1:, :1], border), dim=1)
        weight = self.weight.expand(count, 1, 3, 3)
        bias = None if self.bias is None else self.bias.expand(count)
        return F.conv2d(torch.cat((above, strips, below), dim=2), weight, bias, padding=(0, 1), groups=count).reshape(
            B, 1, H, W
        )

    def _is_small(self, x: Tensor) -> bool:
        """Whether strips are not worth it; in an exported graph they always are."""
        if torch.jit.is_tracing():
            return False
        with_gradients = torch.is_grad_enabled() and (x.requires_grad or self.weight.requires_grad)
        return x.numel() <= (FEW_PIXELS if with_gradients else 4 * FEW_PIXELS)
