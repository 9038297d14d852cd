"""A labelled image: what every reader gives, every data set is made of, and training and evaluation take."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


def _below(side: int) -> tuple[float, float]:
    """Areas of less than a square of `side` pixels; both ends of a range belong to it, as COCO counts."""
    return 0.0, float(np.nextafter(side**2, 0))


AREAS: dict[str, tuple[float, float]] = {
    "very tiny": _below(8),
    "tiny": _below(16),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e10),
}
"""Size of an object -> from which to which area, in square pixels of the original image, both ends included: "tiny"
holds "very tiny", and "small" holds both. The last three are COCO's own."""
SIZE_LIMITS = {
    "very tiny": "< 8 x 8",
    "tiny": "< 16 x 16",
    "small": "< 32 x 32",
    "medium": "to 96 x 96",
    "large": "> 96 x 96",
}
"""What tables say of `AREAS`, in pixels."""


@dataclass(frozen=True, eq=False)
class LabelledImage:
    """One image and its objects, without its pixels.

    Attributes:
        file_name: relative to the image folder, forward slashes.
        width, height: in pixels, of the image when upright.
        boxes_xyxy: (n, 4) float64, pixels: the image's left upper corner is (0, 0).
        labels: (n,) int64, index into the classes, from 0.
        group: what the image belongs with, such as a clip: images of one group stay in one split. None: nothing.
        crowd_xyxy: (m, 4) float64, regions of many objects: no objects to train on, and not counted.
        crowd_labels: (m,) int64.
        areas: (n,) float64, square pixels of each object by a file, such as that of its mask. None: those of the boxes.
        image_id: in a COCO file.
        split: "train", "val" or "test", where it is told.
        stratum: groups of one stratum (a sensor) are spread over all splits by themselves.
        notes: further fields of each object's annotation, such as the box as it was before. None: no further ones.
    """

    file_name: str
    width: int
    height: int
    boxes_xyxy: NDArray[np.float64]
    labels: NDArray[np.int64]
    group: str | None = None
    crowd_xyxy: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 4)))
    crowd_labels: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    areas: NDArray[np.float64] | None = None
    image_id: int = 0
    split: str | None = None
    stratum: str = ""
    notes: Sequence[Mapping[str, Any]] | None = None

    @property
    def object_areas(self) -> NDArray[np.float64]:
        """(n,) `areas`, or else those of the boxes, in square pixels."""
        if self.areas is not None:
            return self.areas
        return np.asarray((self.boxes_xyxy[:, 2:] - self.boxes_xyxy[:, :2]).prod(axis=1))


def xywh_to_xyxy(boxes_xywh: NDArray[np.float64] | Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """Boxes (n, 4) of left, top, width and height as left, top, right and bottom, float64."""
    boxes = np.asarray(boxes_xywh, np.float64).reshape(-1, 4)
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def xyxy_to_xywh(boxes_xyxy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Boxes (n, 4) of left, top, right and bottom as left, top, width and height."""
    return np.concatenate([boxes_xyxy[:, :2], boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]], axis=1)
