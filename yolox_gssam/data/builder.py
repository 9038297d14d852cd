"""The one writer of data sets: whole or not there."""

import hashlib
import shutil
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.files import umask, write_json
from yolox_gssam.common.images import image_size
from yolox_gssam.common.progress import progress_bar
from yolox_gssam.common.text import printable, shorten
from yolox_gssam.data.labelled import LabelledImage, xyxy_to_xywh
from yolox_gssam.data.paths import name_fault
from yolox_gssam.data.split import SPLITS, Group, split_folds, split_groups

DECIMALS = 3
"""Digits kept of a coordinate: a thousandth of a pixel."""
HASH_RULE = (
    "sha256 of the lines '<sha256>  <path>' of every file below annotations/ and images/, sorted by path, as sha256sum "
    "prints"
)
OWN_SPLITS = "annotations/{train,val,test}.json and the counts in splits are those of fold 0"
"""What dataset.json says of a data set with folds."""


EncodedImage = tuple[LabelledImage, bytes]
"""A labelled image on its way into a data set, and its encoded pixels, which are written as they are."""


def build_dataset(
    out: Path,
    classes: Sequence[str],
    images: Iterable[EncodedImage],
    *,
    source: str,
    command: str,
    seed: int,
    shares: Sequence[float] = (0.8, 0.1, 0.1),
    folds: int | None = None,
    total: int | None = None,
    details: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Writes images/, annotations/{train,val,test}.json and dataset.json into `out`; returns what dataset.json holds.

    Images are taken one at a time. One without a group is a group by itself. All or none tell their split: then it is
    kept. Boxes are clipped to their image; those left without an area are dropped and
    counted. Everything is made in a folder beside `out` that takes its name at the end, so that an error, Ctrl-C
    or a full disk leaves nothing. A split without images (share 0) gets no file.

    Args:
        folds: for cross-validation: writes `annotations/fold<k>/` with the splits of each fold, see `split_folds`;
            those of fold 0 are the set's own. Instead of `shares`.
        total: number of images for the progress bar, if known.
        details: further entries of dataset.json, such as how the boxes were made.

    Raises:
        UserError: `out` is there and not empty, a faulty image, too few groups, or the disk is full.
    """
    classes = tuple(classes)
    if not classes or len(set(classes)) < len(classes):
        raise UserError(f"the class names must be there and differ, not {shorten(list(classes))}")
    with new_folder(out) as folder:
        (folder / "images").mkdir()
        collection = _Collection(folder, classes)
        with progress_bar(images, description="images", unit="images", total=total) as bar:
            for image, data in bar:
                collection.add(image, data)
        of_folds = [] if folds is None else collection.split_folds(folds, seed)
        collection.write_annotations(shares, seed, source)
        for number, split_of in enumerate(of_folds):
            collection.write_splits(
                f"annotations/fold{number}", collection.by_group(split_of), f"{source}, fold {number}"
            )
        summary = {
            "source": source,
            "command": command,
            "seed": seed,
            "classes": list(classes),
            **(details or {}),
            **({"shares": list(shares)} if folds is None else {"own_splits": OWN_SPLITS}),
            **collection.counts(),
            **({} if folds is None else {"folds": [_groups_of_splits(split_of) for split_of in of_folds]}),
            "hash": content_hash(collection.digests),
            "hash_rule": HASH_RULE,
        }
        write_json(folder / "dataset.json", summary)
    return summary


def _groups_of_splits(split_of: Mapping[str, str]) -> dict[str, list[str]]:
    """The groups of each split."""
    return {split: sorted(group for group, own in split_of.items() if own == split) for split in SPLITS}


def content_hash(digests: Mapping[str, str]) -> str:
    """One number for the whole content, as `HASH_RULE` says, from the sha256 of each file by its path in the set."""
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def write_image_folder(out: Path, files: Iterable[tuple[str, bytes]], summary: Mapping[str, Any]) -> dict[str, Any]:
    """Writes image files by their path and dataset.json into `out`; returns what dataset.json holds.

    Args:
        summary: what it says besides the hash.

    Raises:
        UserError: see `new_folder`; and whatever `files` raises.
    """
    digests: dict[str, str] = {}
    with new_folder(out) as folder:
        for name, data in files:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            digests[name] = hashlib.sha256(data).hexdigest()
        hash_rule = HASH_RULE.replace("every file below annotations/ and images/", "every image")
        whole = {**summary, "hash": content_hash(digests), "hash_rule": hash_rule}
        write_json(folder / "dataset.json", whole)
    return whole


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder beside `out` that is renamed to it when the block ends well and removed otherwise.

    Raises:
        UserError: `out` is there and not empty, or the disk is full.
    """
    try:
        if out.is_symlink() or (out.exists() and (not out.is_dir() or any(out.iterdir()))):
            raise UserError(f"{printable(out)}: is there already; remove it or choose another --out")
        out.absolute().parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.absolute().parent))
    except OSError as error:
        raise UserError(f"{printable(out)}: cannot be made: {error.strerror}; choose another --out") from error
    try:
        yield folder
        folder.chmod(0o777 & ~umask())  # the usual rights, which a temporary folder lacks
        folder.rename(out)
    except OSError as error:
        raise UserError(f"{printable(out)}: cannot be written: {error.strerror}; nothing was left behind") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class _Collection:
    """The images written so far and what the annotation files will say of them."""

    folder: Path
    classes: tuple[str, ...]
    entries: list[dict[str, Any]] = field(default_factory=list)
    objects: list[list[dict[str, Any]]] = field(default_factory=list)
    splits: list[str | None] = field(default_factory=list)
    groups: defaultdict[str, Group] = field(default_factory=lambda: defaultdict(Group))
    digests: dict[str, str] = field(default_factory=dict)
    adjusted: Counter[str] = field(default_factory=Counter)

    def add(self, image: LabelledImage, data: bytes) -> None:
        """Checks an image and its labels, and writes it."""
        problem = name_fault(image.file_name)
        if problem:
            raise UserError(problem)
        size, name = image_size(data, image.file_name), printable(image.file_name)
        if size != (image.width, image.height):
            stated = f"{image.width} x {image.height}"
            raise UserError(f"{name}: the image is {size[0]} x {size[1]}, its labels say {stated}")
        path = self.folder / "images" / image.file_name
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with path.open("xb") as stream:
                stream.write(data)
        except FileExistsError as error:
            raise UserError(f"{name}: two images have this name") from error
        self.digests[f"images/{image.file_name}"] = hashlib.sha256(data).hexdigest()
        annotations = self._annotations(image, image.boxes_xyxy, image.labels, image.notes, is_crowd=0)
        annotations += self._annotations(image, image.crowd_xyxy, image.crowd_labels, None, is_crowd=1)
        self.objects.append(annotations)
        self.splits.append(image.split)
        name_of_group = image.file_name if image.group is None else image.group
        group = self.groups[name_of_group]
        group.stratum = image.stratum
        group.images += 1
        group.labels.update(annotation["category_id"] for annotation in annotations)
        self.entries.append(
            {
                "id": len(self.entries) + 1,
                "file_name": image.file_name,
                "width": image.width,
                "height": image.height,
                "group": name_of_group,
            }
        )

    def _annotations(
        self,
        image: LabelledImage,
        boxes_xyxy: NDArray[np.float64],
        labels: NDArray[np.int64],
        notes: Sequence[Mapping[str, Any]] | None,
        is_crowd: int,
    ) -> list[dict[str, Any]]:
        """Boxes as COCO annotations without ids, but those of which nothing is in the image."""
        name = printable(image.file_name)
        if len(boxes_xyxy) != len(labels):
            raise UserError(f"{name}: {len(boxes_xyxy)} boxes but {len(labels)} labels")
        if not np.isfinite(boxes_xyxy).all():
            raise UserError(f"{name}: a box holds a number that is not finite")
        if ((labels < 0) | (labels >= len(self.classes))).any():
            raise UserError(f"{name}: a label is not one of the {len(self.classes)} classes")
        clipped = np.clip(boxes_xyxy, 0, np.array([image.width, image.height] * 2, np.float64))
        boxes_xywh, moved = xyxy_to_xywh(clipped).round(DECIMALS), np.abs(clipped - boxes_xyxy).max(axis=1)
        notes = [{}] * len(labels) if notes is None else notes
        annotations = []
        for box, shift, label, note in zip(boxes_xywh, moved, labels.tolist(), notes, strict=True):
            if box[2] <= 0 or box[3] <= 0:
                self.adjusted["dropped"] += 1
                continue
            self.adjusted["clipped"] += bool(shift > 0.01)  # pixels: less is rounding
            area = round(float(box[2] * box[3]), DECIMALS)
            own = {"category_id": label + 1, "bbox": box.tolist(), "area": area, "iscrowd": is_crowd}
            annotations.append({**own, **note})
        return annotations

    def write_annotations(self, shares: Sequence[float], seed: int, source: str) -> None:
        """Splits what was collected and writes one file for each split."""
        if not self.entries:
            raise UserError("no images were found")
        if any(split is None for split in self.splits):
            self.splits = self.by_group(split_groups(self.groups, shares, seed))
        elif not {"train", "val"} <= set(self.splits):
            raise UserError("the splits to keep must be train and val at least; leave out --keep-split to split anew")
        self.write_splits("annotations", self.splits, source)

    def split_folds(self, folds: int, seed: int) -> list[dict[str, str]]:
        """The split of each group in each fold; the set's own splits become those of the first."""
        if any(split is not None for split in self.splits):
            raise UserError("--folds and --keep-split exclude each other: folds split anew")
        of_folds = split_folds(self.groups, folds, seed)
        self.splits = self.by_group(of_folds[0])
        return of_folds

    def by_group(self, split_of: Mapping[str, str]) -> list[str | None]:
        """The split of each image by that of its group."""
        return [split_of[entry["group"]] for entry in self.entries]

    def write_splits(self, folder: str, splits: Sequence[str | None], source: str) -> None:
        """Writes `<folder>/<split>.json` for each split that has images."""
        categories = [{"id": number, "name": name} for number, name in enumerate(self.classes, 1)]
        for split in SPLITS:
            images = [entry for entry, own in zip(self.entries, splits, strict=True) if own == split]
            if not images:
                continue
            annotations = [
                {"id": 0, "image_id": entry["id"], **annotation}
                for entry in images
                for annotation in self.objects[entry["id"] - 1]
            ]
            for number, annotation in enumerate(annotations, 1):
                annotation["id"] = number
            name = f"{folder}/{split}.json"
            document = {
                "info": {"description": f"{source}, part {split}"},  # as always: sets made anew keep their hash
                "licenses": [],
                "images": images,
                "annotations": annotations,
                "categories": categories,
            }
            write_json(self.folder / name, document)
            self.digests[name] = hashlib.sha256((self.folder / name).read_bytes()).hexdigest()

    def counts(self) -> dict[str, Any]:
        """Images, groups and objects of each split and class."""
        splits: dict[str, Any] = {}
        for split in SPLITS:
            indices = [index for index, own in enumerate(self.splits) if own == split]
            objects = Counter(a["category_id"] for index in indices for a in self.objects[index])
            splits[split] = {
                "images": len(indices),
                "images_without_objects": sum(not self.objects[index] for index in indices),
                "groups": len({self.entries[index]["group"] for index in indices}),
                "objects": {name: objects[number] for number, name in enumerate(self.classes, 1)},
            }
        return {"splits": splits, "boxes_clipped": self.adjusted["clipped"], "boxes_dropped": self.adjusted["dropped"]}
