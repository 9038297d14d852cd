"""Objects of a detection set cut out with what surrounds them: a folder of images for each class of each split.

The layout is torchvision's ImageFolder: `<split>/<class>/<image>`. Splits stay as they are, so that no clip is in two.
"""

import io
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.progress import progress_bar
from yolox_gssam.common.text import printable
from yolox_gssam.data.builder import write_image_folder
from yolox_gssam.data.coco_reader import CocoSplit
from yolox_gssam.data.split import SPLITS


@dataclass(frozen=True)
class CropRule:
    """How an object is cut out: a square of real pixels around it.

    Attributes:
        context: the square's side over the longer side of the box.
        min_side: the square is no smaller than this, in pixels of the image.
        size: each crop is scaled to so many pixels a side; None: as it was cut.
        jpeg: stored as JPEG of quality 95; otherwise as PNG, without loss.

    Raises:
        UserError: a context below 1, or sides below 1.
    """

    context: float = 1.5
    min_side: int = 32
    size: int | None = None
    jpeg: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.context <= 100:
            raise UserError(f"the context must be from 1, the box itself, to 100 times its side, not {self.context:g}")
        if self.min_side < 1 or (self.size is not None and self.size < 1):
            raise UserError("the sides of a crop must be at least 1 pixel")

    def square(self, box_xyxy: Sequence[float], size_wh: tuple[int, int]) -> tuple[int, int, int]:
        """Left, top and side in pixels of the square for a box; it reaches out of the image only if it is larger."""
        left, top, right, bottom = box_xyxy
        side = max(round(self.context * max(right - left, bottom - top)), self.min_side)
        corner = (
            _inside(round((low + high - side) / 2), side, length)
            for low, high, length in ((left, right, size_wh[0]), (top, bottom, size_wh[1]))
        )
        return (*corner, side)  # type: ignore[return-value]

    def cut(self, image: NDArray[np.uint8], box_xyxy: Sequence[float]) -> NDArray[np.uint8]:
        """The crop (side, side, 3) of an image (H, W, 3); beyond the image's edge its outermost pixels repeat."""
        height, width = image.shape[:2]
        left, top, side = self.square(box_xyxy, (width, height))
        rows = np.arange(top, top + side).clip(0, height - 1)
        columns = np.arange(left, left + side).clip(0, width - 1)
        crop: Any = image[np.ix_(rows, columns)]
        if self.size is not None and self.size != side:
            interpolation = cv2.INTER_AREA if self.size < side else cv2.INTER_LINEAR
            crop = cv2.resize(crop, (self.size, self.size), interpolation=interpolation)
        return np.asarray(crop, np.uint8)

    def encode(self, crop: NDArray[np.uint8]) -> bytes:
        """A (side, side, 3) BGR crop as the bytes of a file."""
        stream = io.BytesIO()
        image = Image.fromarray(np.ascontiguousarray(crop[:, :, ::-1]))
        image.save(stream, "JPEG", quality=95) if self.jpeg else image.save(stream, "PNG")
        return stream.getvalue()


def make_crops(
    splits: Mapping[str, CocoSplit],
    out: Path,
    rule: CropRule,
    *,
    classes: Sequence[str] | None,
    limit: int | None,
    balanced: bool,
    seed: int,
    source: Mapping[str, Any],
) -> dict[str, Any]:
    """Writes `<split>/<class>/<image>_<number>.jpg` and dataset.json into `out`; returns what dataset.json holds.

    Crowd regions are no objects and left out. The same arguments give the same files.

    Args:
        classes: those to keep; None: all.
        limit: at most so many crops of each class in each split, drawn by `seed`; None: all.
        balanced: in each split as many of each class as there are of its rarest one.
        source: what else dataset.json says of where it is from.

    Raises:
        UserError: an unknown class, a class without an object in a split, `out` is there, or a faulty image.
    """
    kept = _known_classes(splits, classes)
    chosen = {name: _choose(splits[name], kept, limit, balanced, seed, name) for name in SPLITS if name in splits}
    summary = {
        **source,
        "seed": seed,
        "classes": sorted(kept),  # as ImageFolder orders them
        "splits": {name: _counts(splits[name], objects) for name, objects in chosen.items()},
    }
    return write_image_folder(out, _crops(splits, chosen, rule), summary)


Objects = frozenset[tuple[int, int]]
"""Image ids and numbers of objects within the image."""


def _choose(
    split: CocoSplit, kept: Sequence[str], limit: int | None, balanced: bool, seed: int, split_name: str
) -> Objects:
    """The objects of a split that are cut out."""
    by_class: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for image in split.images:
        for number, label in enumerate(image.labels):
            by_class[split.classes[label]].append((image.image_id, number))
    empty = [name for name in kept if not by_class[name]]
    if empty:
        raise UserError(
            f"{printable(split.path)}: no object of class {', '.join(empty)}; leave them out with --classes"
        )
    most = min([len(by_class[name]) for name in kept] if balanced else [2**31])
    most = most if limit is None else min(most, limit)
    chosen: set[tuple[int, int]] = set()
    for name in kept:
        objects = by_class[name]
        rng = np.random.default_rng([seed, *f"{split_name}/{name}".encode()])
        chosen.update(objects[index] for index in rng.permutation(len(objects))[:most])
    return frozenset(chosen)


def _crops(
    splits: Mapping[str, CocoSplit], chosen: Mapping[str, Objects], rule: CropRule
) -> Iterator[tuple[str, bytes]]:
    """Path and content of each crop; shows a progress bar for each split, and reads only images that have crops."""
    suffix = ".jpg" if rule.jpeg else ".png"
    for split_name, objects in chosen.items():
        split = splits[split_name]
        with progress_bar(split.images, description=f"crops of {split_name}", unit="images") as bar:
            for image in bar:
                numbers = [number for number in range(len(image.labels)) if (image.image_id, number) in objects]
                if not numbers:
                    continue
                pixels = split.read(image)
                stem = PurePosixPath(image.file_name).with_suffix("")
                for number in numbers:
                    name = f"{stem}_{image.image_id}_{number}{suffix}"
                    crop = rule.cut(pixels, image.boxes_xyxy[number])
                    yield f"{split_name}/{split.classes[image.labels[number]]}/{name}", rule.encode(crop)


def _counts(split: CocoSplit, objects: Objects) -> dict[str, Any]:
    """Crops of each class, and the groups (clips) that they are from."""
    crops: Counter[str] = Counter()
    groups = set()
    for image in split.images:
        for number, label in enumerate(image.labels):
            if (image.image_id, number) in objects:
                crops[split.classes[label]] += 1
                groups.add(image.group)
    return {"crops": dict(sorted(crops.items())), "groups": len(groups - {None})}


def _known_classes(splits: Mapping[str, CocoSplit], classes: Sequence[str] | None) -> tuple[str, ...]:
    """The classes to keep, each a name that a folder can have."""
    known = next(iter(splits.values())).classes
    kept = known if classes is None else tuple(dict.fromkeys(classes))
    unknown = [name for name in kept if name not in known]
    if unknown:
        raise UserError(f"unknown class {', '.join(unknown)}; the set has {', '.join(known)}")
    bad = [name for name in kept if name in (".", "..") or set(name) & set('/\\:*?"<>|\0')]
    if bad:
        raise UserError(f"class {printable(bad[0])} cannot name a folder; rename it in the annotations")
    return kept


def _inside(start: int, side: int, length: int) -> int:
    """`start` moved so that `side` pixels from it lie within `length`; centred where they do not fit."""
    return (length - side) // 2 if side > length else min(max(start, 0), length - side)
