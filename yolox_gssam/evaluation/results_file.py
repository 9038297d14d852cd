"""Anyone's detections: a file in COCO's results format, checked entry by entry.

Format: https://cocodataset.org/#format-results.
"""

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.text import one_line, printable, shorten
from yolox_gssam.data.coco_reader import MAX_NUMBER, CocoSplit
from yolox_gssam.detections import Detections


def read_results(path: Path, split: CocoSplit) -> dict[int, Detections]:
    """Image id -> the detections that a results file has there, in its order; as many an image as it likes.

    Raises:
        UserError: the file cannot be read, is no list of detections, or has an entry that does not fit the split.
    """
    if not path.is_file():  # a pipe would be waited for without end
        raise UserError(f"{printable(path)}: no such file of detections")
    try:
        entries = json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"{printable(path)}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise UserError(f"{printable(path)}: not a JSON file: {one_line(error)}") from error
    if not isinstance(entries, list):
        raise UserError(
            f"{printable(path)}: not in COCO's results format: a list of {{image_id, category_id, bbox, score}} was "
            f"expected, not {shorten(entries)}"
        )
    labels = {category_id: label for label, category_id in enumerate(split.category_ids)}
    known = {image.image_id for image in split.images}
    rows: dict[int, list[tuple[list[float], float, int]]] = defaultdict(list)
    for number, entry in enumerate(entries):
        if (fault := _fault(entry, known, labels, split)) is not None:
            raise UserError(f"{printable(path)}: detection number {number}: {fault}")
        rows[int(entry["image_id"])].append((entry["bbox"], entry["score"], labels[entry["category_id"]]))
    detections = {}
    for image_id, of_image in rows.items():
        boxes_xywh, scores, found = zip(*of_image, strict=True)
        boxes = np.array(boxes_xywh, np.float32)
        boxes[:, 2:] += boxes[:, :2]
        detections[image_id] = Detections(boxes, np.array(scores, np.float32), np.array(found, np.int64))
    return detections


def _fault(entry: Any, image_ids: set[int], labels: Mapping[int, int], split: CocoSplit) -> str | None:
    """What is wrong with an entry; None for nothing."""
    if not isinstance(entry, dict):
        return f"must be an object with image_id, category_id, bbox and score, not {shorten(entry)}"
    image_id, category_id = entry.get("image_id"), entry.get("category_id")
    box: Any = entry.get("bbox")
    score: Any = entry.get("score")
    if type(image_id) not in (int, float) or image_id not in image_ids:
        return f"image_id {shorten(image_id)} is not among the {len(image_ids)} images of {printable(split.path)}"
    if type(category_id) not in (int, float) or category_id not in labels:
        there = ", ".join(f"{key} ({split.classes[label]})" for key, label in labels.items())
        return f"category_id {shorten(category_id)} is not among those of {printable(split.path)}: {there}"
    if not isinstance(box, list) or len(box) != 4 or not all(_is_number(value, MAX_NUMBER) for value in box):
        return f"bbox must be four finite numbers [left, top, width, height] in pixels, not {shorten(box)}"
    if box[2] < 0 or box[3] < 0:
        return f"bbox {shorten(box)} has a negative width or height; it is [left, top, width, height] in pixels"
    if not _is_number(score, 1) or score < 0:
        return f"score must be a finite number from 0 to 1, not {shorten(score)}"
    return None


def _is_number(value: Any, most: float) -> bool:
    """Whether it is a number, no truth value, from -`most` to `most`; NaN fails each comparison."""
    return type(value) in (int, float) and -most <= value <= most
