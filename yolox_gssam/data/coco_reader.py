"""COCO annotation files: the one reader of them. Nothing in the file is taken on trust.

Format: https://cocodataset.org/#format-data. Labels follow YOLOX: the index into the category ids in ascending order.
"""

import gc
import json
import stat
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.images import read_image
from yolox_gssam.common.text import is_text, one_line, printable, shorten
from yolox_gssam.data.faults import MAX_OBJECTS, TOO_MANY_OBJECTS, Fault, Report, check_objects, raise_fatal
from yolox_gssam.data.labelled import LabelledImage
from yolox_gssam.data.paths import name_fault

__all__ = ["CocoSplit", "LabelledImage", "load_split", "parse_coco", "read_image", "read_json"]

MAX_NUMBER = 2**31
"""Coordinates and sizes beyond this are taken for damage."""
MAX_ID = 2**53
"""Ids beyond this would lose digits in float64."""
MADE_GOOD = "; `tools/prepare_dataset.py coco` makes it good"
"""What a message says of a fault that the import of a set puts right."""
MAX_JSON_BYTES = 2**29
"""Largest JSON file that is read: COCO's own largest has 450 MB, and each byte may take thirty in memory."""


@dataclass(frozen=True, eq=False)
class CocoSplit:
    """One split of a data set.

    Attributes:
        path: the annotation file.
        image_dir: the folder that `file_name` starts from.
        classes: names in the order of ascending category id.
        category_ids: `category_ids[label]` is the COCO id.
        images: in the order of the file; their boxes are clipped to them, each has an area.
    """

    path: Path
    image_dir: Path
    classes: tuple[str, ...]
    category_ids: tuple[int, ...]
    images: tuple[LabelledImage, ...]

    def read(self, image: LabelledImage) -> NDArray[np.uint8]:
        """The pixels (H, W, 3), BGR, of an image.

        Raises:
            UserError: it cannot be read, or is of another size than the file states.
        """
        path = self.image_path(image)
        pixels = read_image(path)
        height, width = pixels.shape[:2]
        if (width, height) != (image.width, image.height):
            raise UserError(
                f"{printable(path)}: is {width} x {height}, stated are {image.width} x {image.height}; "
                "tools/prepare_dataset.py check lists all such images"
            )
        return pixels

    def image_path(self, image: LabelledImage) -> Path:
        """Where the image lies; it may be a link to anywhere, as in a download by Hugging Face, git-annex or DVC."""
        return self.image_dir / image.file_name


def load_split(path: Path, image_dir: Path) -> CocoSplit:
    """Reads one annotation file. Boxes without an area inside the image are left out; the images are not opened.

    Raises:
        UserError: no such file, not COCO, or any fault that makes training or evaluating wrong.
    """
    split = parse_coco(read_json(path), path, image_dir, raise_fatal)
    if not split.images:
        raise UserError(f"{printable(path)}: holds no images")
    return split


