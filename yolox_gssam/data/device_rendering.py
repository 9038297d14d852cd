"""Training images made with torch on any device, a batch at a time, each from its recipe (see `augmentation`).

The images differ from those of `rendering` in rounding alone: OpenCV 4 interpolates between pixels in steps of 1/32,
torch in float32. On frames of the Svanström set that is 0.04 grey levels in the mean, and one level for 99 of 100
values. Nothing here waits for the device: what depends on the recipes is worked out on the processor.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from yolox_gssam.common.letterbox import PAD_VALUE
from yolox_gssam.data.augmentation import Layer, Recipe, Tile

ImageOf = Callable[[int], Tensor]
"""Gives an image of the set, (H, W, 3) uint8, BGR, at the size used, on the device."""
CHUNK = 8
"""Images that are worked on at a time: so many bound the memory, and more are no faster."""


def render_batch(
    recipes: Sequence[Recipe], image_of: ImageOf, device: torch.device, *, are_grey: bool = False
) -> Tensor:
    """The training images (B, 3, H, W) uint8, BGR; all recipes have one size.

    Args:
        are_grey: all images have three equal channels: changes of brightness are then one sum.
    """
    size_hw = recipes[0].size_hw
    mixed = [number for number, recipe in enumerate(recipes) if len(recipe.layers) > 1]
    layers = [recipe.layers[0] for recipe in recipes] + [recipes[number].layers[1] for number in mixed]
    painted = torch.empty((len(layers), 3, *size_hw), dtype=torch.uint8, device=device)
    for start in range(0, len(layers), CHUNK):
        painted[start : start + CHUNK] = _paint(layers[start : start + CHUNK], size_hw, image_of, device)
    images = painted[: len(recipes)]
    for number, other in zip(mixed, painted[len(recipes) :], strict=True):
        # Halves are rounded to even as OpenCV does.
        images[number] = (images[number].float() + other).mul_(0.5).round_()
    if all(recipe.hsv_shift is None for recipe in recipes):
        return images
    shifts = to_device(np.array([(0, 0, 0) if r.hsv_shift is None else r.hsv_shift for r in recipes], np.int32), device)
    if are_grey and not any(r.hsv_shift[:2].any() for r in recipes if r.hsv_shift is not None):
        return shift_value(images, shifts[:, 2])
    changed = to_device(np.array([r.hsv_shift is not None for r in recipes]), device)[:, None, None, None]
    for start in range(0, len(recipes), CHUNK):
        part = slice(start, start + CHUNK)
        images[part] = torch.where(changed[part], shift_hsv(images[part], shifts[part]), images[part])
    return images


def shift_hsv(images: Tensor, shifts: Tensor) -> Tensor:
    """The images (B, 3, H, W) uint8, BGR, with `shifts` (B, 3) int32 added to hue, saturation and value, as
    `rendering.shift_hsv` does it."""
    hue, saturation, value = _bgr_to_hsv(images)
    hue_shift, saturation_shift, value_shift = shifts[:, :, None, None].unbind(1)
    hue = torch.remainder(hue + hue_shift, 180)
    saturation = (saturation + saturation_shift).clamp_(0, 255)
    value = (value + value_shift).clamp_(0, 255)
    return _hsv_to_bgr(hue, saturation, value)


def shift_value(images: Tensor, shifts: Tensor) -> Tensor:
    """The grey images (B, 3, H, W) uint8 with `shifts` (B,) int32 added to their value, as `shift_hsv` does it."""
    return (images.to(torch.int16) + shifts.to(torch.int16)[:, None, None, None]).clamp_(0, 255).to(torch.uint8)


def to_device(array: NDArray[Any], device: torch.device) -> Tensor:
    """A copy on the device, without waiting for it on CUDA."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def _paint(layers: Sequence[Layer], size_hw: tuple[int, int], image_of: ImageOf, device: torch.device) -> Tensor:
    """What training images of `size_hw` show of a layer each, (B, 3, H, W), whole levels."""
    if all(_is_whole(layer, size_hw) for layer in layers):
        images = torch.stack([image_of(layer.tiles[0].index) for layer in layers]).permute(0, 3, 1, 2)
        mirrored = to_device(np.array([layer.matrix[0, 0] < 0 for layer in layers]), device)[:, None, None, None]
        return torch.where(mirrored, images.flip(3), images)
    areas = [layer.needed(size_hw) for layer in layers]
    height = max(area.bottom - area.top for area in areas)
    width = max(area.right - area.left for area in areas)
    canvas = torch.full((len(layers), height, width, 3), float(PAD_VALUE), device=device)
    for own, layer, area in zip(canvas, layers, areas, strict=True):
        for piece in layer.pieces(area):
            own[piece.target] = image_of(piece.index)[piece.source].float()
    # (B, 2, 3): from pixel indices of the training image to what grid_sample takes, -1..1 from first to last pixel.
    to_area = np.stack([m.to_canvas() - [[0, 0, a.left], [0, 0, a.top]] for m, a in zip(layers, areas, strict=True)])
    to_area *= np.array([2 / max(width - 1, 1), 2 / max(height - 1, 1)])[:, None]
    to_area[:, :, 2] -= 1
    by_x, by_y, constant = to_device(to_area.astype(np.float32), device)[:, None, None].unbind(-1)  # (B, 1, 1, 2) each
    x = torch.arange(size_hw[1], device=device)[:, None]
    y = torch.arange(size_hw[0], device=device)[:, None, None]
    # Not by affine_grid: its matrix product may be computed in TF32, which is off by half a pixel.
    grid = by_x * x + by_y * y + constant
    pixels = canvas.permute(0, 3, 1, 2)
    return F.grid_sample(pixels, grid, mode="bilinear", padding_mode="border", align_corners=True).round_()


