"""Attention maps as colours over the image they belong to."""

import math
from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from yolox_gssam.common.letterbox import letterbox_ratio
from yolox_gssam.inference.lettering import put_text, text_size

_PANEL_WIDTH = 640  # pixels at most: six panels of it still fit a screen
_COLUMNS = 3
_OPACITY = 0.55
FLAT = 1e-6  # a smaller range is float32's rounding, not attention
_COLOUR_MAP = cv2.COLORMAP_INFERNO  # even steps in brightness, so it reads without colour vision too


def attention_panels(
    image: NDArray[np.uint8], maps: Mapping[str, NDArray[np.float32]], input_size_hw: tuple[int, int]
) -> NDArray[np.uint8]:
    """One picture (BGR): the image, then a panel for each stage with its map laid over the image in grey.

    Maps are often nearly flat, so each has its own colours, from its smallest to its largest value on the image; the
    title over a panel prints both, with the colours between them.

    Args:
        image: BGR (H, W, 3).
        maps: stage name -> (h, w) values over the letterboxed network input.
        input_size_hw: size of that input, in pixels.
    """
    scale = min(1.0, _PANEL_WIDTH / image.shape[1])
    size_wh = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    small = np.asarray(cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA), np.uint8)
    panels = [titled(small, "image")]
    for stage, values in maps.items():
        on_image = map_on_image(values, (image.shape[0], image.shape[1]), input_size_hw)
        panels.append(titled(overlay(small, on_image), stage, (float(on_image.min()), float(on_image.max()))))
    blank = np.zeros_like(panels[0])
    panels += [blank] * (-len(panels) % _COLUMNS)
    return np.vstack([np.hstack(panels[start : start + _COLUMNS]) for start in range(0, len(panels), _COLUMNS)])


def map_on_image(
    values: NDArray[np.float32], size_hw: tuple[int, int], input_size_hw: tuple[int, int]
) -> NDArray[np.float32]:
    """The part of a map that lies on the image, the letterbox's padding cut off.

    Args:
        values: (h, w) over the whole letterboxed input.
        size_hw: height and width of the image, in pixels.
        input_size_hw: height and width of the input, in pixels.

    Returns:
        (height, width) of the image within the input, one value an input pixel.
    """
    ratio = letterbox_ratio(size_hw, input_size_hw)
    full = cv2.resize(values.astype(np.float32), input_size_hw[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(full[: max(1, int(size_hw[0] * ratio)), : max(1, int(size_hw[1] * ratio))])


def overlay(image: NDArray[np.uint8], values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """`values` (h, w) stretched over `image` (BGR) in grey, in the colours of `coloured`."""
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    colours = coloured(values, (image.shape[0], image.shape[1]))
    return np.asarray(cv2.addWeighted(grey, 1 - _OPACITY, colours, _OPACITY, 0), np.uint8)


def coloured(values: NDArray[np.float32], size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """`values` (h, w) stretched to a picture (BGR), coloured from minimum to maximum; a flat one in one colour."""
    low, high = float(values.min()), float(values.max())
    scaled = (values - low) / (high - low) if high - low > FLAT else np.full_like(values, 0.5)
    shades = np.asarray(cv2.resize(scaled, size_hw[::-1], interpolation=cv2.INTER_LINEAR))
    return np.asarray(cv2.applyColorMap(np.rint(shades * 255).clip(0, 255).astype(np.uint8), _COLOUR_MAP), np.uint8)


def format_range(low: float, high: float) -> tuple[str, str]:
    """Both ends with four decimals, or as many more as it takes to tell them apart."""
    spread = max(high - low, FLAT)
    decimals = max(4, 1 - math.floor(math.log10(spread)))
    return f"{low:.{decimals}f}", f"{high:.{decimals}f}"


def titled(panel: NDArray[np.uint8], name: str, value_range: tuple[float, float] | None = None) -> NDArray[np.uint8]:
    """The panel under a strip with its name and, for a map, its range around a bar of its colours."""
    width = panel.shape[1]
    font_size = max(11, width // 40)
    strip = np.full((2 * font_size, width, 3), 32, np.uint8)
    top = (strip.shape[0] - text_size("0", font_size)[1]) // 2
    white = (255, 255, 255)
    put_text(strip, name, font_size, top, font_size, white)
    if value_range is not None:
        low, high = format_range(*value_range)
        text_width, bar_width = text_size(high, font_size)[0], width // 6
        bar = cv2.applyColorMap(np.linspace(0, 255, bar_width).astype(np.uint8)[None], _COLOUR_MAP)
        right = width - font_size - text_width
        left = right - font_size // 2 - bar_width
        put_text(strip, high, right, top, font_size, white)
        strip[font_size // 2 : -(font_size // 2), left : left + bar_width] = bar
        put_text(strip, low, left - font_size // 2 - text_width, top, font_size, white)
    return np.vstack((strip, panel))
