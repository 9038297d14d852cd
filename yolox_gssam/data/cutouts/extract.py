"""Objects cut out of labelled images, where they stand before a calm background."""

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from yolox_gssam.data.cutouts.bank import MOST_SIDE
from yolox_gssam.data.refinement.background import MIN_NOISE, fit_surface, noise_of

MARGIN = 0.6
"""Width of the surroundings that are looked at, over the box's longer side."""
CALM = 12.0
"""Standard deviation of the surroundings, in grey values, up to which they are calm."""
CLEAR_SIGMAS = 8.0
"""Contrast over noise from which an object is cut out."""
FAINT = 0.1
"""Opacity up to which a pixel does not count as part of what is seen."""
OPAQUE_SHARE = 0.35
"""From this share of its strongest contrast on an object is opaque."""


def cut_out(image: NDArray[np.uint8], box_xyxy: NDArray[np.float64]) -> NDArray[np.uint8] | None:
    """The object in a box as (h, w, 4) uint8 BGRA, cut to what is seen of it; None where it does not stand out clearly.

    The background is a surface fitted to what is around the box. What differs from it by much is opaque, by the noise
    transparent; colours of half-covered pixels are freed from the background's share in them.

    Args:
        image: (H, W, 3) uint8 BGR.
        box_xyxy: pixels of the image, tight or loose.
    """
    window = _window(image.shape, box_xyxy)
    pixels = image[window].astype(np.float32)
    top, left = window[0].start, window[1].start
    box = box_xyxy - np.array([left, top, left, top])
    outside = np.ones(pixels.shape[:2], bool)
    x0, y0, x1, y1 = np.clip(np.round(box), 0, None).astype(int).tolist()
    outside[y0:y1, x0:x1] = False
    if outside.sum() < 40 or pixels[outside].mean(axis=1).std() > CALM:
        return None
    contrast = np.stack([fit_surface(pixels[..., channel], outside).values for channel in range(3)], axis=-1)
    strength = np.asarray(cv2.GaussianBlur(np.abs(contrast).max(axis=-1), (0, 0), 0.5), np.float32)
    noise = max(MIN_NOISE, noise_of(strength[outside]))
    peak = float(np.percentile(strength[~outside], 98)) if (~outside).any() else 0.0
    if peak < CLEAR_SIGMAS * noise:
        return None
    low, high = 3 * noise, max(OPAQUE_SHARE * peak, 4 * noise)
    alpha = np.clip((strength - low) / (high - low), 0, 1)
    mask = _connected(alpha > 0, (slice(y0, y1), slice(x0, x1)))
    if mask is None:
        return None
    alpha = np.where(mask, alpha, 0)
    seen = alpha > FAINT
    if not seen.any():
        return None
    # background + alpha (object - background) = pixel
    colours = pixels - contrast + contrast / np.maximum(alpha, 0.3)[..., None]
    bgra = np.dstack([np.clip(colours, 0, 255), 255 * alpha]).round().astype(np.uint8)
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    return np.ascontiguousarray(bgra[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])


def shrink(bgra: NDArray[np.uint8], most_side: int = MOST_SIDE) -> NDArray[np.uint8]:
    """The cut-out with its longer side at most so many pixels, averaged with alpha taken into account."""
    scale = most_side / max(bgra.shape[:2])
    if scale >= 1:
        return bgra
    return scaled(bgra, scale)


def scaled(bgra: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    """The cut-out with its sides times `scale`, at least one pixel each; transparent pixels' colours do not count."""
    height, width = (max(1, round(scale * side)) for side in bgra.shape[:2])
    alpha = bgra[..., 3:].astype(np.float32) / 255
    multiplied = np.dstack([bgra[..., :3] * alpha, alpha])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    resized = np.asarray(cv2.resize(multiplied, (width, height), interpolation=how), np.float32).reshape(
        height, width, 4
    )
    colours = resized[..., :3] / np.maximum(resized[..., 3:], 1e-3)
    return np.dstack([np.clip(colours, 0, 255), 255 * resized[..., 3:]]).round().astype(np.uint8)


def from_picture(bgra: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """A picture with alpha as a cut-out: without its empty border, at most `MOST_SIDE`; None where it is empty."""
    rows, columns = np.flatnonzero((bgra[..., 3] > 25).any(axis=1)), np.flatnonzero((bgra[..., 3] > 25).any(axis=0))
    if not len(rows):
        return None
    return shrink(bgra[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])


def sheet(cutouts: Iterable[NDArray[np.uint8]], columns: int = 20, side: int = MOST_SIDE) -> NDArray[np.uint8]:
    """A contact sheet of cut-outs over sky blue, BGR."""
    cells = []
    for bgra in cutouts:
        cell = np.full((side, side, 3), (235, 206, 170), np.float32)
        height, width = bgra.shape[:2]
        top, left = (side - height) // 2, (side - width) // 2
        alpha = bgra[..., 3:] / np.float32(255)
        area = cell[top : top + height, left : left + width]
        area += alpha * (bgra[..., :3] - area)
        cells.append(cell.round().astype(np.uint8))
    cells += [np.full((side, side, 3), 255, np.uint8)] * (-len(cells) % columns)
    return np.vstack([np.hstack(cells[start : start + columns]) for start in range(0, len(cells), columns)])


def _window(shape: tuple[int, ...], box_xyxy: NDArray[np.float64]) -> tuple[slice, slice]:
    """Rows and columns of a box and its surroundings."""
    margin = max(6.0, MARGIN * float(max(box_xyxy[2:] - box_xyxy[:2])))
    left, top = np.maximum(0, np.floor(box_xyxy[:2] - margin)).astype(int).tolist()
    right, bottom = np.ceil(box_xyxy[2:] + margin).astype(int).tolist()
    return slice(top, min(shape[0], bottom)), slice(left, min(shape[1], right))


def _connected(mask: NDArray[np.bool_], inside: tuple[slice, slice]) -> NDArray[np.bool_] | None:
    """The regions that lie mostly in the box; None where one of them reaches the window's border or there is none."""
    count, regions, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    own = np.bincount(np.asarray(regions)[inside].ravel(), minlength=count)
    kept = [index for index in range(1, count) if own[index] > 0.5 * stats[index, cv2.CC_STAT_AREA]]
    if not kept:
        return None
    found = np.isin(np.asarray(regions), kept)
    border = np.concatenate([found[0], found[-1], found[:, 0], found[:, -1]])
    return None if border.any() else found
