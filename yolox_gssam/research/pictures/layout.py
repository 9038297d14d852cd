"""Pictures put together from panels, and the part of a picture around an object, enlarged."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from yolox_gssam.inference.drawing import Rectangle, fit_text
from yolox_gssam.inference.lettering import put_text
from yolox_gssam.inference.overlay import titled

PANEL_WIDTH = 400
"""Pixels of one panel."""

_GAP = 4
_BACKGROUND = 32
_FONT_SIZE = 16
_CONTEXT = 4.0  # sides of the object that a zoom shows
_LEAST_ZOOM = 48  # pixels of the image that a zoom is wide at least


def grid(rows: Sequence[Sequence[NDArray[np.uint8]]], heading: str) -> NDArray[np.uint8]:
    """Rows of panels (BGR, those of a row equally high) under a heading; rows may differ in length."""
    frame = ((0, _GAP), (0, _GAP), (0, 0))
    joined = [np.hstack([np.pad(panel, frame, constant_values=_BACKGROUND) for panel in row]) for row in rows]
    width = max(row.shape[1] for row in joined)
    strip = np.full((2 * _FONT_SIZE, width, 3), _BACKGROUND, np.uint8)
    put_text(strip, fit_text(heading, width, _FONT_SIZE), _GAP, _FONT_SIZE // 2, _FONT_SIZE, (255, 255, 255))
    padded = [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=_BACKGROUND) for row in joined]
    return np.vstack([strip, *padded])


def fit_panel(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture scaled to the width of a panel."""
    height = max(1, round(picture.shape[0] * PANEL_WIDTH / picture.shape[1]))
    interpolation = cv2.INTER_AREA if picture.shape[1] > PANEL_WIDTH else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, (PANEL_WIDTH, height), interpolation=interpolation), np.uint8)


def map_panel(
    picture: NDArray[np.uint8],
    values: NDArray[np.float32],
    title: str,
    box_xyxy: NDArray[np.float32] | None = None,
) -> NDArray[np.uint8]:
    """A picture of a map, or with a box the part around it, under a title with the smallest and largest value."""
    panel = fit_panel(picture) if box_xyxy is None else zoom(picture, box_xyxy)
    return titled(panel, title, (float(values.min()), float(values.max())))


def zoom_window(box_xyxy: NDArray[np.float32], size_hw: tuple[int, int]) -> Rectangle:
    """The part of an image around a box, which may reach beyond it, that a zoom shows: of the image's own shape and
    inside it."""
    height, width = size_hw
    left, top, right, bottom = (float(value) for value in box_xyxy)
    share = max(_CONTEXT * (right - left) / width, _CONTEXT * (bottom - top) / height, _LEAST_ZOOM / width)
    share = min(1.0, share)
    window_wh = (max(1, round(share * width)), max(1, round(share * height)))
    corner = [
        int(np.clip(round((low + high - side) / 2), 0, length - side))
        for low, high, side, length in zip((left, top), (right, bottom), window_wh, (width, height), strict=True)
    ]
    return corner[0], corner[1], corner[0] + window_wh[0], corner[1] + window_wh[1]


def zoom(picture: NDArray[np.uint8], box_xyxy: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The part of a picture around a box, as wide as a panel, with a thin frame where the box is."""
    left, top, right, bottom = zoom_window(box_xyxy, (picture.shape[0], picture.shape[1]))
    height = max(1, round(picture.shape[0] * PANEL_WIDTH / picture.shape[1]))  # as `fit_panel`
    cut = picture[top:bottom, left:right]
    enlarged = np.asarray(cv2.resize(cut, (PANEL_WIDTH, height), interpolation=cv2.INTER_CUBIC), np.uint8)
    scale = np.array([PANEL_WIDTH / (right - left), height / (bottom - top)] * 2)
    return mark_box(enlarged, (np.asarray(box_xyxy) - [left, top, left, top]) * scale)


def mark_box(picture: NDArray[np.uint8], box_xyxy: NDArray[np.floating]) -> NDArray[np.uint8]:
    """A copy of the picture with a thin frame, light on dark, around the box."""
    marked = picture.copy()
    left, top, right, bottom = (round(float(value)) for value in box_xyxy)
    for colour, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        cv2.rectangle(marked, (left - 2, top - 2), (right + 2, bottom + 2), colour, thickness)
    return marked
