"""Tight boxes of one clip: each frame measured by itself, judged and completed by its neighbours."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from yolox_gssam.data.refinement.find_tracks import find_tracks
from yolox_gssam.data.refinement.measure import SURE_SIGMAS, Candidate, measure_box

WAYS = ("measured", "carried", "shrunk")
"""How a tight box came about; `Refined.way` counts in this order."""
MEASURED, CARRIED, SHRUNK = range(3)
PADDING = 1.0
"""Pixels left around the measured box on each side; docs/labels.md says why so many."""
REACH = 10
"""Frames before and after that a measurement is judged by."""
CARRY = 15
"""Frames over which an object's place in its loose box and its size are carried."""
SIZE_FACTOR, CLEAR_SIZE_FACTOR, SIZE_PIXELS = 1.7, 2.5, 2.0
"""A side may differ from its neighbours' median by a factor, the second one where the contrast is `VERY_CLEAR_SIGMAS`
(wings beat), and by so many pixels more."""
VERY_CLEAR_SIGMAS = 25.0
PLACE_SHARE, PLACE_PIXELS = 0.22, 2.5
"""An object's place in its loose box may differ from its neighbours' by this share of the side and so many pixels."""
USUAL_RATIO = 0.42
"""Side of the object over the side of its loose box where nothing in the clip can be measured."""
LATER = 0.2
"""How much better, of the allowed difference, a less likely candidate must fit its neighbours than the likeliest."""
MAX_TORN = 0.4
"""Share of a track's frames with torn objects from which its loose boxes are kept."""
LARGE = 20.0
"""Sides from which a size is not smoothed: rotors turn, and a pixel matters less."""
MIN_KNOWN = 4
"""Measurements from which a median is taken."""


@dataclass(frozen=True, eq=False)
class Refined:
    """The tight boxes of a clip, in the order of the loose ones.

    Attributes:
        boxes_xyxy: (n, 4) float64 pixels, not padded.
        way: (n,) uint8 index into `WAYS`.
    """

    boxes_xyxy: NDArray[np.float64]
    way: NDArray[np.uint8]


def refine_clip(
    images: Iterable[tuple[int, NDArray[np.uint8]]],
    boxes_xywh: NDArray[np.float64],
    frame: NDArray[np.int64],
    labels: NDArray[np.int64],
) -> Refined:
    """Tight boxes of the objects in loose boxes.

    Args:
        images: number and pixels of each frame that has boxes, (h, w) grey or (h, w, 3) BGR; others are passed over.
        boxes_xywh: (n, 4) loose boxes in pixels.
        frame: (n,) number of the frame of each box, ascending.
        labels: (n,) class of each box.
    """
    found: list[list[Candidate]] = [[] for _ in range(len(frame))]
    size_wh = (1, 1)
    for number, image in images:
        size_wh = (image.shape[1], image.shape[0])
        for index in range(*np.searchsorted(frame, [number, number + 1])):
            found[index] = measure_box(image, boxes_xywh[index])
    return combine(found, boxes_xywh, frame, labels, size_wh)


def combine(
    found: Sequence[Sequence[Candidate]],
    boxes_xywh: NDArray[np.float64],
    frame: NDArray[np.int64],
    labels: NDArray[np.int64],
    size_wh: tuple[int, int],
) -> Refined:
    """Tight boxes from what was found in each loose box: `refine_clip` after the pixels.

    Args:
        found: candidates of each loose box, the likeliest first.
        size_wh: of the frames; tight boxes end there.
    """
    indices = find_tracks(boxes_xywh, frame, labels)
    tracks = [_Track(boxes_xywh[own], frame[own], [found[index] for index in own]) for own in indices]
    known = [track.ratio() for track in tracks if not track.torn and track.known.sum() >= MIN_KNOWN]
    usual = np.median(known, axis=0) if known else np.full(2, USUAL_RATIO)
    boxes, way = np.zeros((len(frame), 4)), np.zeros(len(frame), np.uint8)
    for own, track in zip(indices, tracks, strict=True):
        boxes[own], way[own] = track.complete(usual)
    limits = np.tile(np.array(size_wh, np.float64), 2)
    return Refined(np.clip(boxes, 0, limits), way)


