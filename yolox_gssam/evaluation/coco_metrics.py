"""COCO's numbers, and the same for objects smaller than COCO's "small".

By hotcoco where it is installed, thirty times as fast as pycocotools and equal to it to the bit, else by pycocotools.
Source: Lin et al., "Microsoft COCO: Common Objects in Context", 2014, and https://cocodataset.org/#detection-eval.
"""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from loguru import logger
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from yolox_gssam.data.coco_reader import CocoSplit
from yolox_gssam.data.labelled import AREAS, xyxy_to_xywh
from yolox_gssam.evaluation.matching import SplitDetections

RECALLS = tuple(np.linspace(0, 1, 101).tolist())
_ALL, _IOU_50, _IOU_75, _MAX_1, _MAX_10, _MAX_100 = 0, 0, 5, 0, 1, 2


@dataclass(frozen=True)
class Accuracy:
    """How well a group of objects is found: fractions in [0, 1], None where the group has no true object.

    Attributes:
        objects: how many true objects there are, crowd regions left out.
        ap: average precision, mean over IoU 0.50 to 0.95 and over the classes.
        ap50: average precision at IoU 0.50.
        ap75: average precision at IoU 0.75.
        ar: average recall with at most 100 detections per image, mean over IoU 0.50 to 0.95 and over the classes.
    """

    objects: int
    ap: float | None
    ap50: float | None
    ap75: float | None
    ar: float | None


@dataclass(frozen=True)
class CocoMetrics:
    """The numbers of one split.

    Attributes:
        overall: all objects.
        ar_1: average recall with one detection an image; None without a true object.
        ar_10: the same with ten.
        by_size: size name -> its objects, sizes as in `AREAS`. "tiny" holds "very tiny", "small" holds both.
        by_class: class name -> its objects; where two classes share a name, the category id stands beside it.
        precision_50: class name -> precision at the recalls `RECALLS`, at IoU 0.50; None without a true object.
        evaluator: the package that computed them.
    """

    overall: Accuracy
    ar_1: float | None
    ar_10: float | None
    by_size: dict[str, Accuracy]
    by_class: dict[str, Accuracy]
    precision_50: dict[str, tuple[float, ...] | None]
    evaluator: str

    def twelve(self) -> dict[str, float | None]:
        """COCO's twelve numbers in COCO's order."""
        sizes = [self.by_size[name] for name in ("small", "medium", "large")]
        precisions = (self.overall.ap, self.overall.ap50, self.overall.ap75, *(size.ap for size in sizes))
        recalls = (self.ar_1, self.ar_10, self.overall.ar, *(size.ar for size in sizes))
        names = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
        return dict(zip(names, precisions + recalls, strict=True))


def evaluate_coco(split: CocoSplit, detections: SplitDetections) -> CocoMetrics:
    """Compares detections with the truth of a split.

    Args:
        detections: at whatever low score; COCO takes the best 100 of each class.

    Raises:
        ValueError: detections on an image, or of a class, that the split does not have.
    """
    annotations = coco_annotations(split)
    results = coco_results(split, detections)
    coco_class, evaluator_class = _evaluator_classes()
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator = evaluator_class(
            coco_index(coco_class, split, annotations), coco_index(coco_class, split, results), "bbox"
        )
        evaluator.params.areaRng = [[0.0, 1e10], *map(list, AREAS.values())]
        evaluator.params.areaRngLbl = ["all", *AREAS]
        evaluator.evaluate()
        evaluator.accumulate()
    return _metrics(split, annotations, evaluator)


def coco_annotations(split: CocoSplit) -> list[dict[str, Any]]:
    """The true objects and crowd regions of a split as COCO annotations without ids, image by image."""
    annotations = []
    for image in split.images:
        boxes_xywh = xyxy_to_xywh(np.concatenate([image.boxes_xyxy, image.crowd_xyxy])).tolist()
        labels = [*image.labels.tolist(), *image.crowd_labels.tolist()]
        areas = [*image.object_areas.tolist(), *(width * height for *_, width, height in boxes_xywh)]
        for number, (box, label) in enumerate(zip(boxes_xywh, labels, strict=True)):
            annotations.append(
                {
                    "image_id": image.image_id,
                    "category_id": split.category_ids[label],
                    "bbox": box,
                    "area": areas[number],
                    "iscrowd": int(number >= len(image.labels)),
                }
            )
    return annotations


