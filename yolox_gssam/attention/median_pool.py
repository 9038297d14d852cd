"""The median of each block of a map: base points of GSSAM that its paper has not."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def median_pool2d(x: Tensor, side: int, return_indices: bool = False) -> Any:
    """The medians of the blocks of side x side pixels, as F.max_pool2d(..., ceil_mode=True) gives the maxima.

    Of an even number of pixels it is the lower of the middle two. Blocks at the border are cut off.

    Args:
        x: (B, 1, H, W); of a block the finite values count.

    Returns:
        The medians, (B, 1, ceil(H / side), ceil(W / side)); with `return_indices` also, int64 of the same shape, where
        they lie: row * W + column.
    """
    B, _, H, W = x.shape
    # What is added is larger than all else and stands last in its block's order.
    padded = F.pad(x, (0, -W % side, 0, -H % side), value=torch.inf)
    rows, columns = padded.shape[2] // side, padded.shape[3] // side
    blocks = padded.reshape(B, rows, side, columns, side).transpose(2, 3).reshape(B, 1, rows, columns, side * side)
    ordered, places = blocks.sort(dim=-1)
    # Where nothing is finite, that goes on: training meets a loss that is not finite, and skips the step.
    middle = ((blocks.isfinite().sum(dim=-1, keepdim=True) - 1) // 2).clamp(min=0)
    medians = ordered.gather(-1, middle).squeeze(-1)
    if not return_indices:
        return medians
    place = places.gather(-1, middle).squeeze(-1)
    row = torch.arange(rows, device=x.device)[:, None] * side + place // side
    column = torch.arange(columns, device=x.device) * side + place % side
    return medians, row * W + column
