"""The network's input from images of any size: scaled to fit, at the top left of a grey canvas, as YOLOX does it."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from yolox_gssam.common.errors import UserError

PAD_VALUE = 114
"""The grey beside an image, as in YOLOX."""
STRIDE = 32
"""The network's largest: sides of its input are multiples of it."""


def letterbox_ratio(size_hw: Sequence[int], input_size_hw: Sequence[int]) -> float:
    """The factor from an image's pixels to those of the network's input."""
    return min(input_size_hw[0] / size_hw[0], input_size_hw[1] / size_hw[1])


def scaled_wh(size_hw: Sequence[int], input_size_hw: Sequence[int]) -> tuple[int, int]:
    """Width and height of an image once it is fitted into the input: whole pixels, 0 where nothing of it is left."""
    ratio = letterbox_ratio(size_hw, input_size_hw)
    return int(size_hw[1] * ratio), int(size_hw[0] * ratio)


def narrow_fault(size_hw: Sequence[int], input_size_hw: Sequence[int]) -> str | None:
    """What is wrong with an image of which nothing is left in the input; None where something is."""
    if min(scaled_wh(size_hw, input_size_hw)) >= 1:
        return None
    height, width = input_size_hw
    return f"an image of {size_hw[1]} x {size_hw[0]} pixels is too narrow for the input of {width} x {height}; crop it"


def letterbox(
    images: Sequence[NDArray[np.uint8]], input_size_hw: tuple[int, int], tight: bool = False
) -> NDArray[np.uint8]:
    """The batch (B, h, w, 3) of images (H, W, 3), BGR.

    Args:
        images: at least one; their sizes may differ.
        input_size_hw: height and width to fit into, multiples of 32.
        tight: leave out what would be grey in the whole batch, up to the next multiple of 32: an image of 640 x 512
            becomes 640 x 512 and not 640 x 640. It is scaled as before, so a box stands at the same pixels.

    Raises:
        UserError: an image so narrow that nothing of it is left at this input size.
    """
    sizes_wh = []
    for image in images:
        sizes_wh.append(scaled_wh(image.shape[:2], input_size_hw))
        problem = narrow_fault(image.shape[:2], input_size_hw)
        if problem:
            raise UserError(problem)
    canvas_hw = input_size_hw
    if tight:
        canvas_hw = (_up(max(height for _, height in sizes_wh)), _up(max(width for width, _ in sizes_wh)))
    batch = np.empty((len(images), *canvas_hw, 3), np.uint8)
    for canvas, image, (width, height) in zip(batch, images, sizes_wh, strict=True):
        if (width, height) == (image.shape[1], image.shape[0]):
            canvas[:height, :width] = image
        else:
            canvas[:height, :width] = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
        canvas[height:] = PAD_VALUE
        canvas[:height, width:] = PAD_VALUE
    return batch


def _up(side: int) -> int:
    return -(-side // STRIDE) * STRIDE
