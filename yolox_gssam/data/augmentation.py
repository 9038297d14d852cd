"""Augmentation for small objects: mosaic, mixup, affine, colour and flip, each a pure function of its random generator.

The same steps as YOLOX's `MosaicDetection` and `TrainTransform` (Ge et al. 2021, section 2.1), with three differences
that matter for objects of 10 to 50 pixels:

- scales stay near 1. YOLOX scales a mosaic by 0.1 to 2, and a drone of 10 pixels times 0.1 is gone while its label
  stays. The defaults here (0.8 to 1.6, mixup 0.8 to 1.25) leave it 8 pixels, one cell of the finest stride;
- a box that the crop cuts is kept only if a good part of it is left to see, not whenever 1 pixel remains: a sliver of
  wing at the border is no drone;
- mixup halves an object's contrast, so a small and faint one can vanish; it is drawn less often.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

# YOLOX's grey for what lies outside the image, also what its letterbox pads with.
PAD_VALUE = 114


@dataclass(frozen=True, eq=False)
class Sample:
    """An image with its true boxes.

    Attributes:
        image: (H, W, 3) uint8, BGR.
        boxes_xyxy: (n, 4) float64, pixels of this image.
        labels: (n,) int64 class indices.
    """

    image: NDArray[np.uint8]
    boxes_xyxy: NDArray[np.float64]
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class Augmentation:
    """What is drawn for a training image, and how strongly. Names and units are those of YOLOX's exp files.

    Attributes:
        mosaic_prob: share of images that are a mosaic of four, in [0, 1].
        mixup_prob: share of mosaics that are blended half and half with another image.
        hsv_prob, flip_prob: share of images with changed colours, and mirrored left to right.
        degrees, shear: largest rotation and shear angle, degrees.
        translate: how far a mosaic's window may leave its canvas, share of the image's side.
        mosaic_scale, mixup_scale: range of the zoom; 1 is the size the network sees at test time.
        min_visible: a cut box is kept if at least this share of its area is left...
        min_side: ... and its shorter side has at least this many pixels.
    """

    mosaic_prob: float = 1.0
    mixup_prob: float = 0.3
    hsv_prob: float = 1.0
    flip_prob: float = 0.5
    degrees: float = 5.0
    shear: float = 2.0
    translate: float = 0.1
    mosaic_scale: tuple[float, float] = (0.8, 1.6)
    mixup_scale: tuple[float, float] = (0.8, 1.25)
    min_visible: float = 0.4
    min_side: float = 2.0


def fit_scale(image_hw: tuple[int, int], size_hw: tuple[int, int]) -> float:
    """The letterbox's factor: the largest one at which the image fits into `size_hw`."""
    return min(size_hw[0] / image_hw[0], size_hw[1] / image_hw[1])


def resize(sample: Sample, scale: float) -> Sample:
    """The sample scaled by `scale`; sides are cut to whole pixels as in YOLOX's letterbox, at least 1."""
    height, width = sample.image.shape[:2]
    size_wh = (max(int(width * scale), 1), max(int(height * scale), 1))
    if size_wh == (width, height):
        return sample
    image = cv2.resize(sample.image, size_wh, interpolation=cv2.INTER_LINEAR)
    return Sample(_uint8(image), sample.boxes_xyxy * scale, sample.labels)


def pad(sample: Sample, size_hw: tuple[int, int]) -> Sample:
    """The sample at the top left of a grey image of `size_hw`, which it must fit."""
    height, width = sample.image.shape[:2]
    image = np.full((*size_hw, 3), PAD_VALUE, dtype=np.uint8)
    image[:height, :width] = sample.image
    return Sample(image, sample.boxes_xyxy, sample.labels)


def mosaic(samples: Sequence[Sample], size_hw: tuple[int, int], augmentation: Augmentation, rng: Generator) -> Sample:
    """Four samples, fitted to `size_hw` each, around the middle of a canvas of twice that size; a random rotated,
    sheared and zoomed window of `size_hw` is cut from it."""
    height, width = size_hw
    canvas = np.full((2 * height, 2 * width, 3), PAD_VALUE, dtype=np.uint8)
    boxes, labels = [], []
    for position, sample in enumerate(samples):
        fitted = resize(sample, fit_scale(sample.image.shape[:2], size_hw))
        h, w = fitted.image.shape[:2]
        # Above left, above right, below left and below right of the middle, each touching it.
        top = height - h if position < 2 else height
        left = width - w if position % 2 == 0 else width
        canvas[top : top + h, left : left + w] = fitted.image
        boxes.append(fitted.boxes_xyxy + np.array([left, top, left, top]))
        labels.append(fitted.labels)
    whole = Sample(canvas, np.concatenate(boxes), np.concatenate(labels))
    return keep_visible(_warp(whole, _window(size_hw, augmentation, rng), size_hw), augmentation)


def mixup(sample: Sample, other: Sample, augmentation: Augmentation, rng: Generator) -> Sample:
    """`sample` blended half and half with `other`, zoomed, mirrored by chance and shifted. Both keep their boxes."""
    size_hw = (sample.image.shape[0], sample.image.shape[1])
    scale = fit_scale(other.image.shape[:2], size_hw) * rng.uniform(*augmentation.mixup_scale)
    other = resize(other, scale)
    if rng.random() < 0.5:
        other = flip(other)
    height, width = other.image.shape[:2]
    # Where the other is larger than the image it is cropped at a random place, where smaller it is put at one.
    shift_y = rng.uniform(min(size_hw[0] - height, 0), max(size_hw[0] - height, 0))
    shift_x = rng.uniform(min(size_hw[1] - width, 0), max(size_hw[1] - width, 0))
    matrix = np.array([[1.0, 0.0, int(shift_x)], [0.0, 1.0, int(shift_y)]])
    other = keep_visible(_warp(other, matrix, size_hw), augmentation)
    return Sample(
        _uint8(cv2.addWeighted(sample.image, 0.5, other.image, 0.5, 0)),
        np.concatenate([sample.boxes_xyxy, other.boxes_xyxy]),
        np.concatenate([sample.labels, other.labels]),
    )


