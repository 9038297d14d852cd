"""What the numbers of a Pascal VOC box count: its pixels or its edges, from 1 or from 0.

VOC itself counts pixels from 1, and xmax is the last one in the box. Most labelling tools write the edges, in pixels
from 0, and some converters the edges from 1. A box of ten pixels is off by a tenth where one is taken for another.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.images import read_image
from yolox_gssam.common.progress import progress_bar
from yolox_gssam.data.faults import Fault, Report

Coordinates = Literal["pixels", "edges", "edges-1"]
"""pixels: of VOC, from 1, the last one in the box; edges: from 0; edges-1: from 1."""
COORDINATES: tuple[Coordinates, ...] = get_args(Coordinates)
MEANING: dict[Coordinates, str] = {
    "pixels": "pixels counted from 1, xmax in the box (x = xmin - 1, w = xmax - xmin + 1)",
    "edges": "edges counted from 0 (x = xmin, w = xmax - xmin)",
    "edges-1": "edges counted from 1 (x = xmin - 1, w = xmax - xmin)",
}
_SHIFTS: dict[Coordinates, tuple[float, float]] = {"pixels": (1, 0), "edges": (0, 0), "edges-1": (1, 1)}
"""What xmin (or ymin) and xmax (or ymax) are above the edges in pixels from 0."""

MAX_BOXES = 300
"""Boxes that are looked up in the images."""
MIN_CLEAR = 20
"""Fewer clear objects decide nothing."""
MIN_CLEAR_OF_VERSIONS = 5
"""The same where the writer is known and only its version is not."""
MIN_LEAD = 0.25
"""Pixels that the best reading must be nearer than the next."""
MIN_LEAD_OF_MEANS = 0.1
"""The same by the means of the distances, into which objects that are found badly go."""
MARGIN = 3
"""Pixels around a box in which its object is sought."""
MAX_SIDE = 128
"""Larger objects are no test: half a pixel is little against their shades."""
MIN_CONTRAST = 12
"""Grey levels, and `MIN_NOISES` times the noise around it, that a clear object differs from what is around it."""
MIN_NOISES = 5

_UNKNOWN = "by an unknown writer"


@dataclass(frozen=True)
class Origin:
    """What a file says of who wrote it.

    Attributes:
        database: the text of source/database.
        has_path: it holds a path.
        has_decimals: most of its numbers are not whole.
    """

    database: str = ""
    has_path: bool = False
    has_decimals: bool = False


@dataclass(frozen=True)
class Choice:
    """A reading and why it was chosen, for a message. `is_certain` is false where it is only that of VOC itself."""

    coordinates: Coordinates
    reason: str
    is_certain: bool = True


def writer_of(origin: Origin) -> tuple[Coordinates | None, str]:
    """The reading that goes with a file's writer, None where it does not tell it, and who that is."""
    database = origin.database.strip()
    if re.fullmatch(r"The VOC20[0-9]{2} Database", database):
        return "pixels", f"as VOC itself (database {database!r})"
    if "roboflow" in database.lower():  # supervision: edges from 0 up to 0.21, then from 1, VOC's pixels since 0.31
        return None, "by Roboflow or supervision, whose versions differ"
    if database == "MyDatabase":
        return "edges", "as Label Studio writes them (database 'MyDatabase')"
    if database in ("Unknown", "Unspecified"):
        return "edges", f"as labelImg, CVAT, VoTT and makesense.ai write them (database {database!r})"
    if origin.has_path:
        return "edges", "as labelImg and its kin write them (<path>)"
    if origin.has_decimals:
        return "edges", "as only tools that count so write decimals"
    return None, _UNKNOWN


def to_xywh(corners: Sequence[float], coordinates: Coordinates) -> list[float]:
    """The box [x, y, width, height] in COCO's pixels of [xmin, ymin, xmax, ymax]."""
    low, high = _SHIFTS[coordinates]
    xmin, ymin, xmax, ymax = corners
    return [xmin - low, ymin - low, xmax - high - (xmin - low), ymax - high - (ymin - low)]


def choose_coordinates(
    files: Mapping[str, tuple[Origin, Path, Sequence[Sequence[float]]]], place: Path, report: Report
) -> dict[str, Coordinates]:
    """The reading of each file, by its writer or, where files do not tell one, by their images; reports each choice.

    Args:
        files: by any key: what the file says of its writer, its image, and the corners of its boxes.
        place: where the files lie, for messages.
    """
    of_writer: dict[tuple[Coordinates | None, str], list[str]] = {}
    for key, (origin, _, corners) in files.items():
        if corners:
            of_writer.setdefault(writer_of(origin), []).append(key)
    chosen: dict[str, Coordinates] = dict.fromkeys(files, "pixels")
    for (coordinates, writer), keys in of_writer.items():
        choice = Choice(coordinates or "pixels", writer)
        if coordinates is None:
            min_clear = MIN_CLEAR if writer == _UNKNOWN else MIN_CLEAR_OF_VERSIONS
            by_images = choose_by_images([files[key][1:] for key in keys], min_clear)
            choice = Choice(by_images.coordinates, f"{writer}: {by_images.reason}", by_images.is_certain)
        chosen.update(dict.fromkeys(keys, choice.coordinates))
        others = " or ".join(f"--coordinates {name}" for name in COORDINATES if name != choice.coordinates)
        advice = (
            f"if that is wrong, give {others}"
            if choice.is_certain
            else f"undecided; to read them otherwise give {others}"
        )
        message = f"boxes of {len(keys)} files are read as {MEANING[choice.coordinates]}, {choice.reason}; {advice}"
        report(Fault(place, "", message, fatal=False, of_set=True))
    return chosen


