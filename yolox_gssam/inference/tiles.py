"""Tiles of frames larger than the network's input, so that a target of ten pixels is not reduced to two.

A frame becomes overlapping tiles at its own scale and the whole frame, which holds what is larger than a tile. All go
through the network together, and of the boxes of one object only one is left.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from yolox_gssam.common.errors import UserError
from yolox_gssam.detections import Detections

Predict = Callable[[Sequence[NDArray[np.uint8]]], list[Detections]]
_BORDER = 2.0  # pixels from a tile's inner edge within which a box counts as cut
_LARGER = 2.0  # a frame that is reduced by no more than this, as in training, is not tiled by "auto"
_SHARED = 0.5  # share of the smaller box within the larger one from which both are one object
_ALIKE = 4.0  # greatest ratio of the areas of two whole boxes of one object


@dataclass(frozen=True)
class Tiling:
    """How frames are cut.

    Attributes:
        size_hw: height and width of a tile in the frame's pixels; a frame within it is not cut.
        overlap_px: least pixels that neighbours have in common, at most a quarter of a tile: a target up to this size
            is whole in some tile, a larger one is large enough to be found on the reduced frame.
        batch: at most so many tiles at once, which bounds the memory.
        auto: cut only frames that the network would see at less than half of their scale.
    """

    size_hw: tuple[int, int]
    overlap_px: int = 64
    batch: int = 16
    auto: bool = True

    def cuts(self, size_hw: tuple[int, int]) -> bool:
        """Whether a frame of height and width is cut."""
        reduced = max(size_hw[0] / self.size_hw[0], size_hw[1] / self.size_hw[1])
        return reduced > (_LARGER if self.auto else 1)

    def corners(self, size_hw: tuple[int, int]) -> list[tuple[int, int]]:
        """Top and left of each tile of a frame, evenly spread, row by row."""
        axes = zip(size_hw, self.size_hw, strict=True)
        tops, lefts = (_starts(length, side, self.overlap_px) for length, side in axes)
        return [(top, left) for top in tops for left in lefts]


def parse_tiling(text: str, input_size_hw: tuple[int, int]) -> Tiling | None:
    """The value of `--tiles`: "auto" (of the input's size, where needed), "off" (None) or a tile's side in pixels.

    Raises:
        UserError: another value.
    """
    if text == "off":
        return None
    if text == "auto":
        return Tiling(input_size_hw)
    if text.isdecimal() and int(text) >= 32:
        return Tiling((int(text), int(text)), auto=False)
    raise UserError(f"--tiles {text}: give auto, off, or the side of a tile in pixels, from 32")


def predict_tiled(predict: Predict, images: Sequence[NDArray[np.uint8]], tiling: Tiling) -> list[Detections]:
    """The objects on each image, best score first, in its pixels.

    Args:
        images: BGR (H, W, 3) each.
    """
    views: list[NDArray[np.uint8]] = []
    places: list[list[tuple[int, int]]] = []
    height, width = tiling.size_hw
    for image in images:
        size_hw = (image.shape[0], image.shape[1])
        corners = tiling.corners(size_hw) if tiling.cuts(size_hw) else []
        places.append(corners)
        views.append(image)
        views.extend(image[top : top + height, left : left + width] for top, left in corners)
    found: list[Detections] = []
    for start in range(0, len(views), tiling.batch):
        found += predict(views[start : start + tiling.batch])
    results, used = [], 0
    for image, corners in zip(images, places, strict=True):
        whole, tiles = found[used], found[used + 1 : used + 1 + len(corners)]
        used += 1 + len(corners)
        size_hw = (image.shape[0], image.shape[1])
        results.append(merge_tiles(whole, tiles, corners, size_hw, tiling.size_hw) if corners else whole)
    return results


def merge_tiles(
    whole: Detections,
    tiles: Sequence[Detections],
    corners: Sequence[tuple[int, int]],
    frame_hw: tuple[int, int],
    tile_hw: tuple[int, int],
) -> Detections:
    """One box for each object of a frame.

    Boxes that no inner edge of a tile cuts come first, those of tiles before those of the reduced frame, which are
    coarse, each by its score. One goes where a kept one of another view covers it, or lies in it: half of the smaller
    box, and, where neither is cut, areas within a factor of 4. Classes are not told apart: one object, one box.

    Args:
        whole: boxes of the whole frame.
        tiles: boxes of each tile in the tile's pixels.
        corners: top and left of each tile.
        frame_hw, tile_hw: height and width of the frame and of a tile.
    """
    parts = [whole.boxes_xyxy.astype(np.float64)]
    cuts = [np.zeros(len(whole), bool)]
    for detections, (top, left) in zip(tiles, corners, strict=True):
        placed = detections.boxes_xyxy.astype(np.float64) + np.array([left, top, left, top])
        parts.append(placed)
        cuts.append(_cut(placed, top, left, frame_hw, tile_hw))
    boxes, cut = np.concatenate(parts), np.concatenate(cuts)
    views = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    scores = np.concatenate([whole.scores, *(detections.scores for detections in tiles)])
    labels = np.concatenate([whole.labels, *(detections.labels for detections in tiles)])
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    kept: list[int] = []
    for row in np.lexsort((-scores, views == 0, cut)):
        others = np.array(kept, np.int64)
        others = others[views[others] != views[row]]
        overlap = np.minimum(boxes[others, 2:], boxes[row, 2:]) - np.maximum(boxes[others, :2], boxes[row, :2])
        shared = overlap.clip(min=0).prod(axis=1) / np.maximum(np.minimum(areas[others], areas[row]), 1e-9)
        ratio = np.maximum(areas[others], areas[row]) / np.maximum(np.minimum(areas[others], areas[row]), 1e-9)
        same = (shared >= _SHARED) & (cut[row] | cut[others] | (ratio <= _ALIKE))
        if not same.any():
            kept.append(int(row))
    order = np.array(sorted(kept, key=lambda row: -scores[row]), np.int64)
    return Detections(boxes[order].astype(np.float32), scores[order], labels[order])


def _starts(length: int, side: int, overlap_px: int) -> list[int]:
    """Where tiles of a side begin that cover a length with at least the overlap."""
    if length <= side:
        return [0]
    shared = min(overlap_px, side // 4)
    count = math.ceil((length - shared) / (side - shared))
    return [round(start) for start in np.linspace(0, length - side, count)]


def _cut(
    boxes: NDArray[np.float64], top: int, left: int, frame_hw: tuple[int, int], tile_hw: tuple[int, int]
) -> NDArray[np.bool_]:
    """Which boxes (in the frame's pixels) reach an edge of their tile that is not the frame's."""
    bottom, right = min(top + tile_hw[0], frame_hw[0]), min(left + tile_hw[1], frame_hw[1])
    cut = np.zeros(len(boxes), bool)
    if left > 0:
        cut |= boxes[:, 0] <= left + _BORDER
    if top > 0:
        cut |= boxes[:, 1] <= top + _BORDER
    if right < frame_hw[1]:
        cut |= boxes[:, 2] >= right - _BORDER
    if bottom < frame_hw[0]:
        cut |= boxes[:, 3] >= bottom - _BORDER
    return cut
