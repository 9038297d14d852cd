"""A set labelled with Labelme: a JSON file an image, with polygons, rectangles, circles or masks.

Format: https://github.com/wkentaro/labelme. Points are edges in pixels from 0; a shape's box is what encloses it.
"""

import base64
import io
import math
from collections.abc import Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

import cv2
import numpy as np
from PIL import Image

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.images import image_size
from yolox_gssam.common.text import is_text, printable, shorten
from yolox_gssam.data.coco_reader import is_number, read_json
from yolox_gssam.data.faults import Fault, Report, check_objects
from yolox_gssam.data.formats.samples import LabelledSet, Sample, find_images, part_of_path

SHAPES = ("polygon", "rectangle", "circle", "linestrip", "mask", "oriented_rectangle")
"""Kinds of shapes that are read; points and lines have no area."""


def is_labelme(path: Path) -> bool:
    """Whether a JSON file is one of Labelme's."""
    try:
        document = read_json(path)
    except UserError:
        return False
    return isinstance(document, dict) and isinstance(document.get("shapes"), list) and "imagePath" in document


def read_labelme_set(
    root: Path, *, report: Report, classes: Sequence[str] = (), keep_split: bool = False
) -> LabelledSet:
    """Reads all of Labelme's files below `root`; an image is the one of the file's own name.

    Args:
        classes: in label order; none: all that are found, by alphabet.
        keep_split: the parts are those that folders are named after.

    Raises:
        UserError: no such files, an image that is missing, a folder that names no part; and whatever `report` raises.
    """
    paths = [path for path in sorted(root.rglob("*.json")) if is_labelme(path)]
    if not paths:
        raise UserError(f"{printable(root)}: no JSON files of Labelme")
    images: dict[str, list[Path]] = {}
    for image in find_images(root, report):
        images.setdefault(image.stem, []).append(image)
    objects = {path: _shapes(path, report) for path in paths}
    names = tuple(classes) or tuple(sorted({name for shapes in objects.values() for name, _ in shapes}))
    samples = []
    for path in paths:
        image = _image(path, images)
        part = part_of_path(path.parent.relative_to(root)) or part_of_path(image.parent.relative_to(root))
        if keep_split and part is None:
            raise UserError(f"{printable(path)}: --keep-split needs folders called train, val and test")
        kept = [(name, box) for name, box in objects[path] if name in names]
        for name in sorted({name for name, _ in objects[path]} - set(names)):
            report(Fault(path, f"label {shorten(name)}", f"is not one of {printable(', '.join(names))}"))
        boxes = np.array([box for _, box in kept], np.float64).reshape(-1, 4)
        labels = [names.index(name) for name, _ in kept]
        file_name = image.relative_to(root).as_posix()
        samples.append(Sample(image, file_name, boxes, labels, part=part if keep_split else None))
    return LabelledSet(names, samples)


def _image(path: Path, images: dict[str, list[Path]]) -> Path:
    """The image of a file: of its own name, beside it where there are several."""
    found = images.get(path.stem, [])
    beside = [image for image in found if image.parent == path.parent]
    chosen = beside or found
    if len(chosen) == 1:
        return chosen[0]
    said = read_json(path).get("imagePath")
    named = [image for image in chosen if is_text(said) and image.name == PureWindowsPath(said).name]
    if len(named) == 1:
        return named[0]
    message = (
        f"{len(chosen)} images of its name" if chosen else f"no image of its name (imagePath says {shorten(said)})"
    )
    raise UserError(f"{printable(path)}: {message}")


def _shapes(path: Path, report: Report) -> list[tuple[str, list[float]]]:
    """Name and box [x, y, width, height] of each shape with an area."""
    shapes = read_json(path)["shapes"]
    check_objects(len(shapes), path)
    found: list[tuple[str, list[float]]] = []
    for number, shape in enumerate(shapes, 1):
        where = f"shape {number}"
        if not isinstance(shape, dict) or not is_text(shape.get("label")) or not shape["label"]:
            report(Fault(path, where, "has no label"))
            continue
        kind, points = shape.get("shape_type") or "polygon", _points(shape.get("points"))
        if kind not in SHAPES:
            report(Fault(path, where, f"is a {shorten(kind)}, which has no area; left out", fatal=False))
        elif points is None:
            report(Fault(path, where, f"points must be pairs of finite numbers, not {shorten(shape.get('points'))}"))
        else:
            box = _box(kind, points, shape.get("mask"))
            if box is None or box[2] <= 0 or box[3] <= 0:
                report(Fault(path, where, "has no area; left out", fatal=False))
            else:
                found.append((shape["label"], box))
    return found


def _points(value: Any) -> list[tuple[float, float]] | None:
    """The corners of a shape; None for anything but pairs of finite numbers."""
    if not isinstance(value, list) or not value:
        return None
    if not all(isinstance(pair, list) and len(pair) == 2 and all(map(is_number, pair)) for pair in value):
        return None
    return [(float(x), float(y)) for x, y in value]


def _box(kind: str, points: Sequence[tuple[float, float]], mask: Any) -> list[float] | None:
    """What encloses a shape, as [x, y, width, height]; None where it cannot be told."""
    if kind == "circle" and len(points) == 2:
        (x, y), rim = points
        radius = math.dist((x, y), rim)
        return [x - radius, y - radius, 2 * radius, 2 * radius]
    left, top = (min(point[axis] for point in points) for axis in (0, 1))
    right, bottom = (max(point[axis] for point in points) for axis in (0, 1))
    if kind == "mask" and isinstance(mask, str):
        inner = _mask_box(mask)
        return None if inner is None else [left + inner[0], top + inner[1], inner[2], inner[3]]
    return [left, top, right - left, bottom - top]


def _mask_box(text: str) -> tuple[int, int, int, int] | None:
    """The box of what is drawn in a mask, a PNG in base64; None where it cannot be read."""
    try:
        data = base64.b64decode(text, validate=True)
        image_size(data, "mask")  # refuses what is too large
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            left, top, width, height = cv2.boundingRect(np.asarray(image.convert("L")))
    except Exception:  # of base64 and of the decoder, of many kinds
        return None
    return left, top, width, height
