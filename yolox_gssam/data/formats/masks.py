"""A set of images with a mask each: what is not 0 is target, and each connected piece of it an object.

So are infrared sets of small targets published: SIRST, NUDT-SIRST, IRSTD-1k. Their boxes follow from the masks alone,
to the pixel.
"""

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.images import image_size, read_image_bytes
from yolox_gssam.common.progress import progress_bar
from yolox_gssam.common.text import one_line, printable
from yolox_gssam.data.faults import Fault, Report, check_objects
from yolox_gssam.data.formats.samples import IMAGE_FOLDERS, LabelledSet, Sample, find_images, part_of_path
from yolox_gssam.data.formats.split_lists import read_split_lists

MASK_FOLDERS = ("masks", "mask", "SegmentationObject", "SegmentationClass")
"""Usual names of a folder of masks, in the order in which they are taken."""
MASK_ENDS = ("", "_pixels0", "_mask")
"""What a mask's name has behind that of its image."""
_VOID = (224, 224, 192)  # the colour of VOC's border around objects, which belongs to none


@dataclass(frozen=True)
class MaskRule:
    """How a mask is read.

    Attributes:
        class_name: of all objects.
        instances: each value, or colour of a palette, is an object of its own; otherwise each connected piece is.
        min_area: pieces of fewer pixels are left out.
    """

    class_name: str = "target"
    instances: bool = False
    min_area: int = 1


def read_mask_set(
    root: Path, rule: MaskRule, *, report: Report, keep_split: bool = False, lists: Path | None = None
) -> LabelledSet:
    """Reads images/ and masks/ below `root`, or below each of its folders of parts; shows a progress bar.

    A mask is called as its image, or with `_pixels0` or `_mask` behind it. Images without a mask, masks without an
    image and masks of another size are left out; antialiased ones count with every pixel above 0. All are reported.

    Args:
        keep_split: the parts are those of the set's own lists, see `read_split_lists`, or of its folders.
        lists: the folder of these lists; None: it is looked for.

    Raises:
        UserError: no such folders, no pair in them, a mask that cannot be read; and whatever `report` raises.
    """
    pairs = [pair for images, masks in _folders(root) for pair in _pairs(images, masks, report)]
    if not pairs:
        raise UserError(
            f"{printable(root)}: no image has a mask; a mask is called as its image, or with _pixels0 behind"
        )
    common = root / "images" if (root / "images").is_dir() else root
    names = [path.relative_to(common if path.is_relative_to(common) else root).as_posix() for path, _ in pairs]
    part_of = _parts(root, [path for path, _ in pairs], lists, report) if keep_split else {}
    notes = _Notes(root)
    samples = []
    with progress_bar(list(zip(pairs, names, strict=True)), description="masks", unit="masks") as bar:
        for (image, mask), name in bar:
            part = part_of.get(image)
            boxes = None if keep_split and part is None else _boxes(image, mask, rule, notes, report)
            if boxes is not None:
                labels = [0] * len(boxes)
                samples.append(Sample(image, name, boxes, labels, part=part))
    notes.finish(report)
    return LabelledSet((rule.class_name,), samples)


def mask_boxes(mask: NDArray[np.generic], rule: MaskRule) -> tuple[NDArray[np.float64], int]:
    """The boxes (n, 4) [x, y, width, height] of the objects in a mask of (H, W) values, and how many were too small."""
    values = [int(value) for value in np.unique(mask) if value] if rule.instances else [None]
    rows: list[list[float]] = []
    small = 0
    for value in values:
        piece = (mask != 0 if value is None else mask == value).astype(np.uint8)
        if value is None:
            stats = cv2.connectedComponentsWithStats(piece, connectivity=8)[2][1:]
        else:
            stats = np.array([[*cv2.boundingRect(piece), int(piece.sum())]])
        small += int((stats[:, cv2.CC_STAT_AREA] < rule.min_area).sum())
        rows += stats[stats[:, cv2.CC_STAT_AREA] >= rule.min_area, :4].tolist()
    return np.array(rows, np.float64).reshape(-1, 4), small


def read_mask(path: Path) -> NDArray[np.generic]:
    """A mask's own values (H, W): grey as it is in any depth, the index into a palette, or a number for each colour.

    Raises:
        UserError: unreadable, truncated or too large.
    """
    data = read_image_bytes(path)
    image_size(data, path)  # refuses what is no image, or too large, before it is decoded
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as image:
                if image.mode == "P":
                    indices, palette = np.asarray(image), image.getpalette() or []
                    return np.where(indices == 255, 0, indices) if tuple(palette[765:]) == _VOID else indices
                if image.mode in ("L", "1", "I", "F", "I;16", "I;16B"):
                    return np.asarray(image).astype(np.float64 if image.mode == "F" else np.int64)
                colours = np.asarray(image.convert("RGB")).astype(np.int64)
    except Exception as error:  # the decoders answer damage with errors of many kinds
        raise UserError(f"{printable(path)}: the mask cannot be decoded: {one_line(error)}") from error
    is_grey = bool((colours[..., :1] == colours[..., 1:]).all())
    return colours[..., 0] if is_grey else colours @ np.array([1 << 16, 1 << 8, 1])


