"""Coordinate attention.

Hou, Zhou, Feng, "Coordinate Attention for Efficient Mobile Network Design", CVPR 2021, arXiv 2103.02907. For a feature
map F:

    z_h = average over each row of F, z_w = average over each column          (Eqs. 4 and 5)
    f = hard-swish(BN(conv1x1([z_h, z_w])))                                    (Eq. 6)
    g_h = sigmoid(conv1x1(f of the rows)), g_w = sigmoid(conv1x1(f of the columns))
    output(c, i, j) = F(c, i, j) * g_h(c, i) * g_w(c, j)                       (Eq. 9)

Layers and the least hidden width of 8 are those of the authors' code (github.com/houqb/CoordAttention, coordatt.py).
"""

import torch
from torch import Tensor, nn

from yolox_gssam.attention.registry import register_attention
from yolox_gssam.common.errors import UserError

_LEAST_HIDDEN = 8


@register_attention("coordinate")
class CoordinateAttention(nn.Module):
    """Weighs every channel's rows, then its columns. (B, C, H, W) -> same shape and dtype.

    Args:
        channels: C of the input.
        reduction: C over the width of the hidden layer, which is at least 8.

    Raises:
        UserError: a reduction below 1.
    """

    def __init__(self, channels: int, reduction: int = 32) -> None:
        super().__init__()
        if reduction < 1:
            raise UserError(f"reduction must be at least 1, not {reduction}")
        hidden = max(_LEAST_HIDDEN, channels // reduction)
        self.encode = nn.Sequential(nn.Conv2d(channels, hidden, 1), nn.BatchNorm2d(hidden), nn.Hardswish(inplace=True))
        self.row = nn.Conv2d(hidden, channels, 1)
        self.column = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = self.row_and_column_maps(x)
        return x * rows * columns

    def attention_map(self, x: Tensor) -> Tensor:
        """The product of both maps, its mean over the channels: (B, C, H, W) -> (B, 1, H, W) in [0, 1], in the dtype of
        `x`."""
        rows, columns = self.row_and_column_maps(x)
        return (rows * columns).mean(dim=1, keepdim=True)

    def row_and_column_maps(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) -> g_h (B, C, H, 1) and g_w (B, C, 1, W) in [0, 1], in the dtype of `x`."""
        H = x.shape[2]
        rows, columns = x.mean(dim=3, keepdim=True), x.mean(dim=2, keepdim=True)
        # One BatchNorm for both: its statistics are those of all rows and columns together.
        encoded = self.encode(torch.cat((rows, columns.transpose(2, 3)), dim=2))  # (B, hidden, H + W, 1)
        rows, columns = self.row(encoded[:, :, :H]), self.column(encoded[:, :, H:].transpose(2, 3))
        return rows.sigmoid().to(x.dtype), columns.sigmoid().to(x.dtype)