def choose_by_images(files: Sequence[tuple[Path, Sequence[Sequence[float]]]], min_clear: int = MIN_CLEAR) -> Choice:
    """The reading that fits what is to be seen in the images.

    Each edge of a box is compared with that of the object found around it. The median distances of the four edges are
    compared with those that each reading would leave: first as they are, then, since many boxes are drawn larger than
    their objects, with an equal margin on all sides. The means must agree, since medians of whole numbers may fall on
    a reading by chance.

    Args:
        files: each image with the corners of its boxes; those that cannot be read say nothing.
        min_clear: so many clear objects are needed.
    """
    with_boxes = [file for file in files if file[1]]
    spread = np.linspace(0, len(with_boxes) - 1, min(len(with_boxes), MAX_BOXES)).astype(int)
    found = box_offsets([with_boxes[index] for index in spread], "coordinates")
    count = len(found)
    if count < min_clear:
        return Choice("pixels", f"{count} objects are clear enough to compare, {min_clear} are needed", False)
    medians = np.median(found, axis=0)
    shown = " ".join(f"{value:+.2g}" for value in medians)
    told = f"over {count} clear objects xmin ymin xmax ymax lie {shown} pixels beyond the edges in the image"
    means = found.clip(-MARGIN, MARGIN).mean(axis=0)
    for costs_of in (_costs, _costs_with_margin):
        of_medians, of_means = costs_of(medians), costs_of(means)
        best = int(of_medians.argmin())
        if _lead(of_medians, best) >= MIN_LEAD and _lead(of_means, best) >= MIN_LEAD_OF_MEANS:
            return Choice(COORDINATES[best], f"the images show it: {told}")
    return Choice("pixels", f"the images do not tell: {told}", False)


def _lead(costs: NDArray[np.float64], best: int) -> float:
    """How much nearer one reading is than any other, in pixels."""
    return float(np.delete(costs, best).min() - costs[best])


def _costs(distances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean distance in pixels of the four edges from what each reading would leave."""
    expected = np.array([[low, low, high, high] for low, high in (_SHIFTS[name] for name in COORDINATES)])
    return np.abs(distances - expected).mean(axis=1)


def _costs_with_margin(distances: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same of the means of opposite edges, which a margin leaves; far where the margin would be below 0.75."""
    shifts = np.array([_SHIFTS[name] for name in COORDINATES], np.float64)
    means = (distances[:2] + distances[2:]) / 2
    costs = np.abs(means - shifts.mean(axis=1)[:, None]).mean(axis=1)
    margins = ((distances[2:] - distances[:2]).mean() - (shifts[:, 1] - shifts[:, 0])) / 2
    return np.where(np.abs(margins) >= 0.75, costs, 10.0)


def box_offsets(files: Iterable[tuple[Path, Sequence[Sequence[float]]]], description: str) -> NDArray[np.float64]:
    """(n, 4) how far each edge of a box lies right of or below that of its clear object, in pixels.

    Each file is an image with the corners of its boxes, of which `MAX_BOXES` are looked up. One that cannot be read
    says nothing.
    """
    found: list[NDArray[np.float64]] = []
    looked = 0
    with progress_bar(files, description=description, unit="images") as bar:
        for path, boxes in bar:
            if looked >= MAX_BOXES:
                break
            try:
                image = read_image(path)
            except UserError:  # told where it is stored or checked
                continue
            for corners in boxes[: MAX_BOXES - looked]:
                looked += 1
                offset = box_offset(image, corners)
                if offset is not None:
                    found.append(offset)
    return np.array(found).reshape(-1, 4)


def box_offset(image: NDArray[np.uint8], corners: Sequence[float]) -> NDArray[np.float64] | None:
    """(4,) `box_offsets` of one box; None where its object is not clear."""
    edges = object_edges(image, corners)
    return None if edges is None else np.array(corners, np.float64) - edges


def object_edges(image: NDArray[np.uint8], corners: Sequence[float]) -> list[int] | None:
    """The edges [left, top, right, bottom] of the object around a box of an image (H, W, 3), in pixels from 0; None
    where it is not clear."""
    left, top = (int(np.floor(number)) - MARGIN for number in corners[:2])
    right, bottom = (int(np.ceil(number)) + MARGIN for number in corners[2:])
    height, width = image.shape[:2]
    if left < 0 or top < 0 or right > width or bottom > height:
        return None
    if not 2 * MARGIN < right - left <= MAX_SIDE or not 2 * MARGIN < bottom - top <= MAX_SIDE:
        return None
    window = image[top:bottom, left:right].astype(np.float32)
    around = np.ones(window.shape[:2], bool)
    around[2:-2, 2:-2] = False
    ground = np.median(window[around], axis=0)
    contrast = np.abs(window - ground).max(axis=2)
    peak = np.percentile(contrast[MARGIN:-MARGIN, MARGIN:-MARGIN], 90)
    if peak < max(MIN_CONTRAST, MIN_NOISES * contrast[around].std()):
        return None
    count, _, stats, _ = cv2.connectedComponentsWithStats((contrast > peak / 2).astype(np.uint8), connectivity=8)
    if count < 2:
        return None
    x, y, w, h, _ = stats[1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))]
    if x == 0 or y == 0 or x + w == window.shape[1] or y + h == window.shape[0]:
        return None
    return [left + int(x), top + int(y), left + int(x + w), top + int(y + h)]
