"""Share of the energy of a detector's attention maps and Grad-CAMs that lies inside the true boxes.

The measure is the energy-based pointing game of Wang et al., "Score-CAM", CVPR Workshops 2020, arXiv 1910.01279.

A sigmoid map lies far above 0 everywhere, and what weighs all pixels alike says nothing of where a network looks. So
the energy here is what stands above the map's smallest value on the image, which is what its picture shows, and what
the package grad-cam gives out; the same of the values as they are is told beside it.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from yolox_gssam.common.progress import progress_bar
from yolox_gssam.common.text_table import text_table
from yolox_gssam.data.coco_reader import CocoSplit, read_image
from yolox_gssam.evaluation.bootstrap import interval
from yolox_gssam.inference.overlay import FLAT
from yolox_gssam.research.pictures.look import Look

GRAD_CAM = "Grad-CAM"
_RESAMPLES = 2000


@dataclass(frozen=True)
class Share:
    """Of one map on one image, fractions in [0, 1].

    Attributes:
        inside: share of the energy above the map's minimum that lies inside the boxes; of a flat map: as `area`.
        inside_raw: the same of the values as they are.
        area: share of the image's area that the boxes cover together.
    """

    inside: float
    inside_raw: float
    area: float


@dataclass(frozen=True)
class Energy:
    """The mean over a test set, with spreads of a bootstrap over the clips; None where there is a single clip.

    Attributes:
        network, place: whose map, and which one.
        inside, inside_error: mean share of the energy inside the boxes, and its standard error.
        area: mean share of the area inside the boxes: what a map without knowledge has.
        times_chance: `inside` over `area`.
        times_chance_low, times_chance_high: its 95 % interval.
        times_chance_raw: the same of the map's values as they are, not above their minimum.
    """

    network: str
    place: str
    images: int
    clips: int
    inside: float
    inside_error: float | None
    area: float
    times_chance: float
    times_chance_low: float | None
    times_chance_high: float | None
    times_chance_raw: float


def detector_energy(
    network: str, look_at: Callable[[NDArray[np.uint8]], Look], split: CocoSplit, seed: int
) -> list[Energy]:
    """One row per stage with an attention map, then one of Grad-CAM; `look_at` puts the detector in front of an image.

    Grad-CAM's share of an image is the mean over its detections; images where the network finds nothing have none and
    do not count there. Boxes of all classes count, crowds do not; images without a box are left out.
    """
    shares: dict[str, list[Share]] = defaultdict(list)
    clips: dict[str, list[str]] = defaultdict(list)
    for image in progress_bar(split.images, description=network, unit="images"):
        if not len(image.boxes_xyxy):
            continue
        look = look_at(read_image(split.image_path(image)))
        of_image = {stage: _share(look, values, image.boxes_xyxy) for stage, values in look.attention().items()}
        cams = [_share(look, look.grad_cam(number), image.boxes_xyxy) for number in range(len(look.detections))]
        if cams:
            means = np.mean([(cam.inside, cam.inside_raw, cam.area) for cam in cams], axis=0)
            of_image[GRAD_CAM] = Share(*means.tolist())
        for place, share in of_image.items():
            shares[place].append(share)
            clips[place].append(image.file_name if image.group is None else image.group)
    places = sorted(shares, key=lambda place: place == GRAD_CAM)  # last, wherever it came first
    return [mean_energy(network, place, shares[place], clips[place], seed) for place in places]


def _share(look: Look, values: NDArray[np.float32], boxes_xyxy: NDArray[np.floating]) -> Share:
    """Of a map over the letterboxed input, whose boxes are scaled as the image was."""
    cells = values.shape[1] / look.test_size[1]  # cells per input pixel
    height, width = look.image.shape[:2]
    extent_wh = (int(width * look.ratio) * cells, int(height * look.ratio) * cells)
    return share_inside(values, boxes_xyxy * look.ratio * cells, extent_wh)


def share_inside(
    values: NDArray[np.float32], boxes_xyxy: NDArray[np.floating], extent_wh: tuple[float, float]
) -> Share:
    """The share of a map inside boxes, exact to the fraction of a cell: a cell's value counts all over its square.

    Args:
        values: (h, w), none negative; cells beyond the extent are the letterbox's padding and do not count.
        boxes_xyxy: (n, 4) in cells of the map; what overlaps counts once.
        extent_wh: width and height of the image in cells of the map.

    Raises:
        ValueError: the image is larger than the map, or the map has negative values.
    """
    height, width = values.shape
    if not (0 < extent_wh[0] <= width + 1e-6 and 0 < extent_wh[1] <= height + 1e-6) or (values < 0).any():
        raise ValueError(f"a map of {height} x {width} cells, none below 0, must hold the image of {extent_wh}")
    # The image cut along the borders of all cells and boxes: each piece has one value and is in a box or not.
    edges_x = _edges(width, boxes_xyxy[:, [0, 2]], extent_wh[0])
    edges_y = _edges(height, boxes_xyxy[:, [1, 3]], extent_wh[1])
    x, y = (edges_x[1:] + edges_x[:-1]) / 2, (edges_y[1:] + edges_y[:-1]) / 2
    areas = np.outer(np.diff(edges_y), np.diff(edges_x))
    pieces = values.astype(np.float64)[np.ix_(y.astype(int), x.astype(int))]
    in_box = np.zeros(areas.shape, bool)
    for left, top, right, bottom in boxes_xyxy:
        in_box |= np.outer((top < y) & (y < bottom), (left < x) & (x < right))

    area = float(areas[in_box].sum() / areas.sum())
    lowest = pieces.min()
    flat = bool(pieces.max() - lowest <= FLAT)
    inside, inside_raw = (
        float((energy * areas)[in_box].sum() / total) if (total := (energy * areas).sum()) > 0 else area
        for energy in (pieces - lowest, pieces)
    )
    return Share(area if flat else inside, inside_raw, area)


def mean_energy(network: str, place: str, shares: Sequence[Share], clips: Sequence[str], seed: int = 0) -> Energy:
    """The mean of the shares of a test set, at least one; `clips` names the clip of each image."""
    names, index = np.unique(np.asarray(clips), return_inverse=True)
    sums = np.zeros((len(names), 4))
    np.add.at(sums, index, np.array([(1, share.inside, share.inside_raw, share.area) for share in shares]))
    drawn = np.random.default_rng(seed).integers(len(names), size=(_RESAMPLES, len(names)))
    images, inside, _, area = sums[drawn].sum(axis=1).T
    several = len(names) > 1
    low, high = interval(inside / area) if several else (None, None)
    _, inside_mean, raw_mean, area_mean = (sums.sum(axis=0) / len(shares)).tolist()
    return Energy(
        network=network,
        place=place,
        images=len(shares),
        clips=len(names),
        inside=inside_mean,
        inside_error=float((inside / images).std(ddof=1)) if several else None,
        area=area_mean,
        times_chance=inside_mean / area_mean,
        times_chance_low=low,
        times_chance_high=high,
        times_chance_raw=raw_mean / area_mean,
    )


def energy_table(rows: Sequence[Energy]) -> str:
    """The rows as text, shares in percent."""
    cells = [
        (
            row.network,
            row.place,
            str(row.images),
            str(row.clips),
            f"{100 * row.inside:.2f}" + ("" if row.inside_error is None else f" ± {100 * row.inside_error:.2f}"),
            f"{100 * row.area:.2f}",
            f"{row.times_chance:.2f}",
            "-" if row.times_chance_low is None else f"{row.times_chance_low:.2f} to {row.times_chance_high:.2f}",
            f"{row.times_chance_raw:.2f}",
        )
        for row in rows
    ]
    headers = ("network", "map", "images", "clips", "inside, %", "area, %", "times chance", "95 %", "raw")
    return text_table(cells, headers, left=2)


def _edges(cells: int, box_edges: NDArray[np.floating], extent: float) -> NDArray[np.float64]:
    return np.unique(np.clip(np.concatenate((np.arange(cells + 1.0), box_edges.ravel())), 0, min(extent, cells)))
