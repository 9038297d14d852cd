"""Which boxes of successive frames are of the same object."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

MAX_GAP = 15
"""Frames after which an object that comes again is another one."""
MAX_STEP = 1.5
"""How far an object may move between two frames, over the longer side of its loose box."""


def find_tracks(
    boxes_xywh: NDArray[np.float64], frame: NDArray[np.int64], labels: NDArray[np.int64]
) -> list[NDArray[np.int64]]:
    """Indices of the boxes of each object, by frame.

    Boxes of one class in neighbouring frames are joined so that the centres move least. Each box is in one track.
    """
    tracks: list[list[int]] = []
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        open_tracks: list[list[int]] = []
        for number in np.unique(frame[own]):
            here = own[frame[own] == number]
            open_tracks = [track for track in open_tracks if number - frame[track[-1]] <= MAX_GAP]
            taken = _pairs(boxes_xywh, [track[-1] for track in open_tracks], here)
            for index in here.tolist():
                if index in taken:
                    open_tracks[taken[index]].append(index)
                else:
                    open_tracks.append([index])
                    tracks.append(open_tracks[-1])
    return [np.array(track, np.int64) for track in tracks]


def _pairs(boxes_xywh: NDArray[np.float64], last: list[int], here: NDArray[np.int64]) -> dict[int, int]:
    """Which open track, by its number, each box of a frame goes on; boxes without one are left out."""
    if not last:
        return {}
    centres = boxes_xywh[:, :2] + boxes_xywh[:, 2:] / 2
    apart = np.linalg.norm(centres[last][:, None] - centres[here][None], axis=-1)
    apart /= boxes_xywh[last][:, None, 2:].max(axis=-1) + boxes_xywh[here][None, :, 2:].max(axis=-1)
    rows, columns = linear_sum_assignment(np.minimum(apart, MAX_STEP))
    return {
        int(here[column]): int(row)
        for row, column in zip(rows, columns, strict=True)
        if apart[row, column] < MAX_STEP / 2
    }
