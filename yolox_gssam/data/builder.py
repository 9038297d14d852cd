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
from yolox_gssam.data.paths import name_fault
from yolox_gssam.data.split import PARTS, Group, split_folds, split_groups

DECIMALS = 3
"""Digits kept of a coordinate: a thousandth of a pixel."""
HASH_RULE = (
    "sha256 of the lines '<sha256>  <path>' of every file below annotations/ and images/, sorted by path, as sha256sum "
    "prints"
)
OWN_PARTS = "annotations/{train,val,test}.json and the counts in parts are those of fold 0"
"""What dataset.json says of a data set with folds."""


@dataclass(frozen=True, eq=False)
class Record:
    """One image on its way into a data set.

    Attributes:
        file_name: its name below images/, forward slashes.
        image: the encoded image, written as it is. Its upright size must be width x height.
        boxes_xywh: (n, 4), COCO pixels: the image's left upper corner is (0, 0).
        labels: (n,) index into the classes.
        group: images of one group (a clip) stay in one part.
        stratum: groups of one stratum (a sensor) are spread over all parts by themselves.
        part: "train", "val" or "test" to keep a split that is there already; in all records or in none.
        crowd: (n,) true for a region of many objects: ignored, neither trained on nor counted. None: no crowds.
        notes: (n,) further fields of each box's annotation, such as the box as it was before. None: no further ones.
    """

    file_name: str
    width: int
    height: int
    boxes_xywh: NDArray[np.float64] | Sequence[Sequence[float]]
    labels: NDArray[np.int64] | Sequence[int]
    group: str
    image: bytes
    part: str | None = None
    crowd: NDArray[np.bool_] | Sequence[bool] | None = None
    stratum: str = ""
    notes: Sequence[Mapping[str, Any]] | None = None


