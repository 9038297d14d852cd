"""What is in a data set: counts by split, class and size, a box-size histogram, and a contact sheet."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from yolox_gssam.common.files import atomic_path
from yolox_gssam.common.images import encode_png
from yolox_gssam.common.progress import progress_bar
from yolox_gssam.data.coco_reader import CocoSplit, read_image
from yolox_gssam.data.labelled import AREAS, SIZE_LIMITS, LabelledImage

_BOUNDS = (8, 16, 32, 96)  # sides of squares where one of `AREAS` ends
_TILE_WH = (384, 288)
_ZOOM_SIDE = 96
_COLOURS = ((0, 200, 255), (255, 128, 0), (80, 220, 80), (220, 80, 220), (60, 60, 255), (255, 255, 80))  # BGR


def object_areas(split: CocoSplit) -> NDArray[np.float64]:
    """Square pixels of every object of a split: (n,)."""
    return np.concatenate([np.zeros(0), *(image.object_areas for image in split.images)])


def size_counts(areas: NDArray[np.float64]) -> dict[str, int]:
    """How many objects have each size of `AREAS`, as evaluation counts them."""
    return {name: int(((low <= areas) & (areas <= high)).sum()) for name, (low, high) in AREAS.items()}


def summary_table(splits: Mapping[str, CocoSplit]) -> str:
    """Images, objects of each class and of each size (see `AREAS`), one column a split."""
    rows: list[tuple[str, list[int]]] = [("images", [len(split.images) for split in splits.values()])]
    empty = [sum(not len(image.labels) for image in split.images) for split in splits.values()]
    rows.append(("images without objects", empty))
    groups = [len({image.group for image in split.images} - {None}) for split in splits.values()]
    rows.append(("groups", groups))
    rows.append(("objects", [len(object_areas(split)) for split in splits.values()]))
    labels = [Counter(label for image in split.images for label in image.labels.tolist()) for split in splits.values()]
    for label, name in enumerate(next(iter(splits.values())).classes):
        rows.append((f"  {name}", [count[label] for count in labels]))
    sizes = [size_counts(object_areas(split)) for split in splits.values()]
    rows += [(f"  {name}, {SIZE_LIMITS[name]}", [count[name] for count in sizes]) for name in AREAS]
    width = max(len(name) for name, _ in rows)
    lines = [" " * width + "".join(f"{split:>9}" for split in (*splits, "all"))]
    lines += [f"{name:<{width}}" + "".join(f"{value:>9,}" for value in (*row, sum(row))) for name, row in rows]
    return "\n".join(lines)


def write_histogram(path: Path, splits: Mapping[str, CocoSplit]) -> None:
    """Draws how many objects of each split have which size, as PNG.

    Raises:
        UserError: the file cannot be written.
    """
    from matplotlib.figure import Figure  # half a second that the other tools need not wait

    from yolox_gssam.common.figure import save_figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    sides = [np.sqrt(object_areas(split)) for split in splits.values()]
    largest = max((float(side.max()) for side in sides if len(side)), default=1.0)
    edges = np.geomspace(2, max(largest, 128) * 1.01, 40)
    axes.hist([np.clip(side, 2, None) for side in sides], bins=edges.tolist(), stacked=True, label=list(splits))
    for bound in _BOUNDS:
        axes.axvline(bound, color="black", linewidth=0.8, linestyle=":")
    axes.set_xscale("log", base=2)
    ticks = [2**power for power in range(1, math.ceil(math.log2(edges[-1])))]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.set_xlabel("object size: side of the square of the same area, pixels of the image")
    axes.set_ylabel("objects")
    axes.set_title("dotted: bounds of very tiny, tiny, small, medium, large", fontsize="medium")
    axes.legend()
    save_figure(figure, path)


def write_contact_sheet(path: Path, splits: Mapping[str, CocoSplit], count: int = 24, columns: int = 4) -> None:
    """Draws images spread evenly over the set with their boxes, and one object of each enlarged, as PNG.

    Raises:
        UserError: an image cannot be read, or the file cannot be written.
    """
    everything = [(split, image) for split in splits.values() for image in split.images]
    chosen = [
        everything[i] for i in np.unique(np.linspace(0, len(everything) - 1, min(count, len(everything))).astype(int))
    ]
    with progress_bar(chosen, description="contact sheet", unit="images") as bar:
        tiles = [_tile(read_image(split.image_path(image)), image, split.classes) for split, image in bar]
    blank = np.full_like(tiles[0], 255)
    tiles += [blank] * (-len(tiles) % columns)
    sheet = np.concatenate([np.concatenate(tiles[i : i + columns], 1) for i in range(0, len(tiles), columns)])
    with atomic_path(path) as part:
        part.write_bytes(encode_png(sheet))


def _tile(pixels: NDArray[np.uint8], image: LabelledImage, classes: Sequence[str]) -> NDArray[np.uint8]:
    """One image of the sheet: fitted in, boxes around the objects, the smallest object enlarged in a corner."""
    ratio = min(_TILE_WH[0] / image.width, _TILE_WH[1] / image.height)
    size_wh = max(1, round(image.width * ratio)), max(1, round(image.height * ratio))
    tile = np.full((_TILE_WH[1], _TILE_WH[0], 3), 255, np.uint8)
    tile[: size_wh[1], : size_wh[0]] = cv2.resize(pixels, size_wh, interpolation=cv2.INTER_AREA)
    for (left, top, right, bottom), label in zip(image.boxes_xyxy * ratio, image.labels.tolist(), strict=True):
        colour = _COLOURS[label % len(_COLOURS)]
        start, end = (math.floor(left) - 3, math.floor(top) - 3), (math.ceil(right) + 3, math.ceil(bottom) + 3)
        cv2.rectangle(tile, start, end, colour, 1)
        _write(tile, classes[label], (start[0], start[1] - 4 if start[1] > 14 else end[1] + 12), colour)
    if len(image.labels):
        tile[-_ZOOM_SIDE:, -_ZOOM_SIDE:] = _enlarged(pixels, image)
        cv2.rectangle(
            tile, (_TILE_WH[0] - _ZOOM_SIDE, _TILE_WH[1] - _ZOOM_SIDE), (_TILE_WH[0] - 1, _TILE_WH[1] - 1), (255,) * 3
        )
    _write(tile, image.file_name[-48:], (3, _TILE_WH[1] - 5), (255, 255, 255))
    return tile


def _enlarged(pixels: NDArray[np.uint8], image: LabelledImage) -> NDArray[np.uint8]:
    """The smallest object of an image with as much again around it, as a square."""
    sizes = image.boxes_xyxy[:, 2:] - image.boxes_xyxy[:, :2]
    index = int(sizes.prod(axis=1).argmin())
    side = max(8, math.ceil(2 * sizes[index].max()))
    centre = (image.boxes_xyxy[index, :2] + image.boxes_xyxy[index, 2:]) / 2
    crop = cv2.getRectSubPix(pixels, (side, side), (float(centre[0]) - 0.5, float(centre[1]) - 0.5))
    return np.asarray(cv2.resize(crop, (_ZOOM_SIDE, _ZOOM_SIDE), interpolation=cv2.INTER_CUBIC), np.uint8)


def _write(tile: NDArray[np.uint8], text: str, origin: tuple[int, int], colour: Sequence[int]) -> None:
    """Small letters with a dark shadow, so that they stand out against sky and trees."""
    ascii_text = text.encode("ascii", "replace").decode()
    for shift, ink in ((1, (0, 0, 0)), (0, tuple(colour))):
        place = (origin[0] + shift, origin[1] + shift)
        cv2.putText(tile, ascii_text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, ink, 1, cv2.LINE_AA)
