"""Augmentation for small objects: mosaic, mixup, affine, colour and flip, drawn without touching a pixel.

What is drawn is a `Recipe`: which images lie where, what is done to the colours, and the true boxes of the outcome. It
is a pure function of its random generator, and whoever has the images carries it out: `rendering` with OpenCV on the
processor, `device_rendering` with torch on any device.

The same steps as YOLOX's `MosaicDetection` and `TrainTransform` (Ge et al. 2021, section 2.1), with three differences
that matter for objects of 10 to 50 pixels:

- scales stay near 1. YOLOX scales a mosaic by 0.1 to 2, and a drone of 10 pixels times 0.1 is gone while its label
  stays. The defaults here (0.8 to 1.6, mixup 0.8 to 1.25) leave it 8 pixels, one cell of the finest stride;
- a box that the crop cuts is kept only if a good part of it is left to see, not whenever 1 pixel remains: a sliver of
  wing at the border is no drone;
- mixup halves an object's contrast, so a small and faint one can vanish; it is drawn less often.

Coordinates are of pixel edges: pixel i spans i to i + 1, and an image of width w spans 0 to w, as boxes do.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from yolox_gssam.common.letterbox import letterbox_ratio


@dataclass(frozen=True)
class Augmentation:
    """What is drawn for a training image, and how strongly. Names and units are those of YOLOX's exp files.

    Attributes:
        mosaic_prob: share of images that are a mosaic of four, in [0, 1].
        mixup_prob: share of mosaics that are blended half and half with another image.
        hsv_prob, flip_prob: share of images with changed colours, and mirrored left to right.
        hsv_gains: largest shift of hue, saturation and value, of OpenCV's 180, 256 and 256. Grey images, as infrared
            cameras give, are tinted by the first two: (0, 0, 30) changes their brightness alone.
        degrees, shear: largest rotation and shear angle, degrees.
        translate: how far a mosaic's window may leave its canvas, share of the image's side.
        mosaic_scale, mixup_scale: range of the zoom; 1 is the size the network sees at test time.
        min_visible: a cut box is kept if at least this share of its area is left...
        min_side: ... and its shorter side has at least this many pixels.
    """

    mosaic_prob: float = 1.0
    mixup_prob: float = 0.3
    hsv_prob: float = 1.0
    hsv_gains: tuple[int, int, int] = (5, 30, 30)
    flip_prob: float = 0.5
    degrees: float = 5.0
    shear: float = 2.0
    translate: float = 0.1
    mosaic_scale: tuple[float, float] = (0.8, 1.6)
    mixup_scale: tuple[float, float] = (0.8, 1.25)
    min_visible: float = 0.4
    min_side: float = 2.0


@dataclass(frozen=True)
class Tile:
    """A whole image of the set on a canvas, its top left corner at whole pixels."""

    index: int
    size_hw: tuple[int, int]
    left: int = 0
    top: int = 0


@dataclass(frozen=True)
class Rectangle:
    """Whole pixels of a canvas, `right` and `bottom` not among them."""

    left: int
    top: int
    right: int
    bottom: int


@dataclass(frozen=True)
class Piece:
    """The part of an image of the set that lies in a rectangle: rows and columns in the one and in the other."""

    index: int
    source: tuple[slice, slice]
    target: tuple[slice, slice]


@dataclass(frozen=True, eq=False)
class Layer:
    """Tiles, none above another, on an endless grey canvas, and where they come to lie in the training image.

    Attributes:
        matrix: (3, 3) float64, takes points of the canvas to points of the training image.
    """

    tiles: tuple[Tile, ...]
    matrix: NDArray[np.float64]

    @property
    def is_upright(self) -> bool:
        """Whether canvas pixels become pixels of the training image as they are, mirrored at most."""
        linear, shift = np.abs(self.matrix[:2, :2]), self.matrix[:2, 2]
        return bool((linear == np.eye(2)).all() and (shift == np.floor(shift)).all())

    def to_canvas(self) -> NDArray[np.float64]:
        """(2, 3) matrix that takes the indices of a training image's pixels to those of the canvas, in fractions."""
        # Of edges: the centre of pixel i lies at i + 1/2.
        half = np.array([0.5, 0.5])
        linear = np.linalg.inv(self.matrix[:2, :2])
        return np.column_stack([linear, linear @ (half - self.matrix[:2, 2]) - half])

    def needed(self, size_hw: tuple[int, int]) -> Rectangle:
        """The canvas pixels that bilinear interpolation looks at for a training image of `size_hw`.

        Of a canvas that is not upright no more than the tiles and a grey rim of one pixel: what lies beyond is as grey.
        """
        matrix = self.to_canvas()
        far_x, far_y = size_hw[1] - 1, size_hw[0] - 1
        corners = matrix[:, :2] @ np.array([[0, far_x, 0, far_x], [0, 0, far_y, far_y]]) + matrix[:, 2:]
        left, top = np.floor(corners.min(axis=1)).astype(int).tolist()
        right, bottom = (np.ceil(corners.max(axis=1)).astype(int) + 1).tolist()
        if self.is_upright:
            return Rectangle(left, top, right, bottom)
        left, right = _cut(left, right, min(t.left for t in self.tiles), max(t.left + t.size_hw[1] for t in self.tiles))
        top, bottom = _cut(top, bottom, min(t.top for t in self.tiles), max(t.top + t.size_hw[0] for t in self.tiles))
        return Rectangle(left, top, right, bottom)

    def pieces(self, area: Rectangle) -> Iterator[Piece]:
        """What of the tiles lies in a rectangle of the canvas; the rest of it is grey."""
        for tile in self.tiles:
            top, bottom = max(tile.top, area.top), min(tile.top + tile.size_hw[0], area.bottom)
            left, right = max(tile.left, area.left), min(tile.left + tile.size_hw[1], area.right)
            if top < bottom and left < right:
                yield Piece(
                    tile.index,
                    (slice(top - tile.top, bottom - tile.top), slice(left - tile.left, right - tile.left)),
                    (slice(top - area.top, bottom - area.top), slice(left - area.left, right - area.left)),
                )