def crop(sample: Sample, size_hw: tuple[int, int], augmentation: Augmentation, rng: Generator) -> Sample:
    """A random window of `size_hw`, at the sample's own scale, that holds the centre of one of its objects; any window
    where it has none. What lies outside the sample is grey.

    A small object fills little of an image, and training on crops spends its time where objects are.
    """
    image_hw = np.array(sample.image.shape[:2])
    size = np.array(size_hw)
    low, high = np.minimum(image_hw - size, 0), np.maximum(image_hw - size, 0)
    if len(sample.boxes_xyxy):
        box = sample.boxes_xyxy[rng.integers(len(sample.boxes_xyxy))]
        centre = (box[[1, 0]] + box[[3, 2]]) / 2
        low, high = np.maximum(low, np.ceil(centre) - size), np.minimum(high, np.floor(centre))
    top, left = rng.integers(low.astype(int), high.astype(int) + 1)
    return keep_visible(_warp(sample, np.array([[1.0, 0.0, -left], [0.0, 1.0, -top]]), size_hw), augmentation)


def jitter_hsv(sample: Sample, rng: Generator) -> Sample:
    """The image with hue, saturation and value shifted by up to 5, 30 and 30 (of OpenCV's 180, 256, 256), each with
    probability one half, as in YOLOX."""
    shifts = (rng.uniform(-1, 1, 3) * (5, 30, 30) * rng.integers(0, 2, 3)).astype(np.int64)
    levels = np.arange(256)
    hue = ((levels + shifts[0]) % 180).astype(np.uint8)
    saturation = np.clip(levels + shifts[1], 0, 255).astype(np.uint8)
    value = np.clip(levels + shifts[2], 0, 255).astype(np.uint8)
    hsv = cv2.cvtColor(sample.image, cv2.COLOR_BGR2HSV)
    hsv = cv2.LUT(hsv, np.stack([hue, saturation, value], axis=-1)[None])
    return Sample(_uint8(cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)), sample.boxes_xyxy, sample.labels)


def flip(sample: Sample) -> Sample:
    """The sample mirrored left to right."""
    width = sample.image.shape[1]
    boxes = sample.boxes_xyxy[:, [2, 1, 0, 3]] * (-1, 1, -1, 1) + (width, 0, width, 0)
    return Sample(_uint8(cv2.flip(sample.image, 1)), boxes, sample.labels)


def keep_visible(sample: Sample, augmentation: Augmentation) -> Sample:
    """The sample with its boxes clipped to the image, without those of which too little is left."""
    height, width = sample.image.shape[:2]
    clipped = np.clip(sample.boxes_xyxy, 0, (width, height, width, height))
    sides = clipped[:, 2:] - clipped[:, :2]
    before = np.prod(sample.boxes_xyxy[:, 2:] - sample.boxes_xyxy[:, :2], axis=1)
    keep = (np.prod(sides, axis=1) >= augmentation.min_visible * before) & (sides.min(axis=1) >= augmentation.min_side)
    return Sample(sample.image, clipped[keep], sample.labels[keep])


def _window(size_hw: tuple[int, int], augmentation: Augmentation, rng: Generator) -> NDArray[np.float64]:
    """A (2, 3) matrix that takes a canvas of twice `size_hw` to a random window of `size_hw`."""
    height, width = size_hw
    scale = rng.uniform(*augmentation.mosaic_scale)
    angle = math.radians(rng.uniform(-augmentation.degrees, augmentation.degrees))
    shear_x, shear_y = np.tan(np.radians(rng.uniform(-augmentation.shear, augmentation.shear, 2)))
    rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    linear = scale * rotation @ np.array([[1.0, shear_x], [shear_y, 1.0]])
    # The window measures size / scale: this far its centre may go from the canvas's without leaving the canvas.
    reach = max(1.0 - 0.5 / scale, 0.0) + augmentation.translate
    centre = np.array([width, height]) * (1 + rng.uniform(-1, 1, 2) * reach)
    shift = np.array([width / 2, height / 2]) - linear @ centre
    return np.column_stack([linear, shift])


def _warp(sample: Sample, matrix: NDArray[np.float64], size_hw: tuple[int, int]) -> Sample:
    """The sample under an affine map of pixels; each box becomes the upright box around its four mapped corners."""
    image = cv2.warpAffine(
        sample.image, matrix, (size_hw[1], size_hw[0]), borderValue=(PAD_VALUE, PAD_VALUE, PAD_VALUE)
    )
    corners = sample.boxes_xyxy[:, [0, 1, 2, 3, 0, 3, 2, 1]].reshape(-1, 4, 2)
    mapped = corners @ matrix[:, :2].T + matrix[:, 2]
    return Sample(_uint8(image), np.concatenate([mapped.min(axis=1), mapped.max(axis=1)], axis=1), sample.labels)


def _uint8(image: cv2.typing.MatLike) -> NDArray[np.uint8]:
    """OpenCV's result in the type it has; not a copy."""
    return np.asarray(image, dtype=np.uint8)
