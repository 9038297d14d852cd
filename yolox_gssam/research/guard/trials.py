"""Networks and the films that each is tried on: one on all films, or one per fold on those of its test split."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.files import sha256_of
from yolox_gssam.common.shipped import NETWORKS, find_network
from yolox_gssam.common.text import printable
from yolox_gssam.data.coco_reader import load_split
from yolox_gssam.research.guard.labelled_film import LabelledFilm

FOLD = "{fold}"
"""Stands for the number of the fold in a path of networks."""


@dataclass(frozen=True)
class Trial:
    """A network and its films.

    Attributes:
        weights: its file, or the name of one that comes along.
        fold: of the data set; None: it has none.
        tested: the films that are measured.
        calibrated: the films that its threshold is taken from.
    """

    weights: str
    fold: int | None
    tested: Sequence[LabelledFilm]
    calibrated: Sequence[LabelledFilm]

    @property
    def in_sample(self) -> bool:
        """Whether the threshold is taken from the very films that are measured."""
        return self.tested is self.calibrated


def plan_trials(films: Sequence[LabelledFilm], weights: str, data: Path | None, split: str) -> list[Trial]:
    """Which network runs on which films.

    Args:
        weights: of one network, or a path with `{fold}` in it.
        data: a data set whose splits say which films are tested and which calibrate (its split "val"); with `{fold}`
            one made with --folds; None: all films do both.
        split: that is tested.

    Raises:
        UserError: a missing network or data set, or none of its clips among the films.
    """
    if data is None:
        if FOLD in weights:
            raise UserError(f"-c {weights}: say which clips are in which fold: add data_dir and a data set with folds")
        _require([weights])
        return [Trial(weights, None, films, films)]
    if FOLD not in weights:
        _require([weights])
        return [_trial(films, weights, None, data / "annotations", split)]
    folders = sorted((data / "annotations").glob("fold*"), key=lambda path: int(path.name.removeprefix("fold")))
    if not folders:
        raise UserError(f"{printable(data)}: has no folds; make it with tools/prepare_dataset.py ... --folds 5")
    paths = [weights.replace(FOLD, str(number)) for number in range(len(folders))]
    _require(paths)
    return [
        _trial(films, path, number, folder, split)
        for number, (path, folder) in enumerate(zip(paths, folders, strict=True))
    ]


def network_digest(weights: str) -> str:
    """SHA-256 of a network's file; of OpenVINO's also of the weights beside it.

    Raises:
        UserError: it cannot be read.
    """
    path = find_network(weights)
    digest = sha256_of(path)
    return f"{digest}{sha256_of(path.with_suffix('.bin'))}" if path.suffix == ".xml" else digest


def _require(weights: Sequence[str]) -> None:
    for path in weights:
        if not find_network(path).is_file():
            raise UserError(f"-c {printable(path)}: no such network; give a file, or one of {', '.join(NETWORKS)}")


def _trial(films: Sequence[LabelledFilm], weights: str, fold: int | None, folder: Path, split: str) -> Trial:
    tested = _of_split(films, folder / f"{split}.json")
    return Trial(weights, fold, tested, tested if split == "val" else _of_split(films, folder / "val.json"))


def _of_split(films: Sequence[LabelledFilm], annotations: Path) -> list[LabelledFilm]:
    """The films whose frames are in a split."""
    groups = {image.group for image in load_split(annotations, annotations.parent).images}
    found = [film for film in films if film.group in groups]
    if not found:
        raise UserError(
            f"{printable(annotations)}: none of its clips is among the films of --clips; give the films that the data "
            "set was made from"
        )
    return found
