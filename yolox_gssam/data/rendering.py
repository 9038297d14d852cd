"""Training images made with OpenCV on the processor, each from its recipe (see `augmentation`)."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from yolox_gssam.common.letterbox import PAD_VALUE
from yolox_gssam.data.augmentation import Layer, Recipe, scaled_size

ImageOf = Callable[[int], NDArray[np.uint8]]
"""Gives an image of the set, (H, W, 3) uint8, BGR, at the size used."""


def render(recipe: Recipe, image_of: ImageOf) -> NDArray[np.uint8]:
    """The training image (H, W, 3) uint8, BGR.

    Each layer is warped straight from its images, and only what of them the training image shows is touched.
    """
    image, *others = (_paint(layer, recipe.size_hw, image_of) for layer in recipe.layers)
    for other in others:
        image = _uint8(cv2.addWeighted(image, 0.5, other, 0.5, 0, dst=image))
    return image if recipe.hsv_shift is None else shift_hsv(image, recipe.hsv_shift)


def resize(image: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    """The image scaled by `scale`, see `scaled_size`."""
    height, width = scaled_size(image.shape[:2], scale)
    if (height, width) == image.shape[:2]:
        return image
    return _uint8(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR))


def shift_hsv(image: NDArray[np.uint8], shift: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The image (H, W, 3) BGR with `shift` added to its hue, saturation and value; hue goes round, the others are cut
    to 0..255."""
    planes = list(cv2.split(cv2.cvtColor(image, cv2.COLOR_BGR2HSV)))
    for channel, by in enumerate(shift.tolist()):
        if by:
            levels = np.arange(256) + by
            planes[channel] = cv2.LUT(
                planes[channel], (np.clip(levels, 0, 255) if channel else levels % 180).astype(np.uint8)
            )
    return _uint8(cv2.cvtColor(cv2.merge(planes), cv2.COLOR_HSV2BGR))


def _paint(layer: Layer, size_hw: tuple[int, int], image_of: ImageOf) -> NDArray[np.uint8]:
    """What a training image of `size_hw` shows of one layer; memory of its own."""
    area = layer.needed(size_hw)
    # Four channels where it is warped, the fourth for nothing: OpenCV warps three at half the speed.
    channels = 3 if layer.is_upright else 4
    canvas = np.full((area.bottom - area.top, area.right - area.left, channels), PAD_VALUE, dtype=np.uint8)
    for piece in layer.pieces(area):
        pixels = image_of(piece.index)[piece.source]
        canvas[piece.target] = pixels if layer.is_upright else cv2.cvtColor(pixels, cv2.COLOR_BGR2BGRA)
    if layer.is_upright:
        return _uint8(cv2.flip(canvas, 1)) if layer.matrix[0, 0] < 0 else canvas
    matrix = layer.to_canvas() - np.array([[0, 0, area.left], [0, 0, area.top]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(canvas, matrix, size_hw[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return _uint8(cv2.cvtColor(warped, cv2.COLOR_BGRA2BGR))


def _uint8(image: cv2.typing.MatLike) -> NDArray[np.uint8]:
    """OpenCV's result in the type it has; not a copy."""
    return np.asarray(image, dtype=np.uint8)
