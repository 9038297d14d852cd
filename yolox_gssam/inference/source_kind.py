"""What a source is, images, a video or a camera, told from its text and the files there."""

import re
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.images import IMAGE_SUFFIXES, UNREAD_SUFFIXES
from yolox_gssam.common.text import printable

VIDEO_SUFFIXES = frozenset({".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".ts", ".wmv", ".flv"})
_SERIES = re.compile(r"%\d*d|[*?]")


class Kind(Enum):
    """How a source is read; the values are the words of YOLOX's demo."""

    IMAGES = "image"
    VIDEO = "video"
    CAMERA = "webcam"


class _Look(NamedTuple):
    """What a source is in words, how to read it, and what to give for it: the same, or a better one."""

    what: str
    kind: Kind
    place: str


def recognize(source: str) -> tuple[Kind, str]:
    """How to read a source: a path, a URL or the number of a camera; and the source itself.

    Raises:
        UserError: nothing is there, or only something else that could be given.
    """
    look = _look(source)
    if look is not None and look.place != source:
        raise UserError(f"{printable(source)}: {look.what}; give {printable(look.place)}")
    is_path = look is None or (look.kind is not Kind.CAMERA and "://" not in source)
    if is_path and (source == "" or not Path(source).exists()):
        raise UserError(f"{printable(source) or 'SOURCE'}: no such image, video or folder")
    return (Kind.VIDEO if look is None else look.kind), source


def check_source(kind: str, path: str | None) -> None:
    """Looks at the --path of the demo's "image", "video" or "webcam".

    Raises:
        UserError: it is missing, or plainly of another kind.
    """
    if path is None or path == "":
        if kind != "webcam":
            raise UserError(f"--path is needed: {'an image or a folder' if kind == 'image' else 'a video or a URL'}")
        return
    look = _Look("the number of a camera", Kind.CAMERA, path) if path.isdecimal() and kind == "webcam" else _look(path)
    if look is None or (kind == "webcam" and look.kind is not Kind.CAMERA):
        return
    if kind == look.kind.value and look.place == path and look.kind is not Kind.CAMERA:
        return
    is_file = Path(path).suffix and look.place == path and "://" not in path
    if is_file and (look.kind is Kind.IMAGES or not Path(path).is_file()):
        return  # what cannot be read as a video is told by its reader
    option = "--camid" if look.kind is Kind.CAMERA else "--path"
    raise UserError(f"--path {printable(path)}: {look.what}; type: demo.py {look.kind.value} {option} {look.place}")


def _look(source: str) -> _Look | None:
    """None where it cannot be told from the outside."""
    path = Path(source)
    if source.isdecimal() and not path.exists():
        return _Look("the number of a camera", Kind.CAMERA, source)
    if "://" in source:
        return _Look("a URL", Kind.VIDEO, source)
    if _SERIES.search(path.name) and not path.exists():
        return _Look("a series of images", Kind.IMAGES, str(path.parent))
    if path.is_dir():
        return _inside(source)
    if path.suffix.lower() in IMAGE_SUFFIXES | UNREAD_SUFFIXES:
        return _Look("an image", Kind.IMAGES, source)
    return _Look("a video", Kind.VIDEO, source) if path.suffix.lower() in VIDEO_SUFFIXES else None


def _inside(folder: str) -> _Look:
    files = sorted(file for file in Path(folder).iterdir() if file.is_file())
    videos = [file for file in files if file.suffix.lower() in VIDEO_SUFFIXES]
    if videos and not any(file.suffix.lower() in IMAGE_SUFFIXES for file in files):
        what = f"a folder of {len(videos)} videos, which are annotated one by one"
        return _Look(what, Kind.VIDEO, str(videos[0]))
    return _Look("a folder", Kind.IMAGES, folder)
