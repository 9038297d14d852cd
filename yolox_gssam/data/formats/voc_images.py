"""Where the XML files of a set in Pascal VOC's format lie, and the image of each."""

import os
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.images import IMAGE_SUFFIXES
from yolox_gssam.common.text import printable, shorten
from yolox_gssam.data.faults import Fault, Report
from yolox_gssam.data.formats.samples import IMAGE_FOLDERS, find_images, part_of_path
from yolox_gssam.data.paths import name_fault

MAX_DEPTH = 3
"""Folders below the set's own in which XML files are looked for."""


@dataclass(frozen=True, eq=False)
class VocPlace:
    """A folder of XML files and the folder of their images.

    Attributes:
        xml_paths: the XML files, by name.
        part: the part that a folder on the way is named after, such as "valid"; None: none is.
    """

    annotations: Path
    xml_paths: list[Path]
    images: Path
    part: str | None


def find_places(root: Path) -> list[VocPlace]:
    """The folders with XML files: Annotations, else the set's own folder, else all below it that have any.

    Raises:
        UserError: no such folder, or no XML files in it.
    """
    if not root.is_dir():
        raise UserError(f"{printable(root)}: no such folder")
    named = next((path for name in ("Annotations", "annotations") if (path := root / name).is_dir()), root)
    if any(named.glob("*.xml")):
        folders = [named]
    else:
        below = {path.parent for depth in range(1, MAX_DEPTH + 1) for path in root.glob("*/" * depth + "*.xml")}
        folders = sorted(below)
    if not folders:
        looked = f"neither in it nor {MAX_DEPTH} folders deep"
        raise UserError(f"{printable(root)}: no XML files, {looked}, such as in {printable(root / 'Annotations')}")
    return [
        VocPlace(
            folder, sorted(folder.glob("*.xml")), _image_folder(folder, root), part_of_path(folder.relative_to(root))
        )
        for folder in folders
    ]


def _image_folder(annotations: Path, root: Path) -> Path:
    """The folder of images that goes with a folder of XML files.

    Themselves, or the images/ (or other folder with images) beside them or beside a folder above them, in which the
    same folders are gone down again: xml/train goes with images/train.
    """
    if annotations == root or _has_images(annotations):
        own = next((path for name in IMAGE_FOLDERS if (path := annotations / name).is_dir()), annotations)
        return own if annotations == root else annotations
    for above in [place for place in annotations.parents if place.is_relative_to(root)]:
        rest = annotations.relative_to(above).parts[1:]
        folders = [above / name for name in IMAGE_FOLDERS] + sorted(path for path in above.iterdir() if path.is_dir())
        for folder in folders:
            if folder.joinpath(*rest).is_dir() and folder.name in IMAGE_FOLDERS:
                return folder.joinpath(*rest)
            if rest and _has_images(folder.joinpath(*rest)):
                return folder.joinpath(*rest)
        if any(map(_has_images, [above, *folders])):
            return above
    return root


def _has_images(folder: Path) -> bool:
    """Whether images lie in the folder itself."""
    return folder.is_dir() and any(path.suffix.lower() in IMAGE_SUFFIXES for path in folder.iterdir())


class ImageFinder:
    """The image of each XML file.

    Images are known without their suffix, and with it: some tools write a.jpg.xml.
    """

    def __init__(self, place: VocPlace, report: Report) -> None:
        self.place = place
        self.report = report
        self.found = find_images(place.images, report)
        by_name = self.found[::-1]  # of two images that differ in their suffix alone, the first counts
        self.image_of = {path.name: path for path in by_name} | {path.stem: path for path in by_name}
        self.file_of: dict[Path, Path] = {}
        self.stale: list[tuple[Path, str]] = []

    def find(self, xml_path: Path, name: str) -> Path:
        """The image of the file's own name; the one named inside where there is none.

        Raises:
            UserError: there is neither, or another file has it.
        """
        path = self._named_inside(xml_path, name) or self._of_own_name(xml_path, name)
        other = self.file_of.setdefault(path, xml_path)
        if other != xml_path:
            raise UserError(
                f"{printable(xml_path)}: belongs to the image {printable(path)}, but so does {printable(other)}; name "
                "each file as its image, or take one out of the folder"
            )
        return path

    def finish(self) -> None:
        """Tells how many files name another image inside, and of images without an XML file."""
        if self.stale:
            path, name = self.stale[0]
            message = (
                f"{len(self.stale)} files name another image inside than they are called, such as "
                f"{printable(path.name)}: {shorten(name)}; the image of the file's own name is taken"
            )
            self.report(Fault(self.place.annotations, "", message, fatal=False, of_set=True))
        stems = {path.stem for path in self.place.xml_paths}
        for path in self.found:
            if path.stem not in stems and path.name not in stems and path not in self.file_of:
                self.report(Fault(path, "", "has no XML file; left out", fatal=False))

    def _of_own_name(self, xml_path: Path, name: str) -> Path:
        stem = xml_path.stem
        if stem not in self.image_of:
            named = f" (filename says {shorten(name)})" if name else ""
            raise UserError(f"{printable(xml_path)}: no image of its name{named} is in {printable(self.place.images)}")
        if name and PureWindowsPath(name).stem != stem and name != stem:
            self.stale.append((xml_path, name))
        return self.image_of[stem]

    def _named_inside(self, xml_path: Path, name: str) -> Path | None:
        """The image named inside, where the file's own name does not stand against it."""
        has_own = xml_path.stem in self.image_of
        if has_own and PureWindowsPath(name).stem != xml_path.stem:
            return None
        problem = name_fault(name) if name else None
        if problem and has_own:
            return None
        if problem:
            raise UserError(f"{printable(xml_path)}: filename: {problem}")
        for path in (self.place.images / name, xml_path.parent / name):
            if name and os.path.isfile(path):  # false, unlike Path.is_file, for a name too long for the system
                return path
        return None
