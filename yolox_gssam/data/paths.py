"""Paths that a data set's files name: none climbs out of the set. Links in the set are the user's own, and followed."""

import os
from pathlib import Path, PurePosixPath, PureWindowsPath

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.text import one_line, printable, shorten
from yolox_gssam.data.split import SPLIT_NAMES

MAX_NAME_BYTES = 255
"""Longest file name that common file systems hold."""
_SPLIT_WORDS = frozenset[str]().union(*SPLIT_NAMES.values())


def name_fault(name: object) -> str | None:
    """What is wrong with the name of a file inside a data set; None if nothing is."""
    if not isinstance(name, str) or not name:
        return f"the file name must be text, not {shorten(name)}"
    if not _fits_file_systems(name) or PurePosixPath(name).name in ("", ".."):
        return f"{shorten(name)} is no file name"
    if name.startswith(("/", "\\")) or PureWindowsPath(name).drive:
        return f"the path {shorten(name)} is absolute; it must be relative to the image folder"
    if ".." in PurePosixPath(name).parts or ".." in PureWindowsPath(name).parts:
        return f"the path {shorten(name)} leaves the image folder"
    return None


def is_inside(path: Path, folder: Path) -> bool:
    """Whether `path`, as it is written or with all links followed, lies in `folder`.

    Raises:
        UserError: the path cannot be followed.
    """
    try:
        if Path(os.path.normpath(path.absolute())).is_relative_to(os.path.normpath(folder.absolute())):
            return True
        return path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: a circle of links; ValueError: a NUL
        raise UserError(f"{printable(path)}: cannot be read: {one_line(error)}") from error


def find_end(name: str, folder: Path) -> Path | None:
    """The longest end of a path of another machine that is there below `folder`; None: there is none.

    Slashes of both kinds separate its folders. An end without the last folder that says which split it is of, such as
    "valid", is not taken: it would be another split's.
    """
    parts = PureWindowsPath(name).parts
    split_names = [index for index, part in enumerate(parts) if part.lower() in _SPLIT_WORDS]
    for start in range(len(parts)):
        if split_names and start > split_names[-1]:
            return None
        end = "/".join(parts[start:])
        if name_fault(end) is None and os.path.exists(folder / end):
            return folder / end
    return None


def _fits_file_systems(name: str) -> bool:
    """Whether a file can have the name: no NUL, nothing too long, no half of a surrogate pair, as JSON may carry."""
    try:
        parts = name.encode().split(b"/")
    except UnicodeEncodeError:
        return False
    return b"\0" not in name.encode() and max(map(len, parts)) <= MAX_NAME_BYTES and len(name) <= 4 * MAX_NAME_BYTES
