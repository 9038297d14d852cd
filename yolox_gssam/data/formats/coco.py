"""A user's own COCO annotation files. Format: https://cocodataset.org/#format-data."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.images import SHOWN_NAMES
from yolox_gssam.common.text import is_text, printable, shorten
from yolox_gssam.data.coco_reader import CocoSplit, parse_coco, read_json
from yolox_gssam.data.faults import Fault, Report
from yolox_gssam.data.formats.coco_repair import repair_coco
from yolox_gssam.data.formats.samples import IMAGE_FOLDERS, LabelledSet, Sample, part_named
from yolox_gssam.data.labelled import LabelledImage, xyxy_to_xywh
from yolox_gssam.data.paths import find_end, name_fault

LOOKED_UP = 20
"""Names of a file that are looked for in each folder that may be that of its images."""
LOOKED_IN = 100
"""Most such folders."""


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
        image_dirs: the folder of the images, one for all files or one each; none: where each file lies, or
            beside it, see `_image_places`.
        group_field: the field of an image entry that names its group, such as "video_id".
        keep_split: each file is one part, told by its name or by that of its folder.

    Raises:
        UserError: a file that is not COCO, different categories, a path that leaves its image folder, no such field,
            or a part that cannot be told.
    """
    if len(image_dirs) not in (0, 1, len(paths)):
        raise UserError(f"give one --images folder, or one for each of the {len(paths)} annotation files")
    documents = [read_json(path) for path in paths]
    folders = (
        list(image_dirs) * (len(paths) // len(image_dirs))
        if image_dirs
        else [_image_folder(path, document, report) for path, document in zip(paths, documents, strict=True)]
    )
    shared = Path(os.path.commonpath([folder.absolute() for folder in folders]))
    if len(paths) > 1 and not keep_split:
        report(
            Fault(paths[0], "", "and the others are split anew; --keep-split keeps each as a part", False, of_set=True)
        )
    classes: tuple[str, ...] = ()
    samples: list[Sample] = []
    for path, folder, document in zip(paths, folders, documents, strict=True):
        repair_coco(document, path, folder, report)
        split = parse_coco(_renumbered(document), path, folder, report, group_field or "group")
        if classes and split.classes != classes:
            raise UserError(f"{printable(path)}: its categories differ from those of {printable(paths[0])}")
        classes = split.classes
        part = _part(path) if keep_split else None
        prefix = folder.absolute().relative_to(shared)
        samples += [_sample(split, image, prefix, group_field, part) for image in split.images]
    return LabelledSet(classes, samples)


def _image_folder(path: Path, document: Any, report: Report) -> Path:
    """Where the images of an annotation file lie: of the folders that may hold them, where most of its names are found.

    Its own, where none is: that is told with the folders that were looked in.
    """
    entries = document.get("images") if isinstance(document, dict) else None
    rows = entries if isinstance(entries, list) else []
    listed = [entry.get("file_name") for entry in rows if isinstance(entry, dict)]
    names = [name for name in listed[:: max(1, len(listed) // LOOKED_UP)] if is_text(name) and name]
    places = _image_places(path)
    counts = [sum(_is_there(name, place) for name in names) for place in places]
    best = counts.index(max(counts))
    if best:
        report(Fault(path, "", f"its images are taken from {printable(places[best])}", False, of_set=True))
    elif names and not counts[best]:
        shown = ", ".join(printable(place) for place in places[:SHOWN_NAMES])
        message = f"none of its images, such as {shorten(names[0])}, is in {shown}; tell their folder by --images"
        report(Fault(path, "", message, False, of_set=True))
    return places[best]


def _is_there(name: str, folder: Path) -> bool:
    """Whether a file of the name, or of its end, lies below a folder."""
    return find_end(name, folder) is not None or (name_fault(name) is None and os.path.exists(folder / name))


def _image_places(path: Path) -> list[Path]:
    """Folders that may hold the images of an annotation file, its own first.

    Then, in its own and in the folder above it, as of annotations/instances_train2017.json: the folders of its part,
    such as train2017/ or images/train2017/, and images/; beside a folder of annotations all others, and that above.
    """
    own = path.absolute().parent
    part = part_named(path.stem)
    of_part: list[Path] = []
    named: list[Path] = []
    others: list[Path] = []
    for above in (own, own.parent):
        beside = sorted(folder for folder in above.iterdir() if folder.is_dir() and folder != own)
        of_images = [folder for folder in beside if folder.name in IMAGE_FOLDERS]
        inner = [folder for place in of_images for folder in sorted(place.iterdir()) if folder.is_dir()]
        of_part += [folder for folder in (*beside, *inner) if part and part_named(folder.name) == part]
        named += of_images
        if "annotation" in own.name.lower() and above != own:
            others += [*beside, above]
    return list(dict.fromkeys([path.parent, *of_part, *named, *others]))[:LOOKED_IN]


def _renumbered(document: Any) -> Any:
    """The document with annotation ids from 1: only the new set's own ids matter, and some tools write none."""
    if isinstance(document, dict) and isinstance(document.get("annotations"), list):
        for number, annotation in enumerate(document["annotations"], 1):
            if isinstance(annotation, dict):
                annotation["id"] = number
    return document


def _sample(split: CocoSplit, image: LabelledImage, prefix: Path, group_field: str | None, part: str | None) -> Sample:
    """One image with its crowd regions after its objects."""
    if group_field and image.group is None:
        raise UserError(f"{printable(split.path)}: image {image.image_id}: has no field {shorten(group_field)}")
    boxes_xyxy = np.concatenate([image.boxes_xyxy, image.crowd_xyxy])
    return Sample(
        path=split.image_path(image),
        file_name=(prefix / image.file_name).as_posix(),
        boxes_xywh=xyxy_to_xywh(boxes_xyxy),
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
