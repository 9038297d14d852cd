"""What other tools leave out of COCO files or write otherwise, put right where it can be told from the rest.

The reader itself takes none of it: pycocotools and its kin, which read the made files, would go wrong on it.
"""

import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.images import image_size, read_image_bytes
from yolox_gssam.common.text import is_text, printable, shorten
from yolox_gssam.data.coco_reader import is_number
from yolox_gssam.data.faults import Fault, Report
from yolox_gssam.data.paths import find_end, name_fault

_NUMBER_TEXT = re.compile(r"[0-9]{1,15}")  # any such number is below 2**53


def repair_coco(document: Any, path: Path, folder: Path, report: Report) -> None:
    """Changes a parsed annotation file in place and reports what was changed, one line a kind with its count.

    Ids written as text become numbers, names with backslashes or of another machine those of files that are there,
    sizes come from the images, boxes from the polygons or masks, and iscrowd null or as text becomes 0 or 1. Of
    categories of one name those without objects are dropped. What cannot be told is left for the reader to report.

    Raises:
        UserError: an image without a size that cannot be read; and whatever `report` raises.
    """
    if not isinstance(document, dict):
        return
    images, annotations, categories = (_objects(document, key) for key in ("images", "annotations", "categories"))

    def tell(count: int, message: str) -> None:
        if count:
            report(Fault(path, "", f"{count} {message}", fatal=False, of_set=True))

    tell(_number_ids(images, annotations, "image_id"), "image ids are text; they were read as numbers")
    tell(_number_ids(categories, annotations, "category_id"), "category ids are text; they were read as numbers")
    slashes, moved = _find_files(images, path, folder, report)
    tell(slashes, "file names have backslashes; they were read as slashes")
    tell(moved, "file names lead nowhere from here; the images whose paths end alike were taken")
    tell(_add_sizes(images, path, folder), "images had no width and height; they were read from the files")
    tell(sum(map(_mend_crowd, annotations)), "annotations had iscrowd null or as text; null was read as 0")
    tell(
        sum(map(_add_box, annotations)),
        "annotations had no bbox, or none with an area; their polygons' or masks' was taken",
    )
    document["categories"] = _without_doubles(document.get("categories"), annotations, path, report)


