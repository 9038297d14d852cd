"""Fractal noise: what clouds, leaves and hills are made of."""

from typing import TypeAlias

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Image: TypeAlias = NDArray[np.float32]


def fractal_noise(
    rng: Generator, size_hw: tuple[int, int], cell_hw: tuple[float, float], octaves: int, gain: float = 0.5
) -> Image:
    """Smooth random values, (height, width) float32 with mean 0 and deviation 1.

    Args:
        cell_hw: size of the coarsest structures in pixels; each further octave has half the size of the one before.
        gain: strength of an octave relative to the one before.
    """
    height, width = size_hw
    total = np.zeros(size_hw, np.float32)
    for octave in range(octaves):
        rows = min(int(height / cell_hw[0] * 2**octave) + 3, height + 3)
        columns = min(int(width / cell_hw[1] * 2**octave) + 3, width + 3)
        grid = rng.standard_normal((rows, columns), dtype=np.float32)
        total += gain**octave * cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
    return (total - total.mean()) / max(float(total.std()), 1e-6)


def fractal_line(rng: Generator, width: int, cell: float, octaves: int, gain: float = 0.5) -> Image:
    """The same along a line, (width,)."""
    return fractal_noise(rng, (4, width), (1e6, cell), octaves, gain)[0]


def smooth_step(values: Image, low: float | Image, high: float | Image) -> Image:
    """0 below `low`, 1 above `high`, smooth between."""
    share = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(share * share * (3 - 2 * share), dtype=np.float32)


def blend(below: Image, above: Image, opacity: Image | float) -> Image:
    """`above` laid over `below` (height, width, 3) with `opacity` (height, width) or one number, in [0, 1]."""
    weight = three_channels(opacity) if isinstance(opacity, np.ndarray) else np.float32(opacity)
    return below + (above - below) * weight


def three_channels(values: Image) -> Image:
    """(height, width) -> (height, width, 3), the same in each channel; numpy is slow to broadcast so short an axis."""
    return np.asarray(cv2.merge([values] * 3), dtype=np.float32)
