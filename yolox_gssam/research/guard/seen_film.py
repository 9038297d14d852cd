"""A film as it is replayed: its sampled frames with what was found there, and where its drones really are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from yolox_gssam.data.labelled import xywh_to_xyxy
from yolox_gssam.detections import Detections
from yolox_gssam.evaluation.matching import centre_distances
from yolox_gssam.research.guard.labelled_film import LabelledFilm
from yolox_gssam.research.guard.saved_detections import SavedDetections


@dataclass(frozen=True, eq=False)
class SeenFilm:
    """The n sampled frames of a film.

    Attributes:
        name: of the clip.
        sensor: that its name tells; None: none.
        classes: of its objects, in lower case.
        times_s: (n,) seconds from its start.
        detections: n, in pixels of the frame.
        shifts: (n, 2) see `SavedDetections`.
        drones_xyxy: n times (m, 4), the true drones.
        drone_tracks: n times (m,), the track of each, from 1; 0: not told.
        first_s: when the first drone is to be seen, on any frame; None: never.
        seconds: how long it is.
    """

    name: str
    sensor: str | None
    classes: frozenset[str]
    times_s: NDArray[np.float64]
    detections: Sequence[Detections]
    shifts: NDArray[np.float64]
    drones_xyxy: Sequence[NDArray[np.float64]]
    drone_tracks: Sequence[NDArray[np.int64]]
    first_s: float | None
    seconds: float

    def on_drone(self, frame: int, boxes_xyxy: NDArray[np.float32]) -> NDArray[np.bool_]:
        """(k,) which of the boxes (k, 4) lie on a drone of the frame, by centre, see `centre_distances`."""
        count = len(boxes_xyxy)
        found = Detections(boxes_xyxy, np.ones(count, np.float32), np.zeros(count, np.int64))
        return np.asarray(centre_distances(found, self.drones_xyxy[frame])[1].any(axis=1))


def see_film(film: LabelledFilm, saved: SavedDetections, fps: float, drone: str) -> SeenFilm:
    """Puts what was found beside what is there.

    Args:
        fps: that the film was sampled at.
        drone: name of the class that raises alarms, in any case.
    """
    drones = [box for box in film.boxes if box[5].lower() == drone.lower()]
    by_frame: dict[int, list[tuple[int, float, float, float, float, str, int]]] = {}
    for box in drones:
        by_frame.setdefault(box[0], []).append(box)
    rows = [by_frame.get(frame, []) for frame in saved.frames.tolist()]
    return SeenFilm(
        name=film.name,
        sensor=film.sensor,
        classes=film.classes,
        times_s=saved.frames / film.fps,
        detections=saved.detections,
        shifts=saved.shifts,
        drones_xyxy=[xywh_to_xyxy(np.array([box[1:5] for box in row], np.float64).reshape(-1, 4)) for row in rows],
        drone_tracks=[np.array([box[6] for box in row], np.int64) for row in rows],
        first_s=min(by_frame) / film.fps if by_frame else None,
        seconds=len(saved.frames) / min(fps, film.fps),
    )
