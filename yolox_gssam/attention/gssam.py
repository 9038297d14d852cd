"""GSSAM, the Global-Sampling Spatial-Attention Module.

Lu Jingyu, Zhang Haiyang, Wang Wenxin, Zhao Changming, "Global-Sampling Spatial-Attention Module and its Application in
Image Classification and Small Object Detection and Recognition", Laser & Optoelectronics Progress, 2024 (10), 396-407,
doi 10.3788/LOP231933. For a feature map F:

    c = embed(F)                         one value per pixel                                   (Eq. 2)
    s = sample(c)                        N base points: the maxima of the r x r blocks of c
    d_i = contrast(c, s) = sum_j |c_i - s_j|    how far pixel i stands out from all of them    (Eq. 3)
    A = normalize(d)                     to [0, 1], by a sigmoid or min-max
    output = F * A, or F + F * A with the residual                                             (Eq. 1, Fig. 17)

Where this differs from the paper: the contrast is computed without an H x W x N tensor where that is large
(contrast.py), and it is the mean over the base points unless asked otherwise. The printed sum saturates the sigmoid: it
is hundreds at the first stages, where the sigmoid is exactly 1 in float32 and passes no gradient.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from yolox_gssam.attention.contrast import global_contrast
from yolox_gssam.attention.embedding import Embedding
from yolox_gssam.attention.options import check_choice
from yolox_gssam.attention.registry import register_attention
from yolox_gssam.common.errors import UserError

# A map with less between its ends counts as constant: dividing by it would let the gradient overflow.
_FLAT = 1e-12


@register_attention("gssam")
class GSSAM(nn.Module):
    """Weighs every pixel by how far it stands out from the base points of its image.

    (B, C, H, W) -> same shape and dtype, for any H and W: blocks at the border are cut off, and a map smaller than the
    pool has one base point, its maximum.

    Args:
        channels: C of the input.
        pool_size: r, the side of a block in pixels of the feature map.
        num_convs: 3x3 convolutions of the embedding.
        norm: "sigmoid", or "standardize", the paper's word for min-max.
        residual: adds the input to the output.
        embedding: "pointwise" or "dual", see `Embedding`.
        reduction: over the base points, "mean" or, as printed in the paper, "sum".

    Attributes:
        largest_hw: of an exported graph of variable size, the largest map (H, W) that it is given; None: the one that
            it is traced with.

    Raises:
        UserError: a receptive field smaller than the block, whose winner must have seen its block; a bad option.
    """

    def __init__(
        self,
        channels: int,
        pool_size: int,
        num_convs: int,
        norm: str = "sigmoid",
        residual: bool = False,
        embedding: str = "pointwise",
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        check_choice("norm", norm, ("sigmoid", "standardize"))
        check_choice("reduction", reduction, ("mean", "sum"))
        if pool_size < 1:
            raise UserError(f"pool_size must be at least 1 pixel, not {pool_size}")
        self.embedding = Embedding(channels, num_convs, embedding, dual_kernel=1 if pool_size == 1 else 3)
        self.pool_size = pool_size
        self.norm = norm
        self.residual = residual
        self.reduction = reduction
        self.largest_hw: tuple[int, int] | None = None
        receptive_field = self.embedding.receptive_field
        if receptive_field < pool_size:
            raise UserError(
                f"pool_size {pool_size} is larger than the receptive field {receptive_field} of num_convs {num_convs}"
                f" ({embedding}); set num_convs to at least {num_convs + (pool_size - receptive_field + 1) // 2}"
                f" or pool_size to at most {receptive_field}"
            )

    def forward(self, x: Tensor) -> Tensor:
        """Eq. 1: the input times its attention, and with the residual plus the input."""
        attention = self.attention_map(x)
        # x + x * attention with one product and one pass over x.
        return x * (1 + attention) if self.residual else x * attention

    def attention_map(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, 1, H, W) in [0, 1], in the dtype of `x`; float32 inside where that is a half type."""
        c = self.embed(x)  # (B, 1, H, W)
        s = self.sample(c)  # (B, 1, rows, columns), rows * columns = N
        return self.normalize(self.contrast(c, s)).to(x.dtype)

    def embed(self, x: Tensor) -> Tensor:
        """Eq. 2: (B, C, H, W) -> (B, 1, H, W), a value per pixel that has seen at least a block around it."""
        compared: Tensor = self.embedding(x)
        return compared

    def sample(self, c: Tensor, return_indices: bool = False) -> Any:
        """The base points: the maximum of each r x r block, (B, 1, H, W) -> (B, 1, ceil(H / r), ceil(W / r)).

        With `return_indices` also where they lie, row * W + column, of the same shape.
        """
        pool: Any = F.max_pool2d
        return pool(c, self.pool_size, ceil_mode=True, return_indices=return_indices)

    def contrast(self, c: Tensor, s: Tensor) -> Tensor:
        """Eq. 3, sum_j |c_i - s_j|, or the mean: (B, 1, H, W) and (B, 1, rows, columns) -> (B, 1, H, W).

        At least float32: a sum of half precision differences may leave the range of float16.
        """
        largest = None
        if self.largest_hw is not None:
            height, width = self.largest_hw
            largest = height * width, -(-height // self.pool_size) * -(-width // self.pool_size)
        d = global_contrast(c.flatten(1), s.flatten(1), largest)
        if self.reduction == "mean":
            d = d / s.flatten(1).shape[1]
        return d.view(c.shape)

    def normalize(self, d: Tensor) -> Tensor:
        """The contrast (B, 1, H, W) brought to [0, 1]: its sigmoid, or each image's map by min-max."""
        return d.sigmoid() if self.norm == "sigmoid" else min_max(d)


def min_max(maps: Tensor) -> Tensor:
    """(B, 1, H, W) -> same shape: each image's map linearly from [min, max] to [0, 1]; 1 where it is constant.

    The paper leaves constant maps open. With 0 an image would be lost, and for good where no gradient reaches the
    embedding: a ReLU that lets nothing through makes every map constant.
    """
    low = maps.amin(dim=(1, 2, 3), keepdim=True)
    span = maps.amax(dim=(1, 2, 3), keepdim=True) - low
    varies = span > _FLAT
    return torch.where(varies, (maps - low) / torch.where(varies, span, 1), 1)
