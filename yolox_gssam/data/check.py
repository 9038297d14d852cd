"""Every fault of a data set, and which of its objects are too small for an input size."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.images import decode_image, has_more_than_eight_bits, read_image_bytes
from yolox_gssam.common.letterbox import letterbox_ratio
from yolox_gssam.common.progress import progress_bar
from yolox_gssam.common.text import printable, shorten
from yolox_gssam.data.builder import content_hash
from yolox_gssam.data.coco_reader import CocoSplit, parse_coco, read_json
from yolox_gssam.data.faults import Fault, Report
from yolox_gssam.data.labelled import LabelledImage
from yolox_gssam.data.split import SPLITS

MIN_SIDE = 2.0
"""Pixels of the network's input: an object with a shorter side below this can hardly be found."""

MAX_FAULTS = 10_000
"""Faults after which no more are looked for: nobody reads so many, and a broken file may have millions."""


class _EnoughError(Exception):
    """`MAX_FAULTS` are found."""


def check_dataset(root: Path, deep: list[str] | None = None, input_hw: tuple[int, int] = (640, 640)) -> list[Fault]:
    """Every fault in the annotation files and images of a data set; shows a progress bar.

    Reads and decodes each image. Looks for what `parse_coco` reports, for missing, unreadable, truncated and wrongly
    sized images, for images (by name and by content) and groups in two splits, for classes
    that differ between splits, for folds that differ from the set's own splits in images or classes, and for changes
    since dataset.json was written. Stops at `MAX_FAULTS`.

    Args:
        deep: gets the names of images of more than 8 bit, which are no faults.
        input_hw: height and width of the network's input.

    Raises:
        UserError: no data set in there.
    """
    faults: list[Fault] = []

    def report(fault: Fault) -> None:
        faults.append(fault)
        if len(faults) == MAX_FAULTS:
            raise _EnoughError

    try:
        _find_faults(root, faults, report, [] if deep is None else deep, input_hw)
    except _EnoughError:
        faults.append(Fault(root, "", f"{MAX_FAULTS:,} faults: more are not looked for"))
    return faults


def _find_faults(root: Path, faults: list[Fault], report: Report, deep: list[str], input_hw: tuple[int, int]) -> None:
    """Gives every fault to `report`, which puts it into `faults`."""
    splits = read_splits(root, report)
    seen = _Seen(report)
    digests: dict[str, str] = {}
    everything = [(split_name, split, image) for split_name, split in splits.items() for image in split.images]
    with progress_bar(everything, description="check", unit="images") as bar:
        for split_name, split, image in bar:
            data = _check_image(split, image, report)
            _check_shape(split, image, input_hw, report)
            digest = None
            if data:
                digest = digests[f"images/{image.file_name}"] = hashlib.sha256(data).hexdigest()
                if has_more_than_eight_bits(data, image.file_name):
                    deep.append(image.file_name)
            seen.add(split_name, split, image, digest)
    classes = {split.classes for split in splits.values()}
    _check_folds(root, {image.file_name for _, _, image in everything}, classes, report)
    if len(classes) > 1:
        report(Fault(root / "annotations", "", f"the splits differ in their classes: {shorten(sorted(classes))}"))
    if not faults:
        faults += _changes(root, digests, list(splits.values()))


def count_shrunk(splits: Iterable[CocoSplit], size_hw: tuple[int, int]) -> tuple[int, int, int]:
    """How many objects there are, and of how many the shorter side falls below `MIN_SIDE` pixels, and below 1, when
    each image is fitted into `size_hw`, keeping its shape."""
    sides = [np.zeros(0)]
    for split in splits:
        for image in split.images:
            ratio = letterbox_ratio((image.height, image.width), size_hw)
            sides.append(ratio * (image.boxes_xyxy[:, 2:] - image.boxes_xyxy[:, :2]).min(axis=1, initial=np.inf))
    shorter = np.concatenate(sides)
    return len(shorter), int((shorter < MIN_SIDE).sum()), int((shorter < 1).sum())


def read_splits(root: Path, report: Report) -> dict[str, CocoSplit]:
    """The splits of a data set that are there; a missing train or val is reported.

    Raises:
        UserError: no data set in there, or a file that is not COCO at all where `report` raises.
    """
    paths = {split_name: root / "annotations" / f"{split_name}.json" for split_name in SPLITS}
    if not any(path.exists() for path in paths.values()):
        raise UserError(f"{printable(root)}: no data set: annotations/train.json, val.json and test.json were expected")
    read = {name: _read(path, root, report) for name, path in paths.items() if path.exists() or name != "test"}
    return {name: split for name, split in read.items() if split is not None}