@dataclass(frozen=True, eq=False)
class Recipe:
    """A training image to be made, and its true boxes.

    Attributes:
        layers: one, or two that are averaged.
        hsv_shift: (3,) int64, what is added to hue, saturation and value (of OpenCV's 180, 256, 256); None leaves the
            colours alone.
        boxes_xyxy: (n, 4) float64, pixels of this image.
        labels: (n,) int64 class indices.
    """

    size_hw: tuple[int, int]
    layers: tuple[Layer, ...]
    boxes_xyxy: NDArray[np.float64]
    labels: NDArray[np.int64]
    hsv_shift: NDArray[np.int64] | None = None


def scaled_size(image_hw: tuple[int, int], scale: float) -> tuple[int, int]:
    """(height, width) of the image scaled: sides are cut to whole pixels as in YOLOX's letterbox, at least 1."""
    return max(int(image_hw[0] * scale), 1), max(int(image_hw[1] * scale), 1)


def whole(index: int, size_hw: tuple[int, int], boxes_xyxy: NDArray[np.float64], labels: NDArray[np.int64]) -> Recipe:
    """Image `index` of the set at the size used, `size_hw`, and nothing else."""
    return Recipe(size_hw, (Layer((Tile(index, size_hw),), np.eye(3)),), boxes_xyxy, labels)


def place(image: Recipe, size_hw: tuple[int, int]) -> Recipe:
    """A whole image at the top left of a grey one of `size_hw`, which it must fit."""
    return replace(image, size_hw=size_hw)


def mosaic(images: Sequence[Recipe], size_hw: tuple[int, int], augmentation: Augmentation, rng: Generator) -> Recipe:
    """Four whole images of `size_hw` at most around the middle of a canvas of twice that size; a random, rotated,
    sheared and zoomed window of `size_hw` is cut from it."""
    height, width = size_hw
    tiles, boxes = [], []
    for position, image in enumerate(images):
        h, w = image.size_hw
        # Above left, above right, below left and below right of the middle, each touching it.
        top = height - h if position < 2 else height
        left = width - w if position % 2 == 0 else width
        tiles.append(replace(image.layers[0].tiles[0], left=left, top=top))
        boxes.append(image.boxes_xyxy + np.array([left, top, left, top]))
    labels = np.concatenate([image.labels for image in images])
    canvas = Recipe((2 * height, 2 * width), (Layer(tuple(tiles), np.eye(3)),), np.concatenate(boxes), labels)
    return keep_visible(_move(canvas, _window(size_hw, augmentation, rng), size_hw), augmentation)


def mixup(recipe: Recipe, other: Recipe, augmentation: Augmentation, rng: Generator) -> Recipe:
    """The training image blended half and half with a whole one, which is zoomed, mirrored by chance and shifted. Both
    keep their boxes."""
    size_hw = recipe.size_hw
    scale = letterbox_ratio(other.size_hw, size_hw) * rng.uniform(*augmentation.mixup_scale)
    height, width = scaled_size(other.size_hw, scale)
    zoomed = _move(other, np.diag([scale, scale, 1.0]), (height, width))
    if rng.random() < 0.5:
        zoomed = flip(zoomed)
    # Where the other is larger than the image it is cropped at a random place, where smaller it is put at one.
    shift_y = rng.uniform(min(size_hw[0] - height, 0), max(size_hw[0] - height, 0))
    shift_x = rng.uniform(min(size_hw[1] - width, 0), max(size_hw[1] - width, 0))
    shifted = keep_visible(_move(zoomed, _shift(int(shift_x), int(shift_y)), size_hw), augmentation)
    return replace(
        recipe,
        layers=recipe.layers + shifted.layers,
        boxes_xyxy=np.concatenate([recipe.boxes_xyxy, shifted.boxes_xyxy]),
        labels=np.concatenate([recipe.labels, shifted.labels]),
    )