def coco_results(split: CocoSplit, detections: SplitDetections) -> list[dict[str, Any]]:
    """The detections in COCO's results format: image_id, category_id, bbox (left, top, width, height) and score.

    Raises:
        ValueError: detections on an image, or of a class, that the split does not have.
    """
    if unknown := set(detections) - {image.image_id for image in split.images}:
        raise ValueError(f"detections on images that are not in {split.path}, such as id {min(unknown)}")
    results = []
    for image_id, found in detections.items():
        if len(found) and found.labels.max() >= len(split.classes):
            raise ValueError(f"a detection of label {found.labels.max()}, but there are {len(split.classes)} classes")
        results += found.to_coco(image_id, split.category_ids)
    return results


def percent(fraction: float | None) -> str:
    """A fraction in percent with one decimal, "-" for None.

    >>> percent(0.1234), percent(None)
    ('12.3', '-')
    """
    return "-" if fraction is None else f"{100 * fraction:.1f}"


@cache
def _evaluator_classes() -> tuple[type, type]:
    """`COCO` and `COCOeval` of hotcoco, or of pycocotools, where one line says so, once."""
    try:
        import hotcoco
    except (ImportError, OSError) as error:
        logger.info(f"evaluating by pycocotools; hotcoco, which is much faster, does not load: {error}")
        return COCO, COCOeval
    return hotcoco.COCO, hotcoco.COCOeval


def coco_index(coco_class: type, split: CocoSplit, entries: Sequence[dict[str, Any]]) -> Any:
    """The index that the evaluators work on, from memory; unlike their `loadRes` it takes an empty list too.

    Ids are counted anew in their order: hotcoco takes no negative ones, and both take a match with an object of id 0
    for no match.
    """
    image_numbers = {
        image_id: number for number, image_id in enumerate(sorted(image.image_id for image in split.images))
    }
    labels = {category_id: label for label, category_id in enumerate(split.category_ids)}
    annotations = [
        {
            "iscrowd": 0,
            "area": entry["bbox"][2] * entry["bbox"][3],
            **entry,
            "id": number,
            "image_id": image_numbers[entry["image_id"]],
            "category_id": labels[entry["category_id"]],
        }
        for number, entry in enumerate(entries, start=1)
    ]
    coco = coco_class()
    coco.dataset = {
        "images": [{"id": number} for number in image_numbers.values()],
        "categories": [{"id": label, "name": str(label)} for label in labels.values()],
        "annotations": annotations,
    }
    coco.createIndex()
    return coco


def _metrics(split: CocoSplit, annotations: Sequence[dict[str, Any]], evaluator: Any) -> CocoMetrics:
    """Reads the numbers off the arrays of the evaluator."""
    precision = evaluator.eval["precision"]  # (IoU, recall, class, area, most detections), -1 without a true object
    recall = evaluator.eval["recall"]  # (IoU, class, area, most detections)
    true_objects = [annotation for annotation in annotations if not annotation["iscrowd"]]
    areas = [annotation["area"] for annotation in true_objects]
    category_ids = [annotation["category_id"] for annotation in true_objects]

    def accuracy(objects: int, of_class: slice, of_area: int) -> Accuracy:
        group = precision[:, :, of_class, of_area, _MAX_100]
        numbers = (group, group[_IOU_50], group[_IOU_75], recall[:, of_class, of_area, _MAX_100])
        return Accuracy(objects, *map(_mean, numbers))

    every_class = slice(None)
    names = unique_names(split)
    curves = {name: precision[_IOU_50, :, label, _ALL, _MAX_100] for label, name in enumerate(names)}
    return CocoMetrics(
        overall=accuracy(len(true_objects), every_class, _ALL),
        ar_1=_mean(recall[:, :, _ALL, _MAX_1]),
        ar_10=_mean(recall[:, :, _ALL, _MAX_10]),
        by_size={
            name: accuracy(sum(low <= area <= high for area in areas), every_class, number)
            for number, (name, (low, high)) in enumerate(AREAS.items(), start=1)
        },
        by_class={
            name: accuracy(category_ids.count(split.category_ids[label]), slice(label, label + 1), _ALL)
            for label, name in enumerate(names)
        },
        precision_50={name: tuple(curve.tolist()) if curve.min() > -1 else None for name, curve in curves.items()},
        evaluator="pycocotools" if isinstance(evaluator, COCOeval) else "hotcoco",
    )


def _mean(values: NDArray[np.float64]) -> float | None:
    """The mean of those that were measured; None where all are -1, "no true object"."""
    measured = values[values > -1]
    return float(measured.mean()) if measured.size else None


def unique_names(split: CocoSplit) -> list[str]:
    """The class names, told apart by their category id where two are the same."""
    named = zip(split.classes, split.category_ids, strict=True)
    return [f"{name} ({key})" if split.classes.count(name) > 1 else name for name, key in named]