def _objects(document: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """The entries of one of the file's lists that are objects."""
    entries = document.get(key)
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def _number_ids(entries: Sequence[dict[str, Any]], annotations: Sequence[dict[str, Any]], key: str) -> int:
    """Turns ids into numbers, also where the annotations refer to them; returns how many were text.

    Digits are read as the number. Where that is not possible for all, the ids of text are numbered anew in the order of
    the file, behind those that are numbers.
    """
    texts = dict.fromkeys(entry["id"] for entry in entries if is_text(entry.get("id")))
    numbers = [entry["id"] for entry in entries if type(entry.get("id")) is int]
    if all(_NUMBER_TEXT.fullmatch(text) for text in texts) and len({int(text) for text in texts}) == len(texts):
        number_of = {text: int(text) for text in texts}
    else:
        number_of = {text: number for number, text in enumerate(texts, max([0, *numbers]) + 1)}
    for entry in entries:
        if is_text(entry.get("id")):
            entry["id"] = number_of[entry["id"]]
    referring = 0
    for annotation in annotations:
        text = annotation.get(key)
        if is_text(text) and (text in number_of or _NUMBER_TEXT.fullmatch(text)):
            annotation[key] = number_of.get(text, int(text) if _NUMBER_TEXT.fullmatch(text) else 0)
            referring += 1
    return len(texts) or referring


def _find_files(images: Sequence[dict[str, Any]], path: Path, folder: Path, report: Report) -> tuple[int, int]:
    """Writes names that are no paths below the image folder as such, where the file is there.

    Returns:
        How many had backslashes only, and of how many only the end was found.
    """
    slashes = moved = 0
    for entry in images:
        name = entry.get("file_name")
        if not is_text(name) or not (name_fault(name) or "\\" in name) or os.path.exists(folder / name):
            continue
        with_slashes = os.path.normpath(name.replace("\\", "/"))
        end = find_end(name, folder)
        if end is not None:
            entry["file_name"] = end.relative_to(folder).as_posix()
            slashes += entry["file_name"] == with_slashes
            moved += entry["file_name"] != with_slashes
        elif "\\" in name and name_fault(with_slashes) is None:
            message = (
                f"file_name {shorten(name)} has backslashes, and {printable(with_slashes)} is not in "
                f"{printable(folder)} either; tell the folder that it starts from by --images"
            )
            report(Fault(path, f"image {shorten(entry.get('id'))}", message))
    return slashes, moved


def _add_sizes(images: Sequence[dict[str, Any]], path: Path, folder: Path) -> int:
    """Reads the sizes that are missing, in part or both, or 0 as some tools write; returns how many."""
    count = 0
    for entry in images:
        name = entry.get("file_name")
        if (entry.get("width") and entry.get("height")) or name_fault(name):
            continue
        try:
            file = folder / str(name)
            entry["width"], entry["height"] = image_size(read_image_bytes(file), file)
        except UserError as error:
            where = f"{printable(path)}: image {shorten(entry.get('id'))}"
            raise UserError(f"{where}: has no width and height, and its file cannot tell them: {error}") from error
        count += 1
    return count


def _mend_crowd(annotation: dict[str, Any]) -> bool:
    """Whether iscrowd had to be put right."""
    value = annotation.get("iscrowd", 0)
    if value is None or value in ("0", "1"):
        annotation["iscrowd"] = int(value or 0)
        return True
    return False


def _add_box(annotation: dict[str, Any]) -> bool:
    """Whether the box was missing or without an area, and could be taken from polygons."""
    box = annotation.get("bbox")
    is_empty = isinstance(box, list) and (not box or (len(box) == 4 and 0 in box[2:]))
    if not (box is None or is_empty):
        return False
    polygons = annotation.get("segmentation")
    if isinstance(polygons, dict):
        return _add_box_of_mask(annotation, polygons)
    if not isinstance(polygons, list) or not polygons:
        return False
    corners: list[float] = []
    for polygon in polygons if isinstance(polygons[0], list) else [polygons]:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2 or not all(map(is_number, polygon)):
            return False
        corners += polygon
    points = np.array(corners, np.float64).reshape(-1, 2)
    low, high = points.min(axis=0), points.max(axis=0)
    annotation["bbox"] = [*low.tolist(), *(high - low).tolist()]
    return True


def _add_box_of_mask(annotation: dict[str, Any], mask: dict[str, Any]) -> bool:
    """Whether a box could be taken from a run-length encoded mask, compressed or not: that of its pixels above 0.

    Not by pycocotools, which reads past the end of what is broken.
    """
    size, counts = mask.get("size"), mask.get("counts")
    if not isinstance(size, list) or len(size) != 2 or not all(type(side) is int and side > 0 for side in size):
        return False
    try:
        if isinstance(counts, str):
            counts = rle_counts(counts)
        if not isinstance(counts, list) or not all(type(count) is int and count >= 0 for count in counts):
            return False
    except ValueError:
        return False
    if sum(counts) != size[0] * size[1] or len(counts) < 2:
        return False
    # Runs go down the columns, of pixels that are 0 and 1 in turn.
    ends = np.cumsum(counts)
    starts, lasts = ends[:-1][::2], ends[1::2] - 1
    drawn = lasts >= starts[: len(lasts)]
    starts, lasts = starts[: len(lasts)][drawn], lasts[drawn]
    if not len(starts):
        return False
    height = size[0]
    whole = (starts // height != lasts // height).any()  # a run that goes on in the next column has its top and its end
    top, bottom = (0, height - 1) if whole else (int((starts % height).min()), int((lasts % height).max()))
    left, right = int(starts.min()) // height, int(lasts.max()) // height
    annotation["bbox"] = [left, top, right + 1 - left, bottom + 1 - top]
    return True


def rle_counts(text: str) -> list[int]:
    """The run lengths in COCO's compressed text: six bits a letter, five of them number, and differences to two before.

    Raises:
        ValueError: it breaks off, or has other letters.
    """
    counts: list[int] = []
    position = 0
    while position < len(text):
        value, shift, more = 0, 0, True
        while more:
            if position >= len(text) or not 0 <= (bits := ord(text[position]) - 48) < 64:
                raise ValueError("no run lengths")
            value |= (bits & 0x1F) << shift
            shift, more, position = shift + 5, bool(bits & 0x20), position + 1
            if not more and bits & 0x10:
                value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
    return counts


def _without_doubles(categories: Any, annotations: Sequence[dict[str, Any]], path: Path, report: Report) -> Any:
    """The categories but those without objects whose name another one has; where none has objects, the last stays.

    Exporters write a root category above the classes, often of a class's own name.
    """
    if not isinstance(categories, list):
        return categories
    ids = [annotation.get("category_id") for annotation in annotations]
    objects = Counter(key for key in ids if isinstance(key, (int, float)))
    of_name: dict[str, list[dict[str, Any]]] = {}
    for entry in categories:
        if isinstance(entry, dict) and is_text(entry.get("name")) and isinstance(entry.get("id"), (int, float)):
            of_name.setdefault(entry["name"], []).append(entry)
    dropped: set[int] = set()
    for name, entries in of_name.items():
        used = [entry for entry in entries if objects[entry["id"]]] or entries[-1:]
        if len(used) > 1:
            shown = " and ".join(shorten(entry["id"]) for entry in used)
            report(Fault(path, f"categories {shown}", f"are all called {shorten(name)} and have objects; rename them"))
        for entry in entries:
            if not any(entry is other for other in used):
                dropped.add(id(entry))
                message = f"{shorten(name)} is also category {shorten(used[0]['id'])}, and has no objects; dropped"
                report(Fault(path, f"category {shorten(entry['id'])}", message, fatal=False))
    return [entry for entry in categories if id(entry) not in dropped]
