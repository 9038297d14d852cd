"""Small splits and detections that the tests of evaluation share."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from yolox_gssam.data.coco_reader import CocoSplit, load_split
from yolox_gssam.detections import Detections

Box = Sequence[float]
CLASSES = {3: "bird", 7: "drone", 9: "plane"}
WIDTH, HEIGHT = 640, 512


def make_split(folder: Path, images: Sequence[Sequence[tuple[int, Box]]], **fields: Any) -> CocoSplit:
    """A split of images with (category id, box_xywh) objects; image ids from 1, `fields` go into each annotation."""
    annotations = []
    for image_id, objects in enumerate(images, start=1):
        for category_id, box in objects:
            annotation = {"image_id": image_id, "category_id": category_id, "bbox": list(box), "iscrowd": 0}
            annotations.append(
                {"id": len(annotations) + 1, "area": float(box[2]) * float(box[3]), **annotation, **fields}
            )
    document = {
        "images": [
            {"id": image_id, "file_name": f"{image_id}.jpg", "width": WIDTH, "height": HEIGHT}
            for image_id in range(1, len(images) + 1)
        ],
        "annotations": annotations,
        # Not in the order of the ids, as other makers of COCO files do.
        "categories": [{"id": key, "name": name} for key, name in sorted(CLASSES.items(), reverse=True)],
    }
    path = folder / "annotations" / "test.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return load_split(path, folder / "images")


def found(*rows: tuple[int, float, Box]) -> Detections:
    """Detections from (label, score, box_xywh)."""
    boxes = np.array([box for *_, box in rows], dtype=np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return Detections(boxes, [score for _, score, _ in rows], [label for label, *_ in rows])


def moved(box: Box, x: float, y: float, size: float = 8) -> Box:
    """A box of another size whose centre lies (x, y) from that of `box`."""
    return (box[0] + box[2] / 2 + x - size / 2, box[1] + box[3] / 2 + y - size / 2, size, size)


def in_clips(split: CocoSplit, length: int) -> CocoSplit:
    """The split with so many successive images a clip."""
    images = [replace(image, group=f"clip {index // length}") for index, image in enumerate(split.images)]
    return replace(split, images=tuple(images))


def random_case(folder: Path, seed: int, images: int = 30) -> tuple[CocoSplit, dict[int, Detections]]:
    """Objects of 3 to 150 pixels; detections that hit, miss, repeat, confuse and invent; no detections on image 1."""
    rng = np.random.default_rng(seed)
    truth, detections = [], {}
    for image_id in range(1, images + 1):
        objects, rows = [], []
        for _ in range(rng.integers(0, 5)):
            width, height = np.exp(rng.uniform(np.log(3), np.log(150), 2))
            label = int(rng.integers(0, 3))
            box = np.array([rng.uniform(0, WIDTH - width), rng.uniform(0, HEIGHT - height), width, height]).round(2)
            objects.append((list(CLASSES)[label], box.tolist()))
            for _ in range(rng.integers(0, 3)):
                hit = box + rng.normal(0, 0.1, 4) * np.array([width, height, width, height])
                wrong = rng.random() < 0.2
                rows.append((int(rng.integers(0, 3)) if wrong else label, float(rng.random()), np.maximum(hit, 0.5)))
        for _ in range(rng.integers(0, 4)):
            rows.append((int(rng.integers(0, 3)), float(rng.random()) / 2, rng.uniform(5, 60, 4)))
        truth.append(objects)
        if image_id > 1:
            # Two digits: equal scores occur.
            detections[image_id] = found(*((label, round(score, 2), box) for label, score, box in rows))
    return make_split(folder, truth), detections
