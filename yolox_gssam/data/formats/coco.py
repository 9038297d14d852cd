"""A user's own COCO annotation files. Format: https://cocodataset.org/#format-data."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.text import printable, shorten
from yolox_gssam.data.coco import CocoImage, CocoSplit, parse_coco, read_json
from yolox_gssam.data.faults import Fault, Report
from yolox_gssam.data.formats.coco_repair import repair_coco
from yolox_gssam.data.formats.samples import LabelledSet, Sample, part_named


def read_coco_set(
    paths: Sequence[Path],
    image_dirs: Sequence[Path] = (),
    *,
    report: Report,
    group_field: str | None = None,
    keep_split: bool = False,
) -> LabelledSet:
    """Reads one or several annotation files of the same categories as one set.

    A label is the rank of its category id, whatever gaps the ids have; categories without objects keep their place.
    Annotation ids do not matter; other habits of tools are put right, see `repair_coco`. Crowd regions stay crowd
    regions. Images are named in the new set by their path from the folder that all the image folders share.

    Args:
        image_dirs: the folder of the images, one for all files or one each; none: where each file lies.
        group_field: the field of an image entry that names its group, such as "video_id".
        keep_split: each file is one part, told by its name or by that of its folder.

    Raises:
        UserError: a file that is not COCO, different categories, a path that leaves its image folder, no such field,
            or a part that cannot be told.
    """
    if len(image_dirs) not in (0, 1, len(paths)):
        raise UserError(f"give one --images folder, or one for each of the {len(paths)} annotation files")
    folders = [path.parent for path in paths] if not image_dirs else list(image_dirs) * (len(paths) // len(image_dirs))
    shared = Path(os.path.commonpath([folder.absolute() for folder in folders]))
    if len(paths) > 1 and not keep_split:
        report(
            Fault(paths[0], "", "and the others are split anew; --keep-split keeps each as a part", False, of_set=True)
        )
    classes: tuple[str, ...] = ()
    samples: list[Sample] = []
    for path, folder in zip(paths, folders, strict=True):
        document = read_json(path)
        repair_coco(document, path, folder, report)
        split = parse_coco(_renumbered(document), path, folder, report, group_field or "group")
        if classes and split.classes != classes:
            raise UserError(f"{printable(path)}: its categories differ from those of {printable(paths[0])}")
        classes = split.classes
        part = _part(path) if keep_split else None
        prefix = folder.absolute().relative_to(shared)
        samples += [_sample(split, image, prefix, group_field, part) for image in split.images]
    return LabelledSet(classes, samples)


def _renumbered(document: Any) -> Any:
    """The document with annotation ids from 1: only the new set's own ids matter, and some tools write none."""
    if isinstance(document, dict) and isinstance(document.get("annotations"), list):
        for number, annotation in enumerate(document["annotations"], 1):
            if isinstance(annotation, dict):
                annotation["id"] = number
    return document


def _sample(split: CocoSplit, image: CocoImage, prefix: Path, group_field: str | None, part: str | None) -> Sample:
    """One image with its crowd regions after its objects."""
    if group_field and image.group is None:
        raise UserError(f"{printable(split.path)}: image {image.image_id}: has no field {shorten(group_field)}")
    boxes_xyxy = np.concatenate([image.boxes_xyxy, image.crowd_xyxy])
    return Sample(
        path=split.image_path(image),
        file_name=(prefix / image.file_name).as_posix(),
        boxes_xywh=np.concatenate([boxes_xyxy[:, :2], boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]], axis=1),
        labels=[*image.labels.tolist(), *image.crowd_labels.tolist()],
        size_wh=(image.width, image.height),
        crowd=[False] * len(image.labels) + [True] * len(image.crowd_labels),
        group=image.group,
        part=part,
    )


def _part(path: Path) -> str:
    """The part that an annotation file holds."""
    part = part_named(path.stem) or part_named(path.parent.name)
    if part is None:
        raise UserError(
            f"{printable(path)}: --keep-split cannot tell the part; name the file train.json, val.json or test.json"
        )
    return part
