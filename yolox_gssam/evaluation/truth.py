"""The true objects of a split, read from its annotation file for evaluation."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolox_gssam.data.coco import CocoSplit


@dataclass(frozen=True, eq=False)
class Truth:
    """The true objects of one image.

    Attributes:
        boxes_xywh: (n, 4) float64, left, top, width, height in pixels of the image, as in the file.
        labels: (n,) int64, index into the split's classes.
        crowd: (n,) bool, regions of many objects: a detection inside one is neither right nor wrong.
    """

    boxes_xywh: NDArray[np.float64]
    labels: NDArray[np.int64]
    crowd: NDArray[np.bool_]

    def of_class(self, label: int) -> "Truth":
        """Those of one class."""
        keep = self.labels == label
        return Truth(self.boxes_xywh[keep], self.labels[keep], self.crowd[keep])


def load_annotations(split: CocoSplit) -> list[dict[str, Any]]:
    """The COCO annotations of the split's images and classes, without ids, with `area` and `iscrowd` where absent."""
    image_ids, category_ids = {image.image_id for image in split.images}, set(split.category_ids)
    with split.path.open(encoding="utf-8") as stream:
        in_file = json.load(stream)["annotations"]
    return [
        {
            "image_id": annotation["image_id"],
            "category_id": annotation["category_id"],
            "bbox": annotation["bbox"],
            "area": _area(annotation),
            "iscrowd": int(annotation.get("iscrowd", 0)),
        }
        for annotation in in_file
        if annotation["image_id"] in image_ids and annotation["category_id"] in category_ids
    ]


def truth_by_image(split: CocoSplit) -> dict[int, Truth]:
    """The true objects of every image of the split, by image id; images without objects are there too."""
    label_of = {category_id: label for label, category_id in enumerate(split.category_ids)}
    rows: dict[int, list[dict[str, Any]]] = {image.image_id: [] for image in split.images}
    for annotation in load_annotations(split):
        rows[annotation["image_id"]].append(annotation)
    return {
        image_id: Truth(
            np.array([row["bbox"] for row in of_image], dtype=np.float64).reshape(-1, 4),
            np.array([label_of[row["category_id"]] for row in of_image], dtype=np.int64),
            np.array([row["iscrowd"] for row in of_image], dtype=bool),
        )
        for image_id, of_image in rows.items()
    }


def _area(annotation: dict[str, Any]) -> float:
    """In square pixels: what the file says, which may be the area of a mask, or else that of the box."""
    area = annotation.get("area")
    return float(area if isinstance(area, (int, float)) else annotation["bbox"][2] * annotation["bbox"][3])