def _is_whole(layer: Layer, size_hw: tuple[int, int]) -> bool:
    """Whether the layer shows one image and nothing else, mirrored at most."""
    shift_x = size_hw[1] if layer.matrix[0, 0] < 0 else 0
    at_place = layer.is_upright and tuple(layer.matrix[:2, 2]) == (shift_x, 0) and layer.matrix[1, 1] > 0
    return at_place and len(layer.tiles) == 1 and layer.tiles[0] == Tile(layer.tiles[0].index, size_hw)


def _bgr_to_hsv(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Hue 0..179, saturation and value 0..255 of images (B, 3, H, W) uint8, (B, H, W) int32 each, in the fixed-point
    arithmetic of OpenCV (12 fractional bits)."""
    blue, green, red = images.to(torch.int32).unbind(1)
    value = torch.maximum(torch.maximum(blue, green), red)
    span = value - torch.minimum(torch.minimum(blue, green), red)
    by_value, by_span = _hsv_divisors(images.device)
    half = 1 << 11
    saturation = (span * by_value[value.long()] + half) >> 12
    sextant = torch.where(
        value == red, green - blue, torch.where(value == green, blue - red + 2 * span, red - green + 4 * span)
    )
    hue = (sextant * by_span[span.long()] + half) >> 12
    return hue + 180 * (hue < 0), saturation, value


def _hsv_to_bgr(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """Images (B, 3, H, W) uint8 from (B, H, W) each, as above; cut to whole levels as OpenCV's vector code does."""
    sextant = hue * (1 / 30)
    whole = sextant.trunc()
    part, whole = sextant - whole, whole.to(torch.int32)
    saturation, value = saturation * (1 / 255), value * (1 / 255)
    channels = []
    for offset in (1, 3, 5):  # blue, green, red
        k = torch.remainder(whole + offset, 6)
        # How much of the saturation the channel lacks: over the six sextants it rises, stays for two, falls, stays.
        lack = torch.where(k == 0, part, torch.where(k == 3, 1 - part, (k < 3).float()))
        channels.append(value * (1 - saturation * lack) * 255)
    return torch.stack(channels, dim=1).to(torch.uint8)


@lru_cache
def _hsv_divisors(device: torch.device) -> tuple[Tensor, Tensor]:
    """(256,) int32 each: 255 / i and 30 / i with 12 fractional bits, 0 for i = 0."""
    levels = np.arange(1, 256)
    tables = (np.concatenate([[0], np.rint((factor << 12) / levels)]).astype(np.int32) for factor in (255, 30))
    by_value, by_span = (torch.from_numpy(table).to(device) for table in tables)
    return by_value, by_span