def crop(recipe: Recipe, size_hw: tuple[int, int], augmentation: Augmentation, rng: Generator) -> Recipe:
    """A random window of `size_hw`, at the image's own scale, that holds the centre of one of its objects; any window
    where it has none. What lies outside the image is grey.

    A small object fills little of an image, and training on crops spends its time where objects are.
    """
    image_hw = np.array(recipe.size_hw)
    size = np.array(size_hw)
    low, high = np.minimum(image_hw - size, 0), np.maximum(image_hw - size, 0)
    if len(recipe.boxes_xyxy):
        box = recipe.boxes_xyxy[rng.integers(len(recipe.boxes_xyxy))]
        centre = (box[[1, 0]] + box[[3, 2]]) / 2
        low, high = np.maximum(low, np.ceil(centre) - size), np.minimum(high, np.floor(centre))
    top, left = rng.integers(low.astype(int), high.astype(int) + 1)
    return keep_visible(_move(recipe, _shift(-left, -top), size_hw), augmentation)


def jitter_hsv(recipe: Recipe, augmentation: Augmentation, rng: Generator) -> Recipe:
    """Hue, saturation and value shifted by up to `hsv_gains`, each with probability one half, as in YOLOX."""
    shift = (rng.uniform(-1, 1, 3) * augmentation.hsv_gains * rng.integers(0, 2, 3)).astype(np.int64)
    return replace(recipe, hsv_shift=shift)


def flip(recipe: Recipe) -> Recipe:
    """The training image mirrored left to right."""
    return _move(recipe, np.array([[-1.0, 0.0, recipe.size_hw[1]], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]), recipe.size_hw)


def keep_visible(recipe: Recipe, augmentation: Augmentation) -> Recipe:
    """The recipe with its boxes clipped to the image, without those of which too little is left."""
    height, width = recipe.size_hw
    clipped = np.clip(recipe.boxes_xyxy, 0, (width, height, width, height))
    sides = clipped[:, 2:] - clipped[:, :2]
    before = np.prod(recipe.boxes_xyxy[:, 2:] - recipe.boxes_xyxy[:, :2], axis=1)
    keep = (np.prod(sides, axis=1) >= augmentation.min_visible * before) & (sides.min(axis=1) >= augmentation.min_side)
    return replace(recipe, boxes_xyxy=clipped[keep], labels=recipe.labels[keep])


def _window(size_hw: tuple[int, int], augmentation: Augmentation, rng: Generator) -> NDArray[np.float64]:
    """A (3, 3) matrix that takes a canvas of twice `size_hw` to a random window of `size_hw`."""
    height, width = size_hw
    scale = rng.uniform(*augmentation.mosaic_scale)
    angle = math.radians(rng.uniform(-augmentation.degrees, augmentation.degrees))
    shear_x, shear_y = np.tan(np.radians(rng.uniform(-augmentation.shear, augmentation.shear, 2)))
    rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    linear = scale * rotation @ np.array([[1.0, shear_x], [shear_y, 1.0]])
    # The window measures size / scale: this far its centre may go from the canvas's without leaving the canvas.
    reach = max(1.0 - 0.5 / scale, 0.0) + augmentation.translate
    centre = np.array([width, height]) * (1 + rng.uniform(-1, 1, 2) * reach)
    matrix = np.eye(3)
    matrix[:2, :2] = linear
    matrix[:2, 2] = np.array([width / 2, height / 2]) - linear @ centre
    return matrix


def _cut(start: int, stop: int, low: int, high: int) -> tuple[int, int]:
    """The part of start..stop in low - 1..high + 1, at least one long."""
    start = min(max(start, low - 1), high)
    return start, min(max(stop, start + 1), high + 1)


def _shift(right: int, down: int) -> NDArray[np.float64]:
    """A (3, 3) matrix that moves by whole pixels."""
    return np.array([[1.0, 0.0, right], [0.0, 1.0, down], [0.0, 0.0, 1.0]])


def _move(recipe: Recipe, matrix: NDArray[np.float64], size_hw: tuple[int, int]) -> Recipe:
    """The recipe under an affine map of points; each box becomes the upright box around its four mapped corners."""
    layers = tuple(Layer(layer.tiles, matrix @ layer.matrix) for layer in recipe.layers)
    corners = recipe.boxes_xyxy[:, [0, 1, 2, 3, 0, 3, 2, 1]].reshape(-1, 4, 2)
    mapped = corners @ matrix[:2, :2].T + matrix[:2, 2]
    boxes = np.concatenate([mapped.min(axis=1), mapped.max(axis=1)], axis=1)
    return replace(recipe, size_hw=size_hw, layers=layers, boxes_xyxy=boxes)
