"""From the head's raw outputs to boxes: the anchor-free decoding of YOLOX, always in float32.

YOLOX decodes in the precision of the network. In float16 a box centre at pixel 600 then moves in steps of half a
pixel, too coarse for a drone of ten pixels, and on Apple MPS YOLOX's own decoding fails.
Source: Ge et al., "YOLOX: Exceeding YOLO Series in 2021", arXiv 2107.08430, section 2.
"""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor


def decode_outputs(outputs: Tensor, sizes_hw: Sequence[tuple[int, int]], strides: Sequence[int]) -> Tensor:
    """Turns offsets from the grid cells into boxes.

    Args:
        outputs: (B, A, 5 + classes), a row an anchor: x and y offsets in cells, log width and log height in cells,
            objectness and class probabilities. A is the sum of the maps' cells, row by row, map after map.
        sizes_hw: height and width of each map, in cells.
        strides: the side of a cell of each map, in pixels of the network's input.

    Returns:
        The same shape in float32: centre x, centre y, width, height in pixels of the network's input, then the rest as
        it was.
    """
    cells_xy, cell_sides = _anchors(tuple((int(h), int(w)) for h, w in sizes_hw), tuple(strides), outputs.device)
    outputs = outputs.float()
    centres = (outputs[..., :2] + cells_xy) * cell_sides
    sizes = outputs[..., 2:4].exp() * cell_sides
    return torch.cat((centres, sizes, outputs[..., 4:]), dim=-1)


@lru_cache(maxsize=16)
def _anchors(
    sizes_hw: tuple[tuple[int, int], ...], strides: tuple[int, ...], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Each anchor's cell (A, 2) as column and row, and its cell's side (A, 1) in pixels."""
    cells, sides = [], []
    for (height, width), stride in zip(sizes_hw, strides, strict=True):
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        cells.append(torch.stack((columns, rows), dim=-1).reshape(-1, 2))
        sides.append(torch.full((height * width, 1), stride))
    return torch.cat(cells).float().to(device), torch.cat(sides).float().to(device)
