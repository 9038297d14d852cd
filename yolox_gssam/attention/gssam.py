"""GSSAM, the Global-Sampling Spatial-Attention Module.

Lu Jingyu, Zhang Haiyang, Wang Wenxin, Zhao Changming, "Global-Sampling Spatial-Attention Module and its Application in
Image Classification and Small Object Detection and Recognition", Laser & Optoelectronics Progress, 2024 (10), 396-407,
doi 10.3788/LOP231933. For a feature map F:

    c = embedding(F)                    one value a pixel                     (Eq. 2)
    s = the maxima of the r x r blocks of c: N base points
    A = norm(scale(sum_j |c_i - s_j|))  how much pixel i stands out globally  (Eq. 3; scale is an option of ours)
    output = F * A, or F + F * A with the residual                            (Eq. 1, Fig. 17)

Differs from the paper: the contrast is computed without broadcasting (contrast.py), and it is the mean over the base
points unless asked otherwise, since the sum saturates the sigmoid: hundreds at the first stages, where the sigmoid
is exactly 1 and passes no gradient.
"""

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from yolox_gssam.attention.contrast import global_contrast
from yolox_gssam.attention.contrast_scale import build_contrast_scale
from yolox_gssam.attention.embedding import Embedding
from yolox_gssam.attention.exported_contrast import exported_contrast
from yolox_gssam.attention.median_pool import median_pool2d
from yolox_gssam.attention.options import check_choice
from yolox_gssam.attention.registry import register_attention
from yolox_gssam.attention.softmin_contrast import exported_softmin_contrast, softmin_contrast
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
        norm: "sigmoid", or "standardize": each image's map brought linearly to [0, 1]; all 1 where it is constant.
        residual: adds the input to the output.
        embedding: "pointwise" or "dual", see `Embedding`.
        contrast: "mean" or "sum" over the base points. Ours: "signed", the mean of c_i - s_j, which tells what lies
            above the base points from what lies below; "softmin", see `softmin_contrast`.
        base_points: of each block the "max", as in the paper, or the "median".
        scale: what is done to the contrast before `norm`: "none", as in the paper, or one of contrast_scale.py.

    Attributes:
        max_base_points: the most base points that an exported graph of variable size can compare with; None: as many as
            the image has that it is traced with.
        max_pixels: the most pixels of a map that such a graph is given; None: as many as it is traced with.

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
        contrast: str = "mean",
        scale: str = "none",
        base_points: str = "max",
    ) -> None:
        super().__init__()
        check_choice("norm", norm, ("sigmoid", "standardize"))
        check_choice("contrast", contrast, ("mean", "sum", "signed", "softmin"))
        check_choice("base_points", base_points, ("max", "median"))
        if pool_size < 1:
            raise UserError(f"pool_size must be at least 1 pixel, not {pool_size}")
        self.embedding = Embedding(channels, num_convs, embedding, dual_kernel=1 if pool_size == 1 else 3)
        self.pool_size = pool_size
        self.norm = norm
        self.residual = residual
        self.contrast = contrast
        self.base_points = base_points
        self.scale = build_contrast_scale(scale)
        self.max_base_points: int | None = None
        self.max_pixels: int | None = None
        receptive_field = self.embedding.receptive_field
        if receptive_field < pool_size:
            raise UserError(
                f"pool_size {pool_size} is larger than the receptive field {receptive_field} of num_convs {num_convs}"
                f" ({embedding}); set num_convs to at least {num_convs + (pool_size - receptive_field + 1) // 2}"
                f" or pool_size to at most {receptive_field}"
            )

    def forward(self, x: Tensor) -> Tensor:
        attention = self.attention_map(x)
        # x + x * attention with one product and one pass over x.
        return x * (1 + attention) if self.residual else x * attention

    def attention_map(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, 1, H, W) in [0, 1], in the dtype of `x`; float32 inside where that is a half type."""
        compared = self.embedding(x)  # (B, 1, H, W)
        contrast = self.scale(self.raw_contrast(compared, self.sample(compared)))
        attention = contrast.sigmoid() if self.norm == "sigmoid" else standardize(contrast)
        return attention.to(x.dtype)

    def sample(self, compared: Tensor, return_indices: bool = False) -> Any:
        """The base points of an embedding (B, 1, H, W): (B, 1, rows, columns).

        With `return_indices` also where they lie, row * W + column, of the same shape.
        """
        pool: Any = median_pool2d if self.base_points == "median" else partial(F.max_pool2d, ceil_mode=True)
        return pool(compared, self.pool_size, return_indices=return_indices)

    def raw_contrast(self, compared: Tensor, base_points: Tensor) -> Tensor:
        """Eq. 3: (B, 1, H, W) and its base points (B, 1, rows, columns) -> (B, 1, H, W), at least float32."""
        values, samples = compared.flatten(1), base_points.flatten(1)
        if self.contrast == "signed":
            dtype = torch.promote_types(values.dtype, torch.float32)
            contrast = values.to(dtype) - samples.to(dtype).mean(dim=1, keepdim=True)
        elif torch.jit.is_tracing():
            points = int(samples.shape[1]) if self.max_base_points is None else self.max_base_points
            if self.contrast == "softmin":
                contrast = exported_softmin_contrast(values, samples, points)
            else:
                pixels = int(values.shape[1]) if self.max_pixels is None else self.max_pixels
                contrast = exported_contrast(values, samples, points, pixels)
        else:
            contrast = (softmin_contrast if self.contrast == "softmin" else global_contrast)(values, samples)
        if self.contrast == "mean":
            contrast = contrast / samples.shape[1]
        return contrast.view(compared.shape)


def standardize(maps: Tensor) -> Tensor:
    """(B, 1, H, W) -> same shape: each image's map linearly from [min, max] to [0, 1]; 1 where it is constant.

    The paper leaves constant maps open. With 0 an image would be lost, and for good where no gradient reaches the
    embedding: a ReLU that lets nothing through makes every map constant.
    """
    low = maps.amin(dim=(1, 2, 3), keepdim=True)
    span = maps.amax(dim=(1, 2, 3), keepdim=True) - low
    varies = span > _FLAT
    return torch.where(varies, (maps - low) / torch.where(varies, span, 1), 1)