def read_json(path: Path) -> Any:
    """The value in a JSON file.

    Raises:
        UserError: the file cannot be read, is larger than `MAX_JSON_BYTES` or is not JSON.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for without end
            raise UserError(f"{printable(path)}: not a file")
        if status.st_size > MAX_JSON_BYTES:
            raise UserError(f"{printable(path)}: larger than {MAX_JSON_BYTES >> 20} MiB; split the set into several")
        data = path.read_bytes()
        # Judged before it is parsed, which would take seconds: so many objects must lie on too few images.
        if data.count(b'"image_id"') > MAX_OBJECTS * max(1, data.count(b'"file_name"')):
            raise UserError(f"{printable(path)}: an image {TOO_MANY_OBJECTS}")
        return _parsed(data)
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"{printable(path)}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise UserError(f"{printable(path)}: not a JSON file: {one_line(error)}") from error


def _parsed(data: bytes) -> Any:
    """The value of JSON text. Python's search for garbage, vain here, would take a third of a large file's time."""
    searches = gc.isenabled()
    gc.disable()
    try:
        return json.loads(data)
    finally:
        if searches:
            gc.enable()


def parse_coco(document: Any, path: Path, image_dir: Path, report: Report, group_field: str = "group") -> CocoSplit:
    """Makes a split of a parsed annotation file; `report` gets each fault, and the faulty item is passed over.

    Args:
        group_field: the field of an image entry that names its group.

    Raises:
        UserError: the file as a whole has not the shape of a COCO file; and whatever `report` raises.
    """
    if not isinstance(document, dict):
        raise UserError(
            f"{printable(path)}: not a COCO file: an object with images, annotations and categories was expected"
        )
    reader = _Reader(path, report, group_field)
    names = reader.categories(_entries(document, "categories", path))
    category_ids = tuple(sorted(names))
    entries = reader.images(_entries(document, "images", path))
    objects = reader.annotations(
        _entries(document, "annotations", path), entries, {key: i for i, key in enumerate(category_ids)}
    )
    images = tuple(_with_objects(image, objects[key]) for key, image in entries.items())
    return CocoSplit(path, image_dir, tuple(names[key] for key in category_ids), category_ids, images)


_Row = tuple[float, float, float, float, int, bool, float]
"""An object: left, top, right, bottom, label, whether it is a crowd, and area."""


class _Reader:
    """Walks through the three lists of one file."""

    def __init__(self, path: Path, report: Report, group_field: str) -> None:
        self.path = path
        self.report = report
        self.group_field = group_field

    def fault(self, where: str, message: str, fatal: bool = True) -> None:
        self.report(Fault(self.path, where, message, fatal))

    def with_ids(self, kind: str, entries: Iterable[Any]) -> Iterable[tuple[int, dict[str, Any]]]:
        """Each entry that is an object with an id of its own."""
        seen: set[int] = set()
        for number, entry in enumerate(entries):
            if not isinstance(entry, dict):
                self.fault(f"{kind} number {number}", f"must be an object, not {shorten(entry)}")
                continue
            key = _whole(entry.get("id"))
            if key is None:
                message = f"id must be a whole number, not {shorten(entry.get('id'))}"
                advice = MADE_GOOD if kind != "annotation" and is_text(entry.get("id")) else ""
                self.fault(f"{kind} number {number}", message + advice)
            elif key in seen:
                self.fault(f"{kind} {key}", "duplicate id")
            else:
                seen.add(key)
                yield key, entry

    def categories(self, entries: list[Any]) -> dict[int, str]:
        """Name of each category id."""
        names: dict[int, str] = {}
        seen: set[str] = set()
        for key, entry in self.with_ids("category", entries):
            name = entry.get("name")
            if not is_text(name) or not name:
                self.fault(f"category {key}", f"name must be text, not {shorten(name)}")
                continue
            if name in seen:
                self.fault(f"category {key}", f"duplicate name {shorten(name)}", fatal=False)
            seen.add(name)
            names[key] = name
        if not names:
            self.fault("", "has no categories")
        return names

    def images(self, entries: list[Any]) -> dict[int, LabelledImage]:
        """Each image id's image, still without objects, in the order of the file."""
        images: dict[int, LabelledImage] = {}
        ids_by_name: dict[str, int] = {}
        for key, entry in self.with_ids("image", entries):
            name = entry.get("file_name")
            width, height = _whole(entry.get("width")), _whole(entry.get("height"))
            problem = name_fault(name)
            if problem is None and not (width and height and 0 < width < MAX_NUMBER and 0 < height < MAX_NUMBER):
                sizes = f"{shorten(entry.get('width'))} x {shorten(entry.get('height'))}"
                problem = f"width and height must be whole numbers above 0, not {sizes}"
                problem += "" if entry.get("width") and entry.get("height") else MADE_GOOD
            if problem is not None or width is None or height is None:
                self.fault(f"image {key}", str(problem))
                continue
            name = str(name)
            if name in ids_by_name:
                self.fault(f"image {key}", f"{shorten(name)} is also image {ids_by_name[name]}", fatal=False)
            ids_by_name.setdefault(name, key)
            group = entry.get(self.group_field)
            if not (group is None or isinstance(group, (int, float)) or is_text(group)):
                self.fault(
                    f"image {key}", f"{shorten(self.group_field)} must be text or a number, not {shorten(group)}"
                )
                continue
            group = None if group is None else str(group)
            images[key] = LabelledImage(
                name, width, height, np.zeros((0, 4)), np.zeros(0, np.int64), group, image_id=key
            )
        return images

    def annotations(
        self, entries: list[Any], images: Mapping[int, LabelledImage], label_of: Mapping[int, int]
    ) -> Mapping[int, list[_Row]]:
        """Objects of each image id."""
        objects: dict[int, list[_Row]] = defaultdict(list)
        counts: Counter[int] = Counter()
        for key, entry in self.with_ids("annotation", entries):
            where = f"annotation {key}"
            if key == 0:  # pycocotools takes a match with id 0 for no match: the object would never be found
                self.fault(where, "annotation ids must start at 1; `tools/prepare_dataset.py coco` renumbers them")
            image_id, category_id = _whole(entry.get("image_id")), _whole(entry.get("category_id"))
            box = four_numbers(entry.get("bbox"))
            if image_id is None or image_id not in images:
                self.fault(where, f"image_id {shorten(entry.get('image_id'))} is not among the images")
            elif category_id is None or category_id not in label_of:
                self.fault(where, f"category_id {shorten(entry.get('category_id'))} is not among the categories")
            elif box is None:
                self.fault(where, f"bbox must be 4 finite numbers, not {shorten(entry.get('bbox'))}")
            elif box[2] < 0 or box[3] < 0:
                self.fault(where, f"bbox {shorten(entry['bbox'])} has a negative width or height")
            elif entry.get("iscrowd", 0) not in (0, 1):
                advice = MADE_GOOD if entry.get("iscrowd") is None else ""
                self.fault(where, f"iscrowd must be 0 or 1, not {shorten(entry.get('iscrowd'))}{advice}")
            else:
                counts[image_id] += 1
                check_objects(counts[image_id], self.path, f"image {image_id}")
                clipped = self._clip(where, box, images[image_id])
                if clipped is not None:
                    area = entry.get("area")
                    area = float(area if isinstance(area, (int, float)) else box[2] * box[3])
                    crowd = bool(entry.get("iscrowd", 0))
                    objects[image_id].append((*clipped, label_of[category_id], crowd, area))
        return objects

    def _clip(
        self, where: str, box_xywh: tuple[float, float, float, float], image: LabelledImage
    ) -> tuple[float, float, float, float] | None:
        """The part of a box inside its image as xyxy; None where there is none."""
        x, y, width, height = box_xywh
        if x >= 0 and y >= 0 and 0 < width <= image.width - x and 0 < height <= image.height - y:
            return x, y, x + width, y + height
        left, top = max(x, 0.0), max(y, 0.0)
        right, bottom = min(x + width, float(image.width)), min(y + height, float(image.height))
        shown = f"bbox [{x:g}, {y:g}, {width:g}, {height:g}]"
        if width == 0 or height == 0:
            self.fault(where, f"{shown} has no area", fatal=False)
            return None
        if left >= right or top >= bottom:
            self.fault(where, f"{shown} lies outside the image of {image.width} x {image.height}", fatal=False)
            return None
        overhang = max(left - x, top - y, x + width - right, y + height - bottom)
        if overhang > 0.01:  # pixels: less is rounding
            message = f"{shown} reaches {overhang:.3g} pixels out of the image of {image.width} x {image.height}"
            self.fault(where, message, fatal=False)
        return left, top, right, bottom


