"""Sources of another kind than the one they were given as: what to type instead."""

import re
from pathlib import Path

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.text import printable
from yolox_gssam.data.images import IMAGE_SUFFIXES

VIDEO_SUFFIXES = frozenset({".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".ts", ".wmv", ".flv"})
_SERIES = re.compile(r"%\d*d|[*?]")


def check_source(kind: str, path: str | None) -> None:
    """Looks at the --path of the demo's "image", "video" or "webcam".

    Raises:
        UserError: it is missing, or plainly of another kind.
    """
    if path is None or path == "":
        if kind != "webcam":
            raise UserError(f"--path is needed: {'an image or a folder' if kind == 'image' else 'a video or a URL'}")
        return
    better = _better(kind, path)
    if better is not None:
        what, line = better
        raise UserError(f"--path {printable(path)}: {what}; type: demo.py {line}")


def _better(kind: str, path: str) -> tuple[str, str] | None:
    """What the path is, and the command line for it; None where it may be right, or is not there at all."""
    place, is_url = Path(path), "://" in path
    if path.isdecimal() and (kind == "webcam" or not place.exists()):
        return "the number of a camera", f"webcam --camid {path}"
    if kind == "webcam":
        return None
    if is_url:
        return ("a URL", f"video --path {path}") if kind == "image" else None
    if _SERIES.search(place.name) and not place.exists():
        return "a series of images", f"image --path {place.parent}"
    if kind == "image":
        is_video = place.is_file() and place.suffix.lower() in VIDEO_SUFFIXES
        return ("a video", f"video --path {path}") if is_video else None
    if place.is_dir():
        return _inside(place)
    return None


def _inside(folder: Path) -> tuple[str, str]:
    files = sorted(file for file in folder.iterdir() if file.is_file())
    videos = [file for file in files if file.suffix.lower() in VIDEO_SUFFIXES]
    if videos and not any(file.suffix.lower() in IMAGE_SUFFIXES for file in files):
        return f"a folder of {len(videos)} videos, which are annotated one by one", f"video --path {videos[0]}"
    return "a folder", f"image --path {folder}"