class _Track:
    """One object through the frames of a clip.

    Attributes:
        torn: the object reaches out of its loose boxes, as vapour trails do: they cannot be made tight.
        known: (n,) whether a frame's measurement is believed.
        offset: (n, 2) from the centre of the loose box to that of the measured one; nan where not known.
        size: (n, 2) width and height measured; nan where not known.
    """

    def __init__(
        self, boxes_xywh: NDArray[np.float64], frame: NDArray[np.int64], found: Sequence[Sequence[Candidate]]
    ) -> None:
        self.centre = boxes_xywh[:, :2] + boxes_xywh[:, 2:] / 2
        self.side = boxes_xywh[:, 2:]
        self.frame = frame
        self.torn = sum(bool(own) and own[0].torn for own in found) > MAX_TORN * len(found)
        boxes = np.full((len(found), max(1, *(len(candidates) for candidates in found), 1), 4), np.nan)
        for index, candidates in enumerate(found):
            boxes[index, : len(candidates)] = [candidate.box_xyxy for candidate in candidates] or np.zeros((0, 4))
        self.sizes = boxes[..., 2:] - boxes[..., :2]  # (n, most candidates, 2)
        self.offsets = (boxes[..., :2] + boxes[..., 2:]) / 2 - self.centre[:, None]
        clear = np.array([[bool(own) and own[0].sigmas >= VERY_CLEAR_SIGMAS] for own in found], bool)
        self.factor = np.where(clear, CLEAR_SIZE_FACTOR, SIZE_FACTOR)[..., None]
        sure = np.array([bool(candidates) and candidates[0].sigmas >= SURE_SIGMAS for candidates in found], bool)
        self._take(np.where(sure, 0, -1))
        for _ in range(3):
            self._choose()

    def ratio(self) -> NDArray[np.float64]:
        """Median of measured over loose width and height."""
        return np.asarray(np.nanmedian(self.size / self.side, axis=0))

    def complete(self, usual: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
        """Boxes (n, 4) xyxy and ways (n,); `usual` is the ratio of other tracks, for one without measurements."""
        way = np.full(len(self.frame), SHRUNK, np.uint8)
        if self.torn:
            return np.concatenate([self.centre - self.side / 2, self.centre + self.side / 2], axis=1), way
        many = self.known.sum() >= MIN_KNOWN
        ratio = self.ratio() if many else usual
        shift = np.nanmedian(self.offset / self.side, axis=0) if many else np.zeros(2)
        size, offset = ratio * self.side, shift * self.side
        if self.known.any():
            smooth = _smoothed(self.size)
            near = _distance(self.frame, self.known) <= CARRY
            way[near], way[self.known] = CARRIED, MEASURED
            for axis in range(2):
                at = self.frame[self.known]
                size[near, axis] = np.interp(self.frame, at, smooth[self.known, axis])[near]
                offset[near, axis] = np.interp(self.frame, at, self.offset[self.known, axis])[near]
        centre = self.centre + offset
        return np.concatenate([centre - size / 2, centre + size / 2], axis=1), way

    def _take(self, chosen: NDArray[np.int64]) -> None:
        """Believes one candidate a frame; -1: none."""
        rows = np.arange(len(chosen))
        self.known = chosen >= 0
        self.size, self.offset = self.sizes[rows, chosen], self.offsets[rows, chosen]
        self.size[~self.known] = self.offset[~self.known] = np.nan

    def _choose(self) -> None:
        """Takes in each frame the candidate that is most like the neighbours' and drops what is unlike them."""
        if self.known.sum() < MIN_KNOWN:
            self._take(np.full(len(self.frame), -1))
            return
        size, offset = _local_median(self.size)[:, None], _local_median(self.offset)[:, None]
        grown = np.maximum(self.sizes, size) / (np.minimum(self.sizes, size) * self.factor + SIZE_PIXELS)
        apart = np.abs(self.offsets - offset) / (PLACE_SHARE * self.side + PLACE_PIXELS)[:, None]
        misfit = np.nan_to_num(np.maximum(grown, apart).max(axis=-1), nan=np.inf)
        rank = np.where(misfit < 1, misfit, np.inf)
        rank[:, 1:] += LATER
        best = rank.argmin(axis=1)
        self._take(np.where(np.isfinite(rank[np.arange(len(rank)), best]), best, -1))


def _local_median(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median of the known rows within `REACH`, of all known ones where those are too few: (n, 2)."""
    padded = np.pad(values, ((REACH, REACH), (0, 0)), constant_values=np.nan)
    windows = np.sort(sliding_window_view(padded, 2 * REACH + 1, axis=0), axis=-1)  # nan comes last
    count = (~np.isnan(windows[:, 0])).sum(axis=-1)
    middles = [np.maximum(count - 1, 0) // 2, count // 2]
    median = np.mean([windows[np.arange(len(values)), :, middle] for middle in middles], axis=0)
    median[count < MIN_KNOWN] = np.nanmedian(values, axis=0)
    return np.asarray(median)


def _smoothed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Small sizes without jitter: median of three known neighbours, then a weighted mean of three; nan stays nan."""
    known = ~np.isnan(values[:, 0])
    rows = np.pad(values[known], ((1, 1), (0, 0)), mode="edge")
    rows = np.median(sliding_window_view(rows, 3, axis=0), axis=-1)
    rows = np.pad(rows, ((1, 1), (0, 0)), mode="edge")
    rows = sliding_window_view(rows, 3, axis=0) @ np.array([0.25, 0.5, 0.25])
    smooth = np.full_like(values, np.nan)
    smooth[known] = np.where(values[known] < LARGE, rows, values[known])
    return smooth


def _distance(frame: NDArray[np.int64], known: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Frames to the nearest known one: (n,)."""
    return np.asarray(np.abs(frame[:, None] - frame[known][None]).min(axis=1))


def padded_xywh(
    boxes_xyxy: NDArray[np.float64], padding: float = PADDING, size_wh: tuple[int, int] | None = None
) -> NDArray[np.float64]:
    """Boxes (n, 4) xywh with `padding` pixels more on each side, within the image where its size is given."""
    boxes = boxes_xyxy + np.array([-padding, -padding, padding, padding])
    if size_wh is not None:
        boxes = np.clip(boxes, 0, np.tile(np.array(size_wh, np.float64), 2))
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
