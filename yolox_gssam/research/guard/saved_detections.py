"""The detections on the sampled frames of a film: made once, saved, and read again.

One compressed file per network, frame rate and film. A file that was made otherwise, or is damaged, is made anew.
"""

import hashlib
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from yolox_gssam.common.files import atomic_path
from yolox_gssam.data.formats.films import film_frames
from yolox_gssam.detections import Detections
from yolox_gssam.research.guard.labelled_film import LabelledFilm
from yolox_gssam.tracking.motion import CameraMotion
from yolox_gssam.watch.frame_detector import FrameDetector


@dataclass(frozen=True, eq=False)
class SavedDetections:
    """What a network found in a film.

    Attributes:
        frames: (n,) numbers of the frames, ascending.
        detections: of each of the n frames, in its pixels.
        shifts: (n, 2) pixels by which the picture moved since the sampled frame before, see `CameraMotion`.
        class_names: of the network's classes.
    """

    frames: NDArray[np.int64]
    detections: Sequence[Detections]
    shifts: NDArray[np.float64]
    class_names: Sequence[str]

    def save(self, path: Path, key: str) -> None:
        """Writes the file, whole or not at all.

        Args:
            key: what it was made with, see `detections_key`.

        Raises:
            UserError: it could not be written.
        """
        with atomic_path(path) as part:
            np.savez_compressed(
                part,
                key=np.array(key),
                frames=self.frames,
                shifts=self.shifts,
                class_names=np.array(self.class_names, dtype=str),
                counts=np.array([len(found) for found in self.detections], np.int64),
                boxes=np.concatenate([np.zeros((0, 4), np.float32), *(found.boxes_xyxy for found in self.detections)]),
                scores=np.concatenate([np.zeros(0, np.float32), *(found.scores for found in self.detections)]),
                labels=np.concatenate([np.zeros(0, np.int64), *(found.labels for found in self.detections)]),
            )

    @classmethod
    def load(cls, path: Path, key: str) -> "SavedDetections | None":
        """What `save` wrote; None: not there, damaged, or made with something else."""
        try:
            with np.load(path, allow_pickle=False) as arrays:
                if str(arrays["key"]) != key:
                    return None
                columns = [arrays[name] for name in ("boxes", "scores", "labels")]
                ends = np.cumsum(arrays["counts"])
                # What np.split leaves behind the last end is empty.
                rows = zip(*(np.split(column, ends)[:-1] for column in columns), strict=True)
                detections = [Detections(*row) for row in rows]
                return cls(arrays["frames"], detections, arrays["shifts"], arrays["class_names"].tolist())
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None


def detections_key(film: LabelledFilm, frames: NDArray[np.int64], settings: dict[str, object]) -> str:
    """A hash of all that decides what is found: the film, the frames, the network and how it runs.

    Args:
        settings: of the network, as JSON can hold them.
    """
    what = {"film": [film.size, film.mtime_ns, film.size_wh], "frames": frames.tolist(), **settings}
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


class FilmDetector(FrameDetector, Protocol):
    """A network that says what its classes are called."""

    @property
    def class_names(self) -> Sequence[str]:
        """In the order of the labels."""
        ...


def detect_film(
    detector: FilmDetector, film: LabelledFilm, frames: NDArray[np.int64], batch_size: int
) -> SavedDetections:
    """Runs a network over the frames of a film.

    Raises:
        UserError: a frame that cannot be decoded.
    """
    motion = CameraMotion()
    found: list[Detections] = []
    shifts: list[NDArray[np.float64]] = []
    waiting: list[NDArray[np.uint8]] = []
    for _, image in film_frames(Path(film.path), set(frames.tolist())):
        shifts.append(motion.shift(image))
        waiting.append(image)
        if len(waiting) == batch_size:
            found += detector.detect(waiting)
            waiting = []
    if waiting:
        found += detector.detect(waiting)
    return SavedDetections(frames, found, np.array(shifts, np.float64).reshape(-1, 2), detector.class_names)
