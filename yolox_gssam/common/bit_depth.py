"""Eight bits from images of more, such as those of thermal cameras: the one rule for all who read images."""

import argparse
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

ValueRange = tuple[float, float]
"""The values that become 0 and 255; those outside become the nearer of the two."""

RULE = (
    "divided by 256 where they fill 16 bit, else stretched between each image's 1st and 99th percentile, both moved "
    "outwards by their distance but not beyond the least and greatest value"
)
"""What `to_eight_bits` does without a range, for messages."""

FULL_SPAN = 2**14
"""Values that reach over so many of 65,536 use the depth: by plain division at least 64 grey levels are left of them.
Those of cameras of 14 bit and less never do."""


def to_eight_bits(pixels: NDArray[Any], value_range: ValueRange | None = None) -> NDArray[np.uint8]:
    """The image (H, W, 3) in 8 bit.

    Without a range, values that are 8-bit ones times 256 or 257, or that reach over `FULL_SPAN` of 16 bits (in colour
    counted from 0, so that a dark photo stays dark), are divided by 256, as OpenCV does it. All others are stretched.
    The outward move of the percentiles keeps a few bright pixels, such as a small object, brighter than the noise
    around them; dead pixels leave the rest at least a third of the grey levels. NaN becomes 0.

    Args:
        pixels: whole numbers in grey or colour, or grey in floating point.
    """
    if pixels.dtype == np.uint8:
        return np.asarray(pixels, np.uint8)
    is_grey = pixels.dtype.kind == "f" or bool((pixels[..., :1] == pixels[..., 1:]).all())
    plane = pixels[..., 0] if is_grey else pixels
    if pixels.dtype == np.uint16 and value_range is None:
        if not (plane & 255).any() or not (plane % 257).any():
            return (pixels >> 8).astype(np.uint8)
        low, high = np.percentile(plane, (1, 99))
        if high - low * is_grey >= FULL_SPAN:
            return (pixels >> 8).astype(np.uint8)
    low, high = value_range or _stretched_range(plane)
    scaled = _scale(plane, low, high)
    return np.repeat(scaled[..., None], 3, axis=-1) if is_grey else scaled


def _stretched_range(values: NDArray[Any]) -> ValueRange:
    """What `RULE` says; the whole range where all but a few values are the same."""
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    if not finite.size:
        return 0.0, 1.0
    least, greatest = float(finite.min()), float(finite.max())
    low, high = map(float, np.percentile(finite, (1, 99)))
    if low == high:
        return least, greatest
    return max(least, 2 * low - high), min(greatest, 2 * high - low)


def _scale(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """Values as bytes: `low` 0, `high` 255."""
    if values.dtype in (np.uint16, np.int16):  # a table: fast, and without an image in floating point
        limits = np.iinfo(values.dtype)
        table = _scale(np.arange(limits.min, limits.max + 1, dtype=np.float32), low, high)
        return table[values.astype(np.int32) - limits.min]
    shifted = np.nan_to_num(values.astype(np.float32), nan=low, posinf=high, neginf=low) - low
    return np.rint(np.clip(shifted / max(high - low, 1e-12), 0, 1) * 255).astype(np.uint8)


def add_range_option(parser: argparse._ActionsContainer) -> None:
    """Adds --range, which gives a `ValueRange` or None."""
    parser.add_argument(
        "--range",
        type=float,
        nargs=2,
        action=_RangeAction,
        metavar=("LOW", "HIGH"),
        help="values that become 0 and 255 in images of more than 8 bit, such as those of thermal cameras (default: "
        f"{RULE.replace('%', '%%')})",
    )


class _RangeAction(argparse.Action):
    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        low, high = (float(value) for value in values or (0, 0))
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise argparse.ArgumentError(self, f"LOW must be below HIGH, not {low:g} {high:g}")
        setattr(namespace, self.dest, (low, high))
