"""How well tracks keep to one drone: switches of identity, IDF1 and HOTA, by the package trackeval.

J. Luiten et al., "HOTA: A Higher Order Metric for Evaluating Multi-Object Tracking", IJCV 2021; E. Ristani et al.,
"Performance Measures and a Data Set for Multi-Target, Multi-Camera Tracking", 2016 (IDF1); K. Bernardin and
R. Stiefelhagen, "Evaluating Multiple Object Tracking Performance: The CLEAR MOT Metrics", 2008 (switches).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolox_gssam.detections import Detections
from yolox_gssam.evaluation.matching import centre_distances, centre_limits, pairwise_iou
from yolox_gssam.research.guard.replay import TrackReplay
from yolox_gssam.research.guard.seen_film import SeenFilm

INSTALL = "pip install 'yolox-gssam[tracking]'"
"""What to type where trackeval is missing."""

Closeness = Callable[[Detections, NDArray[np.float64]], NDArray[np.float64]]


def closeness_by_centre(found: Detections, boxes_xyxy: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, m) 1 where centres meet, 0.5 at the limit of `centre_distances`, 0 beyond."""
    distances, near = centre_distances(found, boxes_xyxy)
    return np.where(near, 1 - distances / (2 * centre_limits(boxes_xyxy)), 0.0)


RULES: dict[str, Closeness] = {"by_centre": closeness_by_centre, "by_iou": pairwise_iou}
"""How close a track's box and a drone are, 0 to 1; from 0.5 on it lies on it."""


@dataclass(frozen=True)
class Identities:
    """The tracks of drones in films that show one.

    Attributes:
        films: how many.
        switches: how often a drone's track changes.
        idf1, hota, detection, association: from 0 to 1; HOTA is the root of the product of the last two, averaged
            over the closeness asked for.
    """

    films: int
    switches: int
    idf1: float
    hota: float
    detection: float
    association: float

    @property
    def switches_per_film(self) -> float:
        """Per film with a drone."""
        return self.switches / self.films


def measure_identities(films: Sequence[tuple[SeenFilm, TrackReplay]]) -> dict[str, Identities] | None:
    """The measures of each of `RULES`; None without trackeval, or without films of drones whose tracks are labelled."""
    if find_spec("trackeval") is None:
        return None
    known = [(film, replay) for film, replay in films if film.first_s is not None and _tells_tracks(film)]
    return {name: _measure(known, closeness) for name, closeness in RULES.items()} if known else None


def _measure(films: Sequence[tuple[SeenFilm, TrackReplay]], closeness: Closeness) -> Identities:
    from trackeval.metrics import CLEAR, HOTA, Identity

    quiet = {"PRINT_CONFIG": False}
    sequences = {str(number): _sequence(film, replay, closeness) for number, (film, replay) in enumerate(films)}
    results = []
    for metric in (CLEAR(quiet), Identity(quiet), HOTA()):
        own = {name: metric.eval_sequence(sequence) for name, sequence in sequences.items()}
        results.append(metric.combine_sequences(own))
    clear, identity, hota = results
    return Identities(
        films=len(films),
        switches=int(clear["IDSW"]),
        idf1=float(identity["IDF1"]),
        hota=float(np.mean(hota["HOTA"])),
        detection=float(np.mean(hota["DetA"])),
        association=float(np.mean(hota["AssA"])),
    )


def _sequence(film: SeenFilm, replay: TrackReplay, closeness: Closeness) -> dict[str, Any]:
    """A film in the form that trackeval takes: ids counted from 0 on, closeness (drones, tracks) of each frame."""
    shown = replay.shown()
    true_ids, true_count = _renumber(film.drone_tracks)
    found_ids, found_count = _renumber([ids for ids, _ in shown])
    boxes = [Detections(own, np.ones(len(own), np.float32), np.zeros(len(own), np.int64)) for _, own in shown]
    return {
        "num_timesteps": len(shown),
        "num_gt_ids": true_count,
        "num_tracker_ids": found_count,
        "num_gt_dets": sum(map(len, true_ids)),
        "num_tracker_dets": sum(map(len, found_ids)),
        "gt_ids": true_ids,
        "tracker_ids": found_ids,
        "similarity_scores": [closeness(found, true).T for found, true in zip(boxes, film.drones_xyxy, strict=True)],
    }


def _renumber(ids: Sequence[NDArray[np.int64]]) -> tuple[list[NDArray[np.int64]], int]:
    """The same ids as numbers from 0 without gaps, and how many there are."""
    every, numbers = np.unique(np.concatenate([np.zeros(0, np.int64), *ids]), return_inverse=True)
    return np.split(numbers, np.cumsum([len(own) for own in ids]))[:-1], len(every)


def _tells_tracks(film: SeenFilm) -> bool:
    """Whether each drone on the sampled frames has a track; of a film whose drones are all between them, none has."""
    ids = np.concatenate([np.zeros(0, np.int64), *film.drone_tracks])
    return bool(len(ids)) and bool((ids > 0).all())
