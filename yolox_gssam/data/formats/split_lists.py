"""Lists of names that split a published set: train.txt, val.txt and test.txt, a name a line."""

import io
from collections.abc import Collection
from pathlib import Path, PureWindowsPath

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.text import printable, shorten
from yolox_gssam.data.formats.samples import part_named, read_text

MAX_LIST_BYTES = 2**24
"""Largest list: a million names."""


def read_split_lists(root: Path, folder: Path | None, names: Collection[str]) -> dict[str, str]:
    """The part of each name by the lists in `folder`, which is looked for in `root` and one folder below without one.

    A list is called after its part, as train.txt or test_NUDT-SIRST.txt; its lines name images, with or without folders
    and suffix.

    Args:
        folder: absolute, or below the working folder, or below `root`.
        names: of the images, without a suffix.

    Raises:
        UserError: no lists, several folders of lists, a name that is no image, or one in two parts.
    """
    place = _folder_of_lists(root) if folder is None else _named_folder(root, folder)
    part_of: dict[str, str] = {}
    lists = _lists(place)
    if not lists:
        raise UserError(f"{printable(place)}: no train.txt, val.txt or test.txt in it")
    for path, part in lists.items():
        for number, line in enumerate(io.StringIO(read_text(path, MAX_LIST_BYTES)), 1):
            if not line.strip():
                continue
            name = PureWindowsPath(line.strip()).name
            stem = name if name in names else PureWindowsPath(name).stem
            if stem not in names:
                raise UserError(f"{printable(path)}: line {number}: {shorten(line.strip())} is no image of the set")
            if part_of.setdefault(stem, part) != part:
                message = f"{shorten(line.strip())} is also in the {part_of[stem]} part"
                raise UserError(f"{printable(path)}: line {number}: {message}")
    return part_of


def _lists(folder: Path) -> dict[Path, str]:
    """The lists in a folder and the part of each."""
    return {path: part for path in sorted(folder.glob("*.txt")) if (part := part_named(path.stem))}


def _named_folder(root: Path, folder: Path) -> Path:
    """The folder that the user names, as it is or below the set."""
    found = next((path for path in (root / folder, folder) if path.is_dir()), None)
    if found is None:
        raise UserError(f"{printable(folder)}: no such folder, neither here nor in {printable(root)}")
    return found


def _folder_of_lists(root: Path) -> Path:
    """The one folder with lists."""
    places = [root, *sorted(path for path in root.iterdir() if path.is_dir()), root / "ImageSets" / "Main"]
    found = [path for path in places if path.is_dir() and "train" in _lists(path).values()]
    if len(found) != 1:
        shown = f"several, {', '.join(path.name for path in found)}" if found else "none with a train.txt"
        raise UserError(
            f"{printable(root)}: --keep-split looks for the folder of its lists and found {shown}; give it as in "
            "--keep-split FOLDER"
        )
    return found[0]
