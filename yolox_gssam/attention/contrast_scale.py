"""What brings the contrast of GSSAM to where its sigmoid is neither flat nor saturated; the paper has none of it.

Where a fresh network's contrast is small (0.04 on average at dark3), the sigmoid of the contrast itself is nearly the
same everywhere. All of these have a learned gain, 1 at the beginning, and a learned offset, 0 at the beginning.
"""

import torch
from torch import Tensor, nn

from yolox_gssam.attention.normalization import BatchNorm
from yolox_gssam.attention.options import check_choice

_EPS = 1e-6  # far under the variance of a contrast that says anything


class _Affine(nn.Module):
    """gain * x + offset."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1))
        self.offset = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.gain * x + self.offset


class _ZScore(_Affine):
    """The same of each image's own map, brought to mean 0 and deviation 1 before."""

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(dim=(1, 2, 3), keepdim=True)
        variance = centred.square().mean(dim=(1, 2, 3), keepdim=True)
        return super().forward(centred * (variance + _EPS).rsqrt())


class _BatchNorm(BatchNorm):
    """The same of all maps of the batch, or by the running statistics."""

    def __init__(self) -> None:
        super().__init__(1, eps=_EPS)

    def forward(self, x: Tensor) -> Tensor:
        # A network wholly in half precision has float32 here, which torch does not mix with its parameters; what is
        # beyond the half type's range would make the batch's mean infinite.
        dtype = self.weight.dtype
        return super().forward(x if dtype == x.dtype else x.clamp(max=torch.finfo(dtype).max).to(dtype))


def build_contrast_scale(kind: str) -> nn.Module:
    """A module (B, 1, H, W) -> the same shape: "none", "affine", "z_score" (of each image's map) or "batch_norm".

    Raises:
        UserError: an unknown `kind`.
    """
    check_choice("scale", kind, ("none", "affine", "z_score", "batch_norm"))
    if kind == "none":
        return nn.Identity()
    if kind == "batch_norm":
        return _BatchNorm()
    return _ZScore() if kind == "z_score" else _Affine()
