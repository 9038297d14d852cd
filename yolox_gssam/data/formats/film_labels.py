"""The labels of a film, whatever file they come from: boxes by frame and track."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.text import printable
from yolox_gssam.data.formats.films import FILM_SUFFIXES, is_frame
from yolox_gssam.data.formats.samples import walk_files

Box = tuple[float, float, float, float]
"""x, y, width, height."""


@dataclass(frozen=True)
class FilmBox:
    """An object in a frame.

    Attributes:
        frame: its number, from 0.
        box: in pixels of the frame from 0, or in fractions of it, see `FilmLabels`.
        name: its class.
        track: its number in the film, from 1; 0: the labels tell none.
    """

    frame: int
    box: Box
    name: str
    track: int = 0


@dataclass(frozen=True, eq=False)
class FilmLabels:
    """What a label file says of a film.

    Attributes:
        film: the film file, or the folder of its frames.
        frames: the labelled frames; a frame without a box among them shows no object. None: all of the film.
        group: clips of one group, as of one scene by two cameras, stay in one split; None: the clip is one by itself.
        stated_count: how many frames the film has by the labels; None: they do not say.
        fractions: boxes are fractions of the frame.
        unclear: frames whose objects are not told, to be left out.
        linked: the tracks come from a program here, not from the labels.
        may_start_at_one: frames may be counted from 1, if the last label fits the film's length only so.
        needs_count: frames are told by time, so that a film of another length than stated puts labels on wrong frames.
    """

    path: Path
    film: Path
    frames: Sequence[int] | None
    boxes: Sequence[FilmBox]
    group: str | None = None
    stated_count: int | None = None
    fractions: bool = False
    unclear: frozenset[int] = frozenset()
    linked: bool = False
    may_start_at_one: bool = False
    needs_count: bool = False


@dataclass(frozen=True)
class KeyBox:
    """A box that was drawn by hand.

    Attributes:
        ends: the object is not seen after this frame, until the next box.
        hidden: nor in this frame.
    """

    frame: int
    box: Box
    ends: bool = False
    hidden: bool = False


def interpolate(keys: Sequence[KeyBox], last_frame: int, step: int = 1) -> dict[int, Box]:
    """The box in each frame of a track: on a straight line between those drawn, the last one kept up to the end.

    Args:
        keys: by frame.
        last_frame: of the film, or of what was labelled of it.
        step: every so many frames were labelled.
    """
    boxes: dict[int, Box] = {}
    for key, following in zip(keys, [*keys[1:], None], strict=True):
        if key.hidden:
            continue
        boxes[key.frame] = key.box
        if key.ends:
            continue
        # Towards a box that is hidden there is nothing to go: the last one seen stays.
        until = following.frame if following else last_frame + 1
        target = following.box if following and not following.hidden else key.box
        for frame in range(key.frame + step, until, step):
            share = (frame - key.frame) / (until - key.frame)
            x, y, w, h = (low + share * (high - low) for low, high in zip(key.box, target, strict=True))
            boxes[frame] = (x, y, w, h)
    return boxes


class FilmFinder:
    """The films below the folder `root`, found by name.

    Attributes:
        files: all files in it.
        films: film files and folders of frames by their name without the suffix.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files = walk_files(root)
        self.films: dict[str, list[Path]] = {}
        for folder in sorted({path.parent for path in self.files if is_frame(path)}):
            self.films.setdefault(folder.name, []).append(folder)
        for path in self.files:
            if path.suffix.lower() in FILM_SUFFIXES:
                self.films.setdefault(path.stem, []).append(path)

    def find(self, label_path: Path, stem: str) -> Path | None:
        """The film of a name: the one that shares most folders with the label file; None: there is none, or two."""
        found = self.films.get(stem, [])
        shared = [len(Path(os.path.commonpath([path.parent, label_path.parent])).parts) for path in found]
        best = [path for path, depth in zip(found, shared, strict=True) if depth == max(shared)]
        return best[0] if len(best) == 1 else None

    def require(self, label_path: Path, stem: str) -> Path:
        """The film of a name.

        Raises:
            UserError: there is none, or there are several.
        """
        film = self.find(label_path, stem)
        if film is None:
            count = len(self.films.get(stem, []))
            what = f"{count} films are" if count else "no film and no folder of frames is"
            raise UserError(f"{printable(label_path)}: {what} called {printable(stem)} below {printable(self.root)}")
        return film

    def name_of(self, film: Path) -> str:
        """A name for a clip that no other film has: its path below the folder."""
        parts = (
            film.relative_to(self.root).with_suffix("").parts if film.is_file() else film.relative_to(self.root).parts
        )
        unique = len(self.films.get(parts[-1] if parts else "", [])) == 1
        return parts[-1] if unique and parts else "_".join(parts) or film.resolve().name
