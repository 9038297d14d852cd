"""What the readers of users' own sets share: labelled images, their groups and parts, and the way into the builder."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

import numpy as np
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring
from numpy.typing import NDArray

from yolox_gssam.common.bit_depth import ValueRange
from yolox_gssam.common.errors import UserError
from yolox_gssam.common.images import (
    IMAGE_SUFFIXES,
    UNREAD_SUFFIXES,
    decode_image,
    encode_png,
    has_more_than_eight_bits,
    image_size,
    read_image_bytes,
    unread_images,
)
from yolox_gssam.common.text import one_line, printable, shorten
from yolox_gssam.data.builder import EncodedImage
from yolox_gssam.data.coco_reader import MAX_NUMBER
from yolox_gssam.data.faults import Fault, Report
from yolox_gssam.data.labelled import LabelledImage, xywh_to_xyxy
from yolox_gssam.data.split import SPLIT_NAMES

IMAGE_FOLDERS = ("JPEGImages", "images")
"""Usual names of a folder of images."""
MAX_LABEL_BYTES = 2**22
"""Largest label file of one image: room for `MAX_OBJECTS` objects of 400 letters each."""


@dataclass(frozen=True, eq=False)
class Sample:
    """An image file and its objects, as a label file tells them.

    Attributes:
        file_name: its name in the new data set; also its group where nothing else is said.
        boxes_xywh: (n, 4) COCO pixels, or fractions of the image's width and height.
        labels: index of each box into the classes.
        size_wh: the image's size by the labels; None: not told.
        fractions: the boxes are fractions.
        crowd: true for each box that is a region of many objects.
        group, part: the group and the split, as in `LabelledImage`.
    """

    path: Path
    file_name: str
    boxes_xywh: NDArray[np.float64]
    labels: Sequence[int]
    size_wh: tuple[int, int] | None = None
    fractions: bool = False
    crowd: Sequence[bool] | None = None
    group: str | None = None
    part: str | None = None


@dataclass(frozen=True, eq=False)
class LabelledSet:
    """A user's own set: class names in label order, and the images."""

    classes: tuple[str, ...]
    samples: list[Sample] = field(default_factory=list)

    def records(self, value_range: ValueRange | None = None, deep: list[str] | None = None) -> Iterator[EncodedImage]:
        """A labelled image for each sample, with its encoded pixels; each is read when its turn comes.

        Args:
            value_range: images of more than 8 bit are stored in 8 bit by it, as PNG; None: they are kept, and whoever
                reads them makes 8 bit of them.
            deep: gets the names of those images.

        Raises:
            UserError: an image that is missing, unreadable, truncated or of another size than the labels say.
        """
        for sample in self.samples:
            image, file_name = read_image_bytes(sample.path), sample.file_name
            width, height = image_size(image, sample.path)
            if has_more_than_eight_bits(image, sample.path):
                if deep is not None:
                    deep.append(file_name)
                if value_range is not None:
                    image = encode_png(decode_image(image, sample.path, value_range))
                    file_name += "" if file_name.lower().endswith(".png") else ".png"
            boxes = sample.boxes_xywh.reshape(-1, 4)
            if sample.fractions:
                boxes = boxes * [width, height, width, height]
            if sample.size_wh not in (None, (width, height)):
                raise UserError(f"{printable(sample.path)}: is {width} x {height}, its labels say {sample.size_wh}")
            boxes_xyxy, labels = xywh_to_xyxy(boxes), np.asarray(sample.labels, np.int64).reshape(-1)
            crowd = np.zeros(len(labels), bool) if sample.crowd is None else np.asarray(sample.crowd, bool)
            yield (
                LabelledImage(
                    file_name,
                    width,
                    height,
                    boxes_xyxy[~crowd],
                    labels[~crowd],
                    sample.group or sample.file_name,
                    boxes_xyxy[crowd],
                    labels[crowd],
                    split=sample.part,
                ),
                image,
            )