def _with_objects(image: LabelledImage, rows: Sequence[_Row]) -> LabelledImage:
    """The image with its objects, crowds apart."""
    numbers = np.array(rows, np.float64).reshape(-1, 7)
    boxes, labels, crowd = numbers[:, :4], numbers[:, 4].astype(np.int64), numbers[:, 5] != 0
    return replace(
        image,
        boxes_xyxy=boxes[~crowd],
        labels=labels[~crowd],
        crowd_xyxy=boxes[crowd],
        crowd_labels=labels[crowd],
        areas=numbers[~crowd, 6],
    )


def _entries(document: Mapping[str, Any], key: str, path: Path) -> list[Any]:
    """One of the file's three lists."""
    value = document.get(key)
    if not isinstance(value, list):
        raise UserError(f"{printable(path)}: not a COCO file: {key} must be a list, not {shorten(value)}")
    return value


def _whole(value: object) -> int | None:
    """A whole number as int (also 3.0, as some tools write it); None for anything else, true and false too."""
    if type(value) is int or (type(value) is float and value.is_integer()):
        return int(value) if -MAX_ID < value < MAX_ID else None
    return None


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value of a JSON file is a finite number of a sensible size; true and false are none."""
    return type(value) in (int, float) and -MAX_NUMBER < value < MAX_NUMBER  # type: ignore[operator]  # NaN fails


def four_numbers(value: object) -> tuple[float, float, float, float] | None:
    """The numbers of a box, see `is_number`; None for anything else."""
    if not isinstance(value, list) or len(value) != 4 or not all(map(is_number, value)):
        return None
    x, y, width, height = map(float, value)
    return x, y, width, height
