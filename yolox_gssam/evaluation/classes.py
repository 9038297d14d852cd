"""Whether data have the classes that a detector was trained on, and measuring it where they have others."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.text import printable
from yolox_gssam.data.coco_reader import CocoSplit
from yolox_gssam.data.labelled import LabelledImage
from yolox_gssam.detections import Detections
from yolox_gssam.evaluation.matching import SplitDetections


def check_classes(split: CocoSplit, class_names: Sequence[str], checkpoint: str) -> None:
    """Raises UserError where the data's classes are not the network's: every number would be wrong without a word."""
    if split.classes != tuple(class_names):
        raise UserError(
            f"{printable(split.path)}: its classes {list(split.classes)} are not those that {checkpoint} was trained "
            f"on, {list(class_names)}, in this order; set data_dir to a data set with these, or measure those of the "
            f"same name by tools/eval.py --common-classes"
        )


def common_classes(split: CocoSplit, class_names: Sequence[str]) -> tuple[str, ...]:
    """The classes of the data, in their order, that the network knows too, by name.

    Raises:
        UserError: there are none, or one of them stands for two classes.
    """
    common = tuple(name for name in split.classes if name in class_names)
    for name in common:
        if common.count(name) > 1 or list(class_names).count(name) > 1:
            raise UserError(f"{printable(split.path)}: two classes are named {name!r}; give each a name of its own")
    if not common:
        raise UserError(
            f"{printable(split.path)}: none of its classes {list(split.classes)} is among those of the network, "
            f"{list(class_names)}"
        )
    return common


def keep_classes(split: CocoSplit, classes: Sequence[str]) -> CocoSplit:
    """The same images with the objects of `classes` alone, labelled in this order; all other objects are background."""
    numbers = _numbers(split.classes, classes)
    return replace(
        split,
        classes=tuple(classes),
        category_ids=tuple(split.category_ids[split.classes.index(name)] for name in classes),
        images=tuple(_keep_objects(image, numbers) for image in split.images),
    )


def keep_detections(
    detections: SplitDetections, class_names: Sequence[str], classes: Sequence[str]
) -> dict[int, Detections]:
    """Detections of each image id, labelled as in `class_names` -> those of `classes`, labelled in that order."""
    numbers = _numbers(class_names, classes)
    kept = {}
    for image_id, found in detections.items():
        labels = numbers[found.labels]
        keep = labels >= 0
        kept[image_id] = Detections(found.boxes_xyxy[keep], found.scores[keep], labels[keep])
    return kept


def _numbers(names: Sequence[str], wanted: Sequence[str]) -> NDArray[np.int64]:
    """The place in `wanted` of each of `names`, -1 where it is not there."""
    return np.array([wanted.index(name) if name in wanted else -1 for name in names], np.int64)


def _keep_objects(image: LabelledImage, numbers: NDArray[np.int64]) -> LabelledImage:
    labels, crowd_labels = numbers[image.labels], numbers[image.crowd_labels]
    return replace(
        image,
        boxes_xyxy=image.boxes_xyxy[labels >= 0],
        labels=labels[labels >= 0],
        areas=image.object_areas[labels >= 0],
        crowd_xyxy=image.crowd_xyxy[crowd_labels >= 0],
        crowd_labels=crowd_labels[crowd_labels >= 0],
    )
