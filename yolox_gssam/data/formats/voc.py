"""A user's own set in Pascal VOC's format: an XML file an image.

Format: M. Everingham et al., "The PASCAL Visual Object Classes Challenge", development kit. What the numbers of a box
count depends on who wrote them, see `voc_coordinates`.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.text import printable, shorten
from yolox_gssam.data.faults import Fault, Report, check_objects
from yolox_gssam.data.formats.samples import LabelledSet, Sample, read_text, read_xml, xml_number
from yolox_gssam.data.formats.voc_coordinates import Coordinates, Origin, choose_coordinates, to_xywh
from yolox_gssam.data.formats.voc_images import ImageFinder, VocPlace, find_places
from yolox_gssam.data.split import SPLITS

NO_AREA = "the box has no area"
MAX_LIST_BYTES = 2**24
"""Largest file of the names of a part: a million of them."""


@dataclass(frozen=True, eq=False)
class VocFile:
    """What one XML file says.

    Attributes:
        file_name: of the image; empty where the file does not say.
        size_wh: of the image; None where the file does not say.
        corners: [xmin, ymin, xmax, ymax] of each box, as they stand there.
        names: class name of each box.
        origin: what it says of its writer.
    """

    path: Path
    file_name: str
    size_wh: tuple[int, int] | None
    corners: list[list[float]]
    names: list[str]
    origin: Origin


def read_voc_set(
    root: Path,
    *,
    report: Report,
    classes: Sequence[str] = (),
    keep_split: bool = False,
    coordinates: Coordinates | Literal["auto"] = "pixels",
) -> LabelledSet:
    """Reads a set: Annotations/*.xml with JPEGImages/ (or images/), XML files in other folders, or beside their images.

    Objects marked difficult or truncated count like others: small drones are often marked so. A file without objects
    is an image without objects. Images without an XML file are left out and reported. A file belongs to the image of
    its own name, as in YOLOX: both are renamed together. The name inside counts where there is no such image.

    Args:
        classes: the class names in label order; none: all names found, by alphabet.
        keep_split: the parts of ImageSets/Main/{train,val,test}.txt are kept, or those that folders are named after;
            other images are left out.
        coordinates: what the numbers of a box count; auto: by who wrote each file, where it says so, else by the
            images; what was chosen is reported.

    Raises:
        UserError: no such set, or an image that is missing or leaves the set; and whatever `report` raises.
    """
    places = find_places(root)
    files = {path: read_voc_file(path, report) for place in places for path in place.xml_paths}
    found = tuple(classes) or tuple(sorted({name for file in files.values() for name in file.names}))
    part_of = _parts(root, places) if keep_split else dict.fromkeys(files)
    if not keep_split and ((root / "ImageSets").exists() or any(place.part for place in places)):
        where = root / "ImageSets" if (root / "ImageSets").exists() else root
        report(Fault(where, "", "its parts are split anew; --keep-split keeps them", False, of_set=True))
    for path in [path for path in files if path not in part_of]:
        report(Fault(path, "", "is in no part of ImageSets/Main; left out", fatal=False))
    images: dict[Path, Path] = {}
    for place in places:
        finder = ImageFinder(place, report)
        images |= {path: finder.find(path, files[path].file_name) for path in place.xml_paths if path in part_of}
        finder.finish()
    files = {path: file for path, file in files.items() if path in images}
    if coordinates == "auto":
        written = {str(path): (file.origin, images[path], file.corners) for path, file in files.items()}
        reading = choose_coordinates(written, places[0].annotations, report)
    else:
        reading = {str(path): coordinates for path in files}
    start = places[0].images if len(places) == 1 else root
    samples = []
    for path, file in files.items():
        image = images[path]
        file_name = image.relative_to(start if image.is_relative_to(start) else root).as_posix()
        boxes_xywh, labels = _objects(file, found, reading[str(path)], report)
        samples.append(Sample(image, file_name, boxes_xywh, labels, file.size_wh, part=part_of[path]))
    return LabelledSet(found, samples)


def read_voc_file(path: Path, report: Report) -> VocFile:
    """Reads one XML file.

    Raises:
        UserError: not an XML file, one with a document type or entities, or whatever `report` raises.
    """
    tree = read_xml(path)
    corners: list[list[float]] = []
    names: list[str] = []
    elements = tree.findall("object")
    check_objects(max(len(elements), len(tree.findall("object/bndbox"))), path)
    for number, element in enumerate(elements, 1):
        where, name, found = f"object {number}", (element.findtext("name") or "").strip(), element.findall("bndbox")
        if not name:
            report(Fault(path, where, "has no name"))
            continue
        if len(element.findall("name")) > 1:
            report(Fault(path, where, "has several names; make an object of each"))
            continue
        if len(found) > 1:
            report(Fault(path, where, f"has {len(found)} boxes; each counts as an object of its own", fatal=False))
        for box in [_corners(element) for element in found] or [None]:
            if box is None:
                report(Fault(path, where, "bndbox must hold the finite numbers xmin, ymin, xmax, ymax, each once"))
            elif min(to_xywh(box, "pixels")[2:]) <= 0:
                report(Fault(path, where, NO_AREA, fatal=False))
            else:
                corners.append(box)
                names.append(name)
    return VocFile(path, (tree.findtext("filename") or "").strip(), _size(tree), corners, names, _origin(tree, corners))


def _origin(tree: Element, corners: Sequence[Sequence[float]]) -> Origin:
    """What a file says of its writer."""
    numbers = [number for box in corners for number in box]
    decimals = sum(not number.is_integer() for number in numbers)
    database = " ".join((tree.findtext("source/database") or "").split())
    return Origin(database, bool((tree.findtext("path") or "").strip()), 2 * decimals > len(numbers))


def _size(tree: Element) -> tuple[int, int] | None:
    """Width and height; None where they are missing or, as some tools leave them, 0."""
    width, height = xml_number(tree.findtext("size/width")), xml_number(tree.findtext("size/height"))
    return (int(width), int(height)) if width and height else None


def _corners(element: Element) -> list[float] | None:
    """xmin, ymin, xmax, ymax of an object; None where a number is missing or there twice."""
    keys = ("xmin", "ymin", "xmax", "ymax")
    numbers = [xml_number(element.findtext(key)) for key in keys if len(element.findall(key)) == 1]
    corners = [number for number in numbers if number is not None]
    return corners if len(corners) == len(keys) else None


def _parts(root: Path, places: Sequence[VocPlace]) -> dict[Path, str | None]:
    """The part of each file, by ImageSets/Main, or else by the folders."""
    if all(place.part for place in places):
        return {path: place.part for place in places for path in place.xml_paths}
    path_of = {path.stem: path for place in places for path in place.xml_paths}
    part_of: dict[Path, str | None] = {}
    for part in SPLITS:
        path = root / "ImageSets" / "Main" / f"{part}.txt"
        if not path.exists():
            continue
        for number, line in enumerate(io.StringIO(read_text(path, MAX_LIST_BYTES)), 1):
            if not line.strip():
                continue
            stem = line.split()[0]
            if stem not in path_of:
                raise UserError(f"{printable(path)}: line {number}: {shorten(stem)} has no XML file")
            before = part_of.setdefault(path_of[stem], part)
            if before != part:
                raise UserError(f"{printable(path)}: line {number}: {shorten(stem)} is also in {before}.txt")
    if not part_of:
        raise UserError(
            f"{printable(root)}: --keep-split needs ImageSets/Main/train.txt, val.txt and test.txt, or folders train, "
            "val and test"
        )
    return part_of


def _objects(
    file: VocFile, classes: Sequence[str], coordinates: Coordinates, report: Report
) -> tuple[NDArray[np.float64], list[int]]:
    """Boxes and labels; objects of unknown classes, and of no area, are reported."""
    boxes: list[list[float]] = []
    labels: list[int] = []
    for name, corners in zip(file.names, file.corners, strict=True):
        box = to_xywh(corners, coordinates)
        if name not in classes:
            report(Fault(file.path, f"class {shorten(name)}", f"is not one of {printable(', '.join(classes))}"))
        elif min(box[2:]) <= 0:
            report(Fault(file.path, f"box {corners}", f"{NO_AREA} as {coordinates}", fatal=False))
        else:
            boxes.append(box)
            labels.append(classes.index(name))
    return np.array(boxes, np.float64).reshape(-1, 4), labels