def build_dataset(
    out: Path,
    classes: Sequence[str],
    records: Iterable[Record],
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

    Records are taken one at a time. Boxes are clipped to their image; those left without an area are dropped and
    counted. Everything is made in a folder beside `out` that takes its name at the end, so that an error, Ctrl-C
    or a full disk leaves nothing. A part without images (share 0) gets no file.

    Args:
        folds: for cross-validation: writes `annotations/fold<k>/` with the parts of each fold, see `split_folds`; those
            of fold 0 are the set's own. Instead of `shares`.
        total: number of records for the progress bar, if known.
        details: further entries of dataset.json, such as how the boxes were made.

    Raises:
        UserError: `out` is there and not empty, a faulty record, too few groups, or the disk is full.
    """
    classes = tuple(classes)
    if not classes or len(set(classes)) < len(classes):
        raise UserError(f"the class names must be there and differ, not {shorten(list(classes))}")
    with new_folder(out) as folder:
        (folder / "images").mkdir()
        collection = _Collection(folder, classes)
        with progress_bar(records, description="images", unit="images", total=total) as bar:
            for record in bar:
                collection.add(record)
        parts_of_folds = collection.split_folds(folds, seed) if folds is not None else []
        collection.write_annotations(shares, seed, source)
        for number, parts in enumerate(parts_of_folds):
            collection.write_parts(f"annotations/fold{number}", parts, f"{source}, fold {number}")
        summary = {
            "source": source,
            "command": command,
            "seed": seed,
            "classes": list(classes),
            **(details or {}),
            **({"shares": list(shares)} if folds is None else {"own_parts": OWN_PARTS}),
            **collection.counts(),
            **({} if folds is None else {"folds": collection.describe_folds(parts_of_folds)}),
            "hash": content_hash(collection.digests),
            "hash_rule": HASH_RULE,
        }
        write_json(folder / "dataset.json", summary)
    return summary


def content_hash(digests: Mapping[str, str]) -> str:
    """One number for the whole content, as `HASH_RULE` says, from the sha256 of each file by its path in the set."""
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


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
    parts: list[str | None] = field(default_factory=list)
    strata: dict[str, str] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    adjusted: Counter[str] = field(default_factory=Counter)

    def add(self, record: Record) -> None:
        """Checks a record and writes its image."""
        problem = name_fault(record.file_name)
        if problem:
            raise UserError(problem)
        size = image_size(record.image, record.file_name)
        if size != (record.width, record.height):
            stated = f"{record.width} x {record.height}"
            raise UserError(
                f"{printable(record.file_name)}: the image is {size[0]} x {size[1]}, its labels say {stated}"
            )
        path = self.folder / "images" / record.file_name
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with path.open("xb") as stream:
                stream.write(record.image)
        except FileExistsError as error:
            raise UserError(f"{printable(record.file_name)}: two images have this name") from error
        self.digests[f"images/{record.file_name}"] = hashlib.sha256(record.image).hexdigest()
        self.objects.append(self._annotations(record))
        self.parts.append(record.part)
        self.entries.append(
            {
                "id": len(self.entries) + 1,
                "file_name": record.file_name,
                "width": record.width,
                "height": record.height,
                "group": record.group,
            }
        )
        self.strata[record.group] = record.stratum

    def _annotations(self, record: Record) -> list[dict[str, Any]]:
        """The record's boxes as COCO annotations without ids."""
        boxes = np.asarray(record.boxes_xywh, np.float64).reshape(-1, 4)
        labels = np.asarray(record.labels, np.int64).reshape(-1)
        crowd = np.zeros(len(labels), bool) if record.crowd is None else np.asarray(record.crowd, bool)
        if not len(boxes) == len(labels) == len(crowd):
            raise UserError(f"{printable(record.file_name)}: {len(boxes)} boxes but {len(labels)} labels")
        if not np.isfinite(boxes).all():
            raise UserError(f"{printable(record.file_name)}: a box holds a number that is not finite")
        if ((labels < 0) | (labels >= len(self.classes))).any():
            raise UserError(f"{printable(record.file_name)}: a label is not one of the {len(self.classes)} classes")
        limits = np.array([record.width, record.height], np.float64)
        corners = np.clip(np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1).reshape(-1, 2, 2), 0, limits)
        clipped = np.concatenate([corners[:, 0], corners[:, 1] - corners[:, 0]], axis=1).round(DECIMALS)
        annotations = []
        notes = record.notes or [{}] * len(boxes)
        for box, given, label, is_crowd, note in zip(clipped, boxes, labels, crowd, notes, strict=True):
            if box[2] <= 0 or box[3] <= 0:
                self.adjusted["dropped"] += 1
                continue
            self.adjusted["clipped"] += bool(np.abs(box - given).max() > 0.01)  # pixels: less is rounding
            annotations.append(
                {
                    "category_id": int(label) + 1,
                    "bbox": box.tolist(),
                    "area": round(float(box[2] * box[3]), DECIMALS),
                    "iscrowd": int(is_crowd),
                    **note,
                }
            )
        return annotations

    def write_annotations(self, shares: Sequence[float], seed: int, source: str) -> None:
        """Splits what was collected and writes one file a part."""
        if not self.entries:
            raise UserError("no images were found")
        if any(part is None for part in self.parts):
            self._split(shares, seed)
        elif not {"train", "val"} <= set(self.parts):
            raise UserError("the parts to keep must be train and val at least; leave out --keep-split to split anew")
        self.write_parts("annotations", self.parts, source)

    def split_folds(self, folds: int, seed: int) -> list[list[str | None]]:
        """The part of each image in each fold; the set's own parts become those of the first."""
        if any(part is not None for part in self.parts):
            raise UserError("--folds and --keep-split exclude each other: folds split anew")
        of_folds = split_folds(self._groups(), folds, seed)
        parts: list[list[str | None]] = [[part_of[entry["group"]] for entry in self.entries] for part_of in of_folds]
        self.parts = parts[0]
        return parts

    def describe_folds(self, parts_of_folds: Sequence[Sequence[str | None]]) -> list[dict[str, list[str]]]:
        """For each fold the groups of each part."""
        return [
            {
                part: sorted({e["group"] for e, own in zip(self.entries, parts, strict=True) if own == part})
                for part in PARTS
            }
            for parts in parts_of_folds
        ]

    def write_parts(self, folder: str, parts: Sequence[str | None], source: str) -> None:
        """Writes `<folder>/<part>.json` for each part that has images."""
        categories = [{"id": number, "name": name} for number, name in enumerate(self.classes, 1)]
        for part in PARTS:
            images = [entry for entry, own in zip(self.entries, parts, strict=True) if own == part]
            if not images:
                continue
            annotations = [
                {"id": 0, "image_id": entry["id"], **annotation}
                for entry in images
                for annotation in self.objects[entry["id"] - 1]
            ]
            for number, annotation in enumerate(annotations, 1):
                annotation["id"] = number
            name = f"{folder}/{part}.json"
            document = {
                "info": {"description": f"{source}, part {part}"},
                "licenses": [],
                "images": images,
                "annotations": annotations,
                "categories": categories,
            }
            write_json(self.folder / name, document)
            self.digests[name] = hashlib.sha256((self.folder / name).read_bytes()).hexdigest()

    def _split(self, shares: Sequence[float], seed: int) -> None:
        """Gives each image the part of its group."""
        part_of = split_groups(self._groups(), shares, seed)
        self.parts = [part_of[entry["group"]] for entry in self.entries]

    def _groups(self) -> dict[str, Group]:
        groups: dict[str, Group] = defaultdict(Group)
        for entry, objects in zip(self.entries, self.objects, strict=True):
            group = groups[entry["group"]]
            group.stratum = self.strata[entry["group"]]
            group.add(annotation["category_id"] for annotation in objects)
        return groups

    def counts(self) -> dict[str, Any]:
        """Images, groups and objects of each part and class."""
        parts: dict[str, Any] = {}
        for part in PARTS:
            indices = [index for index, own in enumerate(self.parts) if own == part]
            objects = Counter(a["category_id"] for index in indices for a in self.objects[index])
            parts[part] = {
                "images": len(indices),
                "images_without_objects": sum(not self.objects[index] for index in indices),
                "groups": len({self.entries[index]["group"] for index in indices}),
                "objects": {name: objects[number] for number, name in enumerate(self.classes, 1)},
            }
        return {"parts": parts, "boxes_clipped": self.adjusted["clipped"], "boxes_dropped": self.adjusted["dropped"]}
