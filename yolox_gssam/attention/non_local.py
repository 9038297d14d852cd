"""The non-local block, in its embedded Gaussian form.

Wang, Girshick, Gupta, He, "Non-local Neural Networks", CVPR 2018, arXiv 1711.07971. For a feature map F with the pixels
x_i, each a vector of C values:

    y_i = sum_j softmax_j(theta(x_i) . phi(x_j) / sqrt(d)) g(x_j)       (Eqs. 1 and 3)
    output_i = x_i + BN(W y_i)                                          (Eq. 6)

theta, phi and g are 1x1 convolutions to d = C / 2 channels, W is one back to C. The BatchNorm's scale begins at 0, as
in section 4.1: a fresh block changes nothing. The division by sqrt(d) is that of the authors' code
(github.com/facebookresearch/video-nonlocal-net, option USE_SCALE); the paper's equation has none. With `pool_size` the
input of phi and g is max-pooled, the subsampling of section 3.3.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from yolox_gssam.attention.normalization import BatchNorm
from yolox_gssam.attention.options import hidden_channels
from yolox_gssam.attention.registry import register_attention
from yolox_gssam.common.errors import UserError


@register_attention("nonlocal")
class NonLocal(nn.Module):
    """Adds to every pixel what the pixels like it hold. (B, C, H, W) -> same shape and dtype.

    Memory: beside a few maps of C / 2 channels, torch's fused kernels (CPU, and CUDA where they apply) hold a few rows
    of the similarities at a time. An exported network, and torch where it has no fused kernel, hold all of them:
    H W x ceil(H / r) ceil(W / r) values an image, r the pool's size. For the stem of YOLOX at 640 x 640, 320 x 320
    pixels, in float32 that is 39 GiB with r = 1 and 156 MiB with r = 16. Time grows with the same product, on any
    kernel.

    Args:
        channels: C of the input.
        reduction: C over d.
        pool_size: r, the side of the blocks that phi and g see the maxima of; 1: every pixel. Blocks at the border are
            cut off.

    Raises:
        UserError: fewer channels than `reduction`, or a pool below 1.
    """

    def __init__(self, channels: int, reduction: int = 2, pool_size: int = 1) -> None:
        super().__init__()
        hidden = hidden_channels(channels, reduction)
        if pool_size < 1:
            raise UserError(f"pool_size must be at least 1 pixel, not {pool_size}")
        self.theta, self.phi, self.g = (nn.Conv2d(channels, hidden, 1) for _ in range(3))
        self.expand = nn.Conv2d(hidden, channels, 1)
        self.norm = BatchNorm(channels)
        nn.init.zeros_(self.norm.weight)
        self.pool_size = pool_size

    def forward(self, x: Tensor) -> Tensor:
        pooled = F.max_pool2d(x, self.pool_size, ceil_mode=True) if self.pool_size > 1 else x
        # (B, 1, pixels, d): one head.
        queries, keys, values = (
            convolution(inputs).flatten(2).transpose(1, 2).unsqueeze(1)
            for convolution, inputs in ((self.theta, x), (self.phi, pooled), (self.g, pooled))
        )
        mixed = F.scaled_dot_product_attention(queries, keys, values)
        B, _, H, W = x.shape
        # Not unflatten, whose rank ONNX loses.
        mixed = mixed.squeeze(1).transpose(1, 2).reshape(B, -1, H, W)  # (B, d, H, W)
        return x + self.norm(self.expand(mixed)).to(x.dtype)