def _read(path: Path, root: Path, report: Report) -> CocoSplit | None:
    """A split of the data set; None where its file is reported as a whole."""
    if not path.exists():
        report(Fault(path, "", "no such file"))
        return None
    try:
        return parse_coco(read_json(path), path, root / "images", report)
    except UserError as error:
        report(Fault(path, "", str(error).removeprefix(f"{printable(path)}: ")))
        return None


def fold_files(root: Path) -> list[Path]:
    """The annotation files of all folds of a data set, where it has any."""
    return [path for split_name in SPLITS for path in sorted(root.glob(f"annotations/fold*/{split_name}.json"))]


def _check_folds(root: Path, known: set[str], classes: set[tuple[str, ...]], report: Report) -> None:
    """Reports, for each fold, groups in two of its splits, and other images or classes than the set itself has."""
    for folder in sorted({path.parent for path in fold_files(root)}):
        seen = _Seen(report)
        missing, whole = set(known), True
        for split_name in SPLITS:
            path = folder / f"{split_name}.json"
            split = _read(path, root, report)
            if split is None:
                whole = False
                continue
            if split.classes not in classes:
                report(Fault(path, "", f"the classes {shorten(list(split.classes))} are not the set's own"))
            missing -= {image.file_name for image in split.images}
            for image in split.images:
                seen.add(split_name, split, image, None)
                if image.file_name not in known:
                    message = f"{shorten(image.file_name)} is in none of the set's own splits"
                    report(Fault(path, f"image {image.image_id}", message))
        if missing and whole:
            example = shorten(min(missing))
            report(
                Fault(folder, "", f"{len(missing)} of the set's images are in none of its splits, such as {example}")
            )


def _check_image(split: CocoSplit, image: LabelledImage, report: Report) -> bytes | None:
    """The bytes of an image; None where they cannot be had."""
    where, path = f"image {image.image_id}", split.image_path(image)
    try:
        data = read_image_bytes(path)
        height, width = decode_image(data, path).shape[:2]
    except UserError as error:
        report(Fault(split.path, where, str(error)))
        return None
    if (width, height) != (image.width, image.height):
        message = f"{printable(path)}: is {width} x {height}, stated are {image.width} x {image.height}"
        report(Fault(split.path, where, message))
    return data


def _check_shape(split: CocoSplit, image: LabelledImage, input_hw: tuple[int, int], report: Report) -> None:
    """Reports an image of which hardly anything is left in the input."""
    left = min(image.height, image.width) * letterbox_ratio((image.height, image.width), input_hw)
    if left < MIN_SIDE:
        message = (
            f"{shorten(image.file_name)} is too narrow: of its {image.width} x {image.height} pixels {left:.2g} are "
            f"left across in an input of {input_hw[1]} x {input_hw[0]}; crop it or leave it out"
        )
        report(Fault(split.path, f"image {image.image_id}", message))


@dataclass
class _Seen:
    """Where each group, name and content of an image was met first."""

    report: Report
    first: dict[tuple[str, str], str] = field(default_factory=dict)

    def add(self, split_name: str, split: CocoSplit, image: LabelledImage, digest: str | None) -> None:
        """Reports what was met in another split before, once a split."""
        new_name = self.first.get(("name", image.file_name), split_name) == split_name
        keys = [("name", image.file_name, f"the image {shorten(image.file_name)}")]
        if image.group is not None:
            keys.append(("group", image.group, f"the group {shorten(image.group)}"))
        if digest and new_name:
            keys.append(("content", digest, f"an image of the same content as {shorten(image.file_name)}"))
        for kind, key, shown in keys:
            before = self.first.setdefault((kind, key), split_name)
            here = self.first.setdefault((f"{kind} in {split_name}", key), image.file_name)
            if before != split_name and here == image.file_name:
                self.report(Fault(split.path, f"image {image.image_id}", f"{shown} is also in {before}.json"))


def _changes(root: Path, digests: dict[str, str], splits: list[CocoSplit]) -> list[Fault]:
    """Whether the files are still those that dataset.json speaks of."""
    path = root / "dataset.json"
    if not path.exists():
        return []
    try:
        stated = read_json(path)
    except UserError as error:
        return [Fault(path, "", str(error).removeprefix(f"{printable(path)}: "))]
    for annotations in [split.path for split in splits] + fold_files(root):
        name = annotations.relative_to(root).as_posix()
        digests[name] = hashlib.sha256(annotations.read_bytes()).hexdigest()
    if not isinstance(stated, dict) or stated.get("hash") != content_hash(digests):
        message = "images or annotations have changed since: the hash differs; make the set anew or remove this file"
        return [Fault(path, "", message)]
    return []