@dataclass
class _Notes:
    """What is said of all masks together."""

    root: Path
    antialiased: list[str] = field(default_factory=list)
    empty: int = 0
    small: int = 0
    other_size: int = 0

    def finish(self, report: Report) -> None:
        """Reports it."""

        def tell(count: int, message: str) -> None:
            if count:
                report(Fault(self.root, "", f"{count} {message}", fatal=False, of_set=True))

        tell(self.other_size, "masks are of another size than their image; left out with it, not resized")
        named = ", ".join(map(printable, self.antialiased[:5]))
        tell(
            len(self.antialiased),
            f"masks are antialiased or were saved as JPEG, such as {named}: every pixel above 0 was taken, and boxes "
            "may be larger than the objects",
        )
        tell(self.empty, "masks are empty: images without objects")
        tell(self.small, "pieces are smaller than --min-area and were left out")


def _boxes(image: Path, path: Path, rule: MaskRule, notes: _Notes, report: Report) -> NDArray[np.float64] | None:
    """The boxes of an image by its mask; None where the two do not go together."""
    mask = read_mask(path)
    width, height = image_size(read_image_bytes(image), image)
    if mask.shape != (height, width):
        notes.other_size += 1
        message = f"is {mask.shape[1]} x {mask.shape[0]}, its image {width} x {height}; left out"
        report(Fault(path, "", message, fatal=False))
        return None
    if not rule.instances and _is_antialiased(mask):
        notes.antialiased.append(path.name)
    boxes, small = mask_boxes(mask, rule)
    check_objects(len(boxes), path)
    notes.small += small
    notes.empty += not mask.any()
    return boxes


def _is_antialiased(mask: NDArray[np.generic]) -> bool:
    """Whether a piece has more than one value above 0: it shades off into the background, as no label does."""
    count, pieces = cv2.connectedComponents((mask != 0).astype(np.uint8), connectivity=8)
    return len(np.unique(np.stack([pieces[mask != 0], mask[mask != 0]]), axis=1).T) > count - 1


def _folders(root: Path) -> list[tuple[Path, Path]]:
    """Each folder of images with that of their masks: of the set itself, or of its folders of parts."""
    if not root.is_dir():
        raise UserError(f"{printable(root)}: no such folder")
    for places in ([root], sorted(path for path in root.iterdir() if path.is_dir())):
        found = []
        for place in places:
            masks = next((path for name in MASK_FOLDERS if (path := place / name).is_dir()), None)
            images = next((path for name in IMAGE_FOLDERS if (path := place / name).is_dir()), None)
            if masks and images:
                found.append((images, masks))
        if found:
            return found
    names = " or ".join(f"{name}/" for name in MASK_FOLDERS[:2])
    raise UserError(f"{printable(root)}: needs images/ and {names}, in it or in each of its folders of parts")


def _pairs(images: Path, masks: Path, report: Report) -> list[tuple[Path, Path]]:
    """Each image with its mask; reports what is left over."""
    mask_of = {path.relative_to(masks).with_suffix("").as_posix(): path for path in find_images(masks, report)}
    pairs, alone = [], []
    for image in find_images(images, report):
        stem = image.relative_to(images).with_suffix("").as_posix()
        mask = next((mask_of.pop(stem + end) for end in MASK_ENDS if stem + end in mask_of), None)
        if mask is None:
            alone.append(image)
        else:
            pairs.append((image, mask))
    for paths, what in ((alone, "images have no mask"), (list(mask_of.values()), "masks have no image")):
        for path in paths:
            report(Fault(path, "", f"has no {what.split()[-1]}; left out", fatal=False))
        if paths:
            message = f"{len(paths)} {what} and are left out, such as {printable(paths[0].name)}"
            report(Fault(paths[0].parent, "", message, fatal=False, of_set=True))
    return pairs


def _parts(root: Path, images: Sequence[Path], lists: Path | None, report: Report) -> dict[Path, str]:
    """The part of each image by its folder, or by lists of names; others are left out and counted."""
    by_folder = {path: part_of_path(path.parent.relative_to(root)) for path in images}
    if lists is None and all(by_folder.values()):
        return {path: part for path, part in by_folder.items() if part}
    part_of_name = read_split_lists(root, lists, [path.stem for path in images])
    left = [path for path in images if path.stem not in part_of_name]
    if left:
        message = f"{len(left)} images are in no list and left out, such as {printable(left[0].name)}"
        report(Fault(root, "", message, fatal=False, of_set=True))
    return {path: part_of_name[path.stem] for path in images if path.stem in part_of_name}
