"""Labelled films as the measures take them, kept in a file so that they are decoded and parsed once."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from loguru import logger
from numpy.typing import NDArray

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.files import write_text
from yolox_gssam.common.text import printable
from yolox_gssam.data.faults import Fault
from yolox_gssam.data.formats.film_labels import FilmBox
from yolox_gssam.data.formats.samples import walk_files
from yolox_gssam.data.formats.svanstrom_refined import REFINED_PATH, refine_film_labels
from yolox_gssam.data.formats.video import Clip, read_clips
from yolox_gssam.data.refinement.packed import PackedClips
from yolox_gssam.evaluation.operating import SENSORS

_DEFAULT_RATE = 25.0  # of a film that tells none, as watching takes it
_LAYOUT = 1  # of the file; another one is written anew


@dataclass(frozen=True)
class LabelledFilm:
    """A film and what is in it.

    Attributes:
        name: of the clip.
        group: clips of one group are in one split of a data set.
        path: the film file, or the folder of its frames.
        size, mtime_ns: of the file; 0 of a folder.
        fps: frames per second.
        size_wh: of the frames, in pixels.
        frames: numbers of the frames whose objects are known, ascending.
        boxes: frame, x, y, width, height (pixels), class and track (from 1; 0: not told) of each object.
        labelled: False: nobody labelled it, and it counts as a film without objects.
        linked: a program found the tracks, not those who labelled it.
    """

    name: str
    group: str
    path: str
    size: int
    mtime_ns: int
    fps: float
    size_wh: tuple[int, int]
    frames: Sequence[int]
    boxes: Sequence[tuple[int, float, float, float, float, str, int]]
    labelled: bool
    linked: bool

    @property
    def sensor(self) -> str | None:
        """The sensor that the clip's name tells; None: none."""
        return next((sensor for start, sensor in SENSORS.items() if self.name.startswith(start)), None)

    @property
    def classes(self) -> frozenset[str]:
        """The classes of its objects, in lower case."""
        return frozenset(box[5].lower() for box in self.boxes)

    def sample(self, fps: float) -> NDArray[np.int64]:
        """The frames to look at, in order: of each 1/`fps` seconds the first known one."""
        frames = np.asarray(self.frames, np.int64)
        slots = np.floor(frames * (fps / self.fps) + 1e-6)
        return frames[np.unique(slots, return_index=True)[1]]


def read_films(root: Path, folder: Path) -> list[LabelledFilm]:
    """All films below `root`, by name; those without labels count as films without objects.

    Svanström's published labels, which are loose, are replaced by the refined ones.

    Args:
        folder: what was read is kept there, until a file below `root` changes.

    Raises:
        UserError: no films, or one that cannot be read, or faulty labels.
    """
    if not root.is_dir():
        raise UserError(f"--clips {printable(root)}: no such folder; give a folder of films and their labels")
    kept = folder / f"{_fingerprint(root)}.json"
    films = _load(kept)
    if films is None:
        packed = PackedClips.from_file(REFINED_PATH)
        clips = read_clips(root, _tell, keep_unlabelled=True)
        films = sorted((_labelled_film(clip, packed) for clip in clips), key=lambda film: film.name)
        write_text(kept, json.dumps({"layout": _LAYOUT, "films": [asdict(film) for film in films]}))
    bare = sum(not film.labelled for film in films)
    if bare:
        print(f"{bare} of {len(films)} films have no labels: they count as films without any drone")
    return films


def _tell(fault: Fault) -> None:
    if fault.fatal:
        raise UserError(str(fault))
    logger.warning(str(fault))


def _labelled_film(clip: Clip, packed: PackedClips) -> LabelledFilm:
    film, labels = clip.film, refine_film_labels(clip.labels, packed)
    if not film.fps:
        logger.warning(f"{printable(film.path)}: tells no frame rate; taken for {_DEFAULT_RATE:g} frames per second")
    scale = film.size_wh if labels.fractions else (1, 1)
    status = film.path.stat() if film.path.is_file() else None
    return LabelledFilm(
        name=clip.name,
        group=labels.group or clip.name,
        path=str(film.path),
        size=status.st_size if status else 0,
        mtime_ns=status.st_mtime_ns if status else 0,
        fps=film.fps or _DEFAULT_RATE,
        size_wh=film.size_wh,
        frames=[number for number in clip.frames if number not in labels.unclear],
        boxes=[_row(box, scale) for box in labels.boxes],
        labelled=labels.path != film.path,
        linked=labels.linked,
    )


def _row(box: FilmBox, scale: tuple[int, int]) -> tuple[int, float, float, float, float, str, int]:
    x, y, width, height = box.box
    horizontal, vertical = scale
    sides = (x * horizontal, y * vertical, width * horizontal, height * vertical)
    left, top, wide, high = (round(side, 3) for side in sides)
    return box.frame, left, top, wide, high, box.name, box.track


def _fingerprint(root: Path) -> str:
    """What changes with any file below a folder."""
    digest = hashlib.sha256(str(root.resolve()).encode())
    for path in walk_files(root):
        if path.is_file():
            status = path.stat()
            digest.update(f"{path.relative_to(root)}\0{status.st_size}\0{status.st_mtime_ns}\0".encode())
    return digest.hexdigest()[:16]


def _load(path: Path) -> list[LabelledFilm] | None:
    """The films in a file of `read_films`; None: not there, or of another layout."""
    try:
        document = json.loads(path.read_bytes())
        if document["layout"] != _LAYOUT:
            return None
        return [LabelledFilm(**{**film, "size_wh": tuple(film["size_wh"])}) for film in document["films"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None
