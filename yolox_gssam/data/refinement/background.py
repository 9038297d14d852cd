"""The background behind an object, estimated from the pixels around it, and what differs from it."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

MIN_NOISE = 1.0
"""Grey values of noise at least: compressed films have sky without any."""
MAX_SAMPLES = 600
"""Pixels that a background is fitted to at most."""
ROUNDS = 5


@dataclass(frozen=True, eq=False)
class Contrast:
    """What differs from a background.

    Attributes:
        values: (h, w) float32 grey values above the background.
        noise: robust standard deviation of the background, in grey values.
    """

    values: NDArray[np.float32]
    noise: float

    def smooth(self) -> "Contrast":
        """The same with less noise and softer edges, for faint objects."""
        values = np.asarray(cv2.GaussianBlur(self.values, (0, 0), 1.0), np.float32)
        return Contrast(values, noise_of(values.ravel()))


def contrasts(grey: NDArray[np.float32], box_xyxy: NDArray[np.float64]) -> Iterator[Contrast]:
    """Contrasts of a window against different backgrounds, the most trusted first.

    First a surface of second order through everything outside the inner four fifths of the loose box, then one
    through the outer part of the box alone, where a horizon or a roof lies just outside it; last what is brighter
    and what is darker than everything as wide as half the box.

    Args:
        grey: (h, w) the window.
        box_xyxy: the loose box in it.
    """
    yield fit_surface(grey, _ring(grey.shape, box_xyxy, 0.1, None))
    yield fit_surface(grey, _ring(grey.shape, box_xyxy, 0.22, 0.02))
    side = max(3, round(0.5 * float(min(box_xyxy[2:] - box_xyxy[:2])))) | 1
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (side, side))
    for operation in (cv2.MORPH_OPEN, cv2.MORPH_CLOSE):
        values = np.asarray(grey - cv2.morphologyEx(grey, operation, kernel), np.float32)
        middle = float(np.median(values))
        yield Contrast(values - middle, max(2 * MIN_NOISE, 1.5 * noise_of(values.ravel() - middle)))


def noise_of(values: NDArray[np.floating]) -> float:
    """Robust standard deviation of differences around 0, from `MIN_NOISE`."""
    magnitudes = np.abs(values)
    middle = len(magnitudes) // 2
    return max(MIN_NOISE, 1.4826 * float(np.partition(magnitudes, middle)[middle]))


def _ring(
    shape: tuple[int, ...], box_xyxy: NDArray[np.float64], inset: float, outset: float | None
) -> NDArray[np.bool_]:
    """Pixels outside the box drawn in by a share of its side; with `outset`, inside the box drawn out by that."""
    mask = np.ones(shape[:2], bool)
    if outset is not None:
        mask[:] = False
        mask[_block(box_xyxy, -outset)] = True
    mask[_block(box_xyxy, inset)] = False
    if mask.sum() < 24:  # the box fills the window
        mask[:] = True
    return mask


def _block(box_xyxy: NDArray[np.float64], inset: float) -> tuple[slice, slice]:
    """Rows and columns of a box drawn in by a share of its sides."""
    left, top, right, bottom = box_xyxy
    dx, dy = inset * (right - left), inset * (bottom - top)
    return (
        slice(max(0, round(top + dy)), max(0, round(bottom - dy))),
        slice(max(0, round(left + dx)), max(0, round(right - dx))),
    )


def fit_surface(grey: NDArray[np.float32], mask: NDArray[np.bool_]) -> Contrast:
    """Contrast against a polynomial of second order, fitted with Cauchy weights: a tree in a corner bends it little."""
    terms = _terms(*grey.shape)
    at = np.flatnonzero(mask)
    at = at[:: max(1, len(at) // MAX_SAMPLES)]
    design, values = terms[at], grey.ravel()[at].astype(np.float64)
    ridge = np.diag([1e-9, 1e-9, 1e-9, 1e-3, 1e-3, 1e-3]) * len(values)
    weighted = design
    for _ in range(ROUNDS):
        solution = np.linalg.solve(weighted.T @ design + ridge, weighted.T @ values)
        difference = values - design @ solution
        noise = noise_of(difference)
        weighted = design / (1 + (difference / (2 * noise)) ** 2)[:, None]
    return Contrast(grey - (terms @ solution).reshape(grey.shape).astype(np.float32), noise)


@lru_cache(maxsize=512)
def _terms(height: int, width: int) -> NDArray[np.float64]:
    """The six terms of second order at every pixel of a window: (height * width, 6)."""
    v, u = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    return np.stack([np.ones_like(u), u, v, u * u, u * v, v * v], axis=-1).reshape(-1, 6)