def group_by_name(samples: Iterable[Sample], pattern: str) -> list[Sample]:
    """The samples with their group taken from the file name: what the pattern's one pair of brackets matches.

    Raises:
        UserError: no regular expression with one group, or a name that it does not match.
    """
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise UserError(f"--group-pattern {shorten(pattern)}: not a regular expression: {error}") from error
    if expression.groups != 1:
        raise UserError(f"--group-pattern {shorten(pattern)}: needs one pair of brackets, as in '(.*)_[0-9]+'")
    grouped = []
    for sample in samples:
        match = expression.search(sample.file_name)
        if match is None or not match[1]:
            raise UserError(f"--group-pattern {shorten(pattern)}: does not match {shorten(sample.file_name)}")
        grouped.append(replace(sample, group=match[1]))
    return grouped


def find_images(folder: Path, report: Report) -> list[Path]:
    """All image files below a folder, by name, also through links but those to a folder that holds the link.

    Images of kinds that are not read are left out and reported.
    """
    files = walk_files(folder)
    found = [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES]
    unread = [path for path in files if path.suffix.lower() in UNREAD_SUFFIXES]
    if unread:
        message = unread_images([path.relative_to(folder) for path in unread])
        report(Fault(folder, "", message, fatal=False, of_set=True))
    return found


def walk_files(folder: Path) -> list[Path]:
    """All files below a folder, by name, also through links but those to a folder that holds the link."""
    found: list[Path] = []
    for place, folders, names in os.walk(folder, followlinks=True):
        # Such a link, to the root of a disk or in a circle, would be walked without end.
        folders[:] = [name for name in folders if not _holds(Path(place, name), folder)]
        found += [Path(place, name) for name in names]
    return sorted(found)


def _holds(path: Path, folder: Path) -> bool:
    """Whether a link leads to a folder above itself or above `folder`."""
    if not path.is_symlink():
        return False
    target = path.resolve()
    return any(place.resolve().is_relative_to(target) for place in (path.parent, folder))


def part_named(name: str) -> str | None:
    """The part that the name of a file or folder speaks of, as in "instances_train2017" or "valid"; None: of none."""
    words = set(re.findall("[a-z]+", name.lower()))
    return next((part for part, synonyms in SPLIT_NAMES.items() if words & synonyms), None)


def part_of_path(path: Path) -> str | None:
    """The part that one of a path's folders is named after, the last one that is; None: none is."""
    return next((part for name in reversed(path.parts) if (part := part_named(name))), None)


def read_small_file(path: Path, max_bytes: int = MAX_LABEL_BYTES) -> bytes:
    """The content of a label file.

    Raises:
        UserError: not a regular file, too large, or it cannot be read.
    """
    try:
        if not path.is_file():
            raise UserError(f"{printable(path)}: no such file")
        if path.stat().st_size > max_bytes:
            raise UserError(f"{printable(path)}: larger than {max_bytes >> 10:,} KiB; not a label file")
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{printable(path)}: cannot be read: {error.strerror}") from error


def read_text(path: Path, max_bytes: int = MAX_LABEL_BYTES) -> str:
    """The content of a label file in UTF-8, with or without a byte order mark.

    Raises:
        UserError: as in `read_small_file`, or not UTF-8.
    """
    try:
        return read_small_file(path, max_bytes).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{printable(path)}: not a text file in UTF-8") from error


def read_xml(path: Path, max_bytes: int = MAX_LABEL_BYTES) -> Element:
    """The root element of an XML file.

    Raises:
        UserError: as in `read_small_file`, not an XML file, or one with a document type or entities.
    """
    data = read_small_file(path, max_bytes)
    try:
        root: Element = fromstring(data, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise UserError(f"{printable(path)}: not a plain XML file: {one_line(error)}") from error
    return root


def xml_number(text: str | None) -> float | None:
    """A finite number of a sensible size; None for anything else."""
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if abs(number) < MAX_NUMBER else None
