"""Labels of films as plain lists: Drone-vs-Bird's text, Anti-UAV's JSON, MOT's gt.txt, Svanström's .mat.

Sources: Drone-vs-Bird Detection Challenge (Coluccia et al.); Anti-UAV (Jiang et al., IEEE TMM 2021);
MOTChallenge, whose frames, ids and pixels are counted from 1, https://motchallenge.net/instructions; F. Svanström, see
`svanstrom`.
"""

import configparser
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.text import one_line, printable, shorten
from yolox_gssam.data.coco_reader import MAX_NUMBER, four_numbers, read_json
from yolox_gssam.data.faults import MAX_OBJECTS, Fault, Report, check_objects
from yolox_gssam.data.formats.film_labels import FilmBox, FilmFinder, FilmLabels
from yolox_gssam.data.formats.samples import read_text
from yolox_gssam.data.formats.svanstrom import SVANSTROM_CLASSES, link_tracks, read_labels

MAX_LIST_BYTES = 2**28
"""Largest list: some millions of boxes."""
DEFAULT_CLASS = "drone"
"""Of labels that tell no class."""
_DRONE_VS_BIRD = re.compile(r"^\s*\d+\s+(?:0|[1-9]\d*(?:\s+-?[\d.]+){4}\s+[A-Za-z]\S*(?:\s.*)?)\s*$")


def is_drone_vs_bird(path: Path) -> bool:
    """Whether a text file has a line `frame count x y w h class ...` for each frame."""
    with path.open("rb") as stream:
        head = stream.read(2**14).decode("utf-8", "replace").splitlines()
    lines = [line for line in head[:20] if line.strip()]
    lines = lines if len(lines) < 2 else lines[:-1]  # the last may be cut off
    return bool(lines) and 2 * sum(_DRONE_VS_BIRD.match(line) is not None for line in lines) > len(lines)


def read_drone_vs_bird(path: Path, finder: FilmFinder, report: Report) -> list[FilmLabels]:
    """The labels of the film of the file's name; frames are counted from 0, by some from 1, see `may_start_at_one`."""
    film = finder.require(path, path.stem)
    boxes: list[FilmBox] = []
    frames: dict[int, int] = {}
    for number, line in enumerate(read_text(path, MAX_LIST_BYTES).splitlines(), 1):
        words = line.split()
        if not words:
            continue
        row = _drone_vs_bird_line(words)
        where = f"line {number}"
        if row is None:
            report(Fault(path, where, f"must hold frame count and x y w h class for each, not {shorten(line)}"))
        elif row[0] in frames:
            report(Fault(path, where, f"frame {row[0]} is also line {frames[row[0]]}"))
        else:
            frames[row[0]] = number
            boxes += row[1]
    count = max(frames, default=-1) + 1
    return [FilmLabels(path, film, sorted(frames), boxes, stated_count=count, may_start_at_one=True)]


def _drone_vs_bird_line(words: Sequence[str]) -> tuple[int, list[FilmBox]] | None:
    """The frame of a line and its boxes; None where it is faulty."""
    try:
        frame, count = int(words[0]), int(words[1])
        if frame < 0 or not 0 <= count <= MAX_OBJECTS or len(words) != 2 + 5 * count:
            return None
        boxes = []
        for start in range(2, len(words), 5):
            x, y, w, h = (float(word) for word in words[start : start + 4])
            if not all(abs(number) < MAX_NUMBER for number in (x, y, w, h)):
                return None
            boxes.append(FilmBox(frame, (x, y, w, h), words[start + 4]))
    except (ValueError, IndexError):
        return None
    return frame, boxes


def is_anti_uav(document: Any) -> bool:
    """Whether a JSON value is one of Anti-UAV's."""
    return isinstance(document, dict) and isinstance(document.get("exist"), list) and "gt_rect" in document


def read_anti_uav(path: Path, finder: FilmFinder, report: Report) -> list[FilmLabels]:
    """The labels of a film called as the file, or of the frames beside it. Clips of a folder are a group."""
    document = read_json(path)
    exist, rects = document["exist"], document["gt_rect"]
    if not isinstance(rects, list) or len(exist) != len(rects):
        count = len(rects) if isinstance(rects, list) else "no list"
        report(Fault(path, "", f"{len(exist)} values of exist, but {count} of gt_rect"))
        return []
    stem = re.sub("_label$", "", path.stem, flags=re.IGNORECASE)
    beside = finder.find(path, path.parent.name)
    film = finder.find(path, stem) or (beside if beside == path.parent else None) or finder.require(path, stem)
    boxes: list[FilmBox] = []
    unclear: list[int] = []
    for frame, (seen, rect) in enumerate(zip(exist, rects, strict=True)):
        box = four_numbers(rect)
        if seen in (0, False):
            continue
        if box is None or box[2] <= 0 or box[3] <= 0:
            unclear.append(frame)
        else:
            boxes.append(FilmBox(frame, box, DEFAULT_CLASS, 1))
    if unclear:
        message = (
            f"{len(unclear)} frames are said to show an object but have no box, such as frame {unclear[0]}; left out"
        )
        report(Fault(path, "", message, fatal=False))
    scene = path.parent.relative_to(finder.root).as_posix()
    group = scene if scene != "." else None
    count = len(exist)
    return [FilmLabels(path, film, range(count), boxes, group, stated_count=count, unclear=frozenset(unclear))]


def read_mot(path: Path, finder: FilmFinder, report: Report, names: Sequence[str], origin: int) -> list[FilmLabels]:
    """The labels gt/gt.txt of a sequence; seqinfo.ini beside gt/ tells the frames' folder and how many there are.

    Args:
        names: of the classes from 1 on; none: those of gt/labels.txt, or numbers.
        origin: what the left upper pixel is called: 1 by the format's definition, 0 as some tools write it.
    """
    sequence = path.parent.parent
    film, count = _mot_film(sequence, finder)
    labels = path.with_name("labels.txt")
    names = names or ([line.strip() for line in read_text(labels).splitlines()] if labels.is_file() else [])
    boxes: list[FilmBox] = []
    ignored = 0
    for number, line in enumerate(read_text(path, MAX_LIST_BYTES).splitlines(), 1):
        if not line.strip():
            continue
        row = _floats(line)
        if row is None or len(row) < 6 or row[0] < 1:
            report(Fault(path, f"line {number}", f"must hold frame, id, x, y, w, h, ... from 1, not {shorten(line)}"))
        elif len(row) > 6 and row[6] == 0:
            ignored += 1
        else:
            kind = int(row[7]) if len(row) > 7 else -1
            name = names[kind - 1] if 0 < kind <= len(names) else DEFAULT_CLASS if kind < 1 else f"class {kind}"
            box = (row[2] - origin, row[3] - origin, row[4], row[5])
            boxes.append(FilmBox(int(row[0]) - 1, box, name, max(0, int(row[1]))))
    if ignored:
        report(Fault(path, "", f"{ignored} boxes of confidence 0 are not to be counted, and left out", fatal=False))
    return [FilmLabels(path, film, range(count) if count else None, boxes, stated_count=count)]


def _mot_film(sequence: Path, finder: FilmFinder) -> tuple[Path, int | None]:
    """The frames of a sequence, or its film, and how many frames seqinfo.ini tells."""
    info = sequence / "seqinfo.ini"
    folder, count = "img1", None
    if info.is_file():
        parser = configparser.ConfigParser(interpolation=None)
        try:
            parser.read_string(read_text(info))
            section = parser[parser.sections()[0]]
            folder, count = section.get("imDir", folder), section.getint("seqLength")
        except (configparser.Error, ValueError, IndexError) as error:
            raise UserError(f"{printable(info)}: cannot be read: {one_line(error)}") from error
    if "/" not in folder and "\\" not in folder and folder not in ("..", ".") and (sequence / folder).is_dir():
        return sequence / folder, count
    return finder.require(sequence / "gt" / "gt.txt", sequence.name), count


def _floats(line: str) -> list[float] | None:
    """The numbers of a line, parted by commas or spaces; None where it holds anything else."""
    try:
        row = [float(word) for word in line.replace(",", " ").split()]
    except ValueError:
        return None
    return row if all(abs(number) < MAX_NUMBER for number in row) else None


def read_svanstrom(path: Path, finder: FilmFinder, report: Report) -> list[FilmLabels]:
    """The labels of a clip of Svanström's; who is who over the frames is found by program."""
    film = finder.require(path, path.stem.removesuffix("_LABELS"))
    truth = read_labels(path)
    tracks = link_tracks(truth)
    check_objects(int(np.bincount(truth.frame, minlength=1).max()), path)
    boxes = [
        FilmBox(int(frame), (x, y, w, h), SVANSTROM_CLASSES[label], int(track))
        for frame, (x, y, w, h), label, track in zip(
            truth.frame, truth.boxes_xywh.tolist(), truth.labels, tracks, strict=True
        )
    ]
    return [FilmLabels(path, film, range(truth.frames), boxes, stated_count=truth.frames, linked=True)]
