"""Objects of a bank pasted into training images, blended so that neither seam, blur nor noise gives them away.

What is pasted is not always an object to find: birds, kites, balloons and plain patches of other skies are pasted in
the same way, so that having been pasted means nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from yolox_gssam.common.errors import UserError
from yolox_gssam.data.cutouts.bank import CutoutBank
from yolox_gssam.data.cutouts.extract import scaled

PATCH = "patch"
"""The kind of a plain piece of the image itself, from another place."""
TRIES = 8
"""Places that are tried for an object that must not touch another."""
BOX_ALPHA = 0.25
"""Pixels from this opacity on are in the box."""
MOST_BLUR = 1.2
"""Standard deviation of the widest blur, in pixels: films of other people are compressed more than one's own."""
CLEAR_OF_CLUTTER = 2.0
"""Least difference of an object from its background, over the mean difference within the background."""


@dataclass(frozen=True)
class PasteRule:
    """What is pasted, how often, how large.

    Attributes:
        prob: share of images that get something pasted, 0 to 1.
        most: objects per such image, 1 to this many.
        sides: range of the longer side in pixels of the training image, drawn log-uniform.
        target_share: share of pasted objects that are of the class to be learnt.
        target: that class.
        patch_share: share of pasted objects that are patches without an object.
        padding: pixels that the labels leave on each side of an object.
    """

    prob: float = 0.5
    most: int = 3
    sides: tuple[float, float] = (6.0, 45.0)
    target_share: float = 0.4
    target: str = "drone"
    patch_share: float = 0.2
    padding: float = 1.0


class Paster:
    """Pastes objects of a bank into training images.

    Kinds of the bank that are classes of the data set get a box; all others are background.

    Args:
        bank: what is pasted.
        classes: of the data set.
        rule: how.

    Raises:
        UserError: the bank has no objects of the class to be learnt, or none of any other kind.
    """

    def __init__(self, bank: CutoutBank, classes: Sequence[str], rule: PasteRule) -> None:
        self.bank, self.rule = bank, rule
        self.labels = {name: index for index, name in enumerate(classes)}
        self.others = [kind for kind in bank.kinds if kind != rule.target]
        if rule.target not in bank.kinds or rule.target not in self.labels or not self.others:
            raise UserError(
                f"pasting needs cut-outs of {rule.target!r}, a class of the data set, and of other things; the bank "
                f"has {', '.join(bank.kinds)}"
            )

    def paste(
        self, image: NDArray[np.uint8], boxes_xyxy: NDArray[np.float64], labels: NDArray[np.int64], rng: Generator
    ) -> tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.int64]]:
        """The image (H, W, 3) uint8 BGR with what chance brings, its boxes (n, 4) in pixels and their class indices."""
        if rng.random() >= self.rule.prob:
            return image, boxes_xyxy, labels
        image = image.copy()
        is_grey = bool((image[::7, ::7, :1] == image[::7, ::7, 1:]).all())
        taken = boxes_xyxy
        for _ in range(rng.integers(1, self.rule.most + 1)):
            kind = self._kind(rng)
            bgra = self._object(image, kind, is_grey, rng)
            place = _free_place(image.shape, bgra.shape, taken, rng)
            if place is None:
                continue
            box = _blend(image, bgra, place, is_grey, rng)
            if box is None:
                continue
            taken = np.vstack([taken, box])
            if kind in self.labels:
                padded = box + self.rule.padding * np.array([-1, -1, 1, 1])
                padded = np.clip(padded, 0, [image.shape[1], image.shape[0]] * 2)
                boxes_xyxy = np.vstack([boxes_xyxy, padded])
                labels = np.append(labels, self.labels[kind])
        return image, boxes_xyxy, labels

    def _kind(self, rng: Generator) -> str:
        """What is pasted next: the target, a patch, or any other kind of the bank."""
        chance = rng.random()
        if chance < self.rule.target_share:
            return self.rule.target
        if chance < self.rule.target_share + self.rule.patch_share:
            return PATCH
        return self.others[rng.integers(len(self.others))]

    def _object(self, image: NDArray[np.uint8], kind: str, is_grey: bool, rng: Generator) -> NDArray[np.uint8]:
        """BGRA of an object at its size, mirrored and turned a little by chance."""
        side = math.exp(rng.uniform(*np.log(self.rule.sides)))
        if kind == PATCH:
            return _patch(image, side, rng)
        bgra = self.bank.draw(kind, rng).pixels
        if rng.random() < 0.5:
            bgra = bgra[:, ::-1]
        bgra = _turned(bgra, rng.uniform(-15, 15))
        # At its final size before it is blended: then pixels are averaged as a camera does.
        bgra = scaled(bgra, side / max(bgra.shape[:2]))
        return _moved(bgra, rng.uniform(0, 1, 2))


def _patch(image: NDArray[np.uint8], side: float, rng: Generator) -> NDArray[np.uint8]:
    """A soft-edged ellipse of the image itself, from anywhere: a seam and nothing in it."""
    height, width = (max(4, round(side * factor)) for factor in rng.uniform(0.5, 1.0, 2))
    top = rng.integers(max(1, image.shape[0] - height))
    left = rng.integers(max(1, image.shape[1] - width))
    colours = image[top : top + height, left : left + width]
    mask = np.zeros((height, width), np.uint8)
    cv2.ellipse(
        mask,
        (width // 2, height // 2),
        (width // 2 - 1, height // 2 - 1),
        0,
        0,
        360,
        255,
        -1,
    )
    mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.5, 1.5)), np.uint8)
    return np.dstack([colours, mask])


def _turned(bgra: NDArray[np.uint8], degrees: float) -> NDArray[np.uint8]:
    """The cut-out turned about its middle, on as large a canvas as that takes."""
    height, width = bgra.shape[:2]
    matrix = np.asarray(cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0), np.float64)
    cos, sin = abs(matrix[0, 0]), abs(matrix[0, 1])
    size = (math.ceil(height * sin + width * cos), math.ceil(height * cos + width * sin))
    matrix[:, 2] += (np.array(size) - (width, height)) / 2
    alpha = bgra[..., 3:].astype(np.float32) / 255
    turned = cv2.warpAffine(np.dstack([bgra[..., :3] * alpha, alpha]), matrix, size, flags=cv2.INTER_LINEAR)
    turned = np.asarray(turned, np.float32)
    colours = turned[..., :3] / np.maximum(turned[..., 3:], 1e-3)
    return np.dstack([np.clip(colours, 0, 255), 255 * turned[..., 3:]]).round().astype(np.uint8)


def _moved(bgra: NDArray[np.uint8], shift_xy: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The cut-out moved right and down by parts of a pixel, on a canvas one pixel larger."""
    padded = cv2.copyMakeBorder(bgra, 1, 2, 1, 2, cv2.BORDER_REPLICATE)
    padded[[0, -2, -1], :, 3] = 0
    padded[:, [0, -2, -1], 3] = 0
    matrix = np.array([[1, 0, shift_xy[0]], [0, 1, shift_xy[1]]])
    return np.asarray(cv2.warpAffine(padded, matrix, padded.shape[1::-1], flags=cv2.INTER_LINEAR), np.uint8)


def _free_place(
    image_shape: tuple[int, ...], shape: tuple[int, ...], taken_xyxy: NDArray[np.float64], rng: Generator
) -> tuple[int, int] | None:
    """Top and left of a place in the image that touches no other object; None where chance found none."""
    height, width = shape[:2]
    if height > image_shape[0] or width > image_shape[1]:
        return None
    for _ in range(TRIES):
        top = int(rng.integers(image_shape[0] - height + 1))
        left = int(rng.integers(image_shape[1] - width + 1))
        apart = (
            (taken_xyxy[:, 0] > left + width + 2)
            | (taken_xyxy[:, 2] < left - 2)
            | (taken_xyxy[:, 1] > top + height + 2)
            | (taken_xyxy[:, 3] < top - 2)
        )
        if apart.all():
            return top, left
    return None


def _blend(
    image: NDArray[np.uint8], bgra: NDArray[np.uint8], place: tuple[int, int], is_grey: bool, rng: Generator
) -> NDArray[np.float64] | None:
    """Blends a cut-out into the image, in place; its box. None, and an unchanged image, where it could not be seen."""
    (top, left), (height, width) = place, bgra.shape[:2]
    area = image[top : top + height, left : left + width]
    behind = area.astype(np.float32)
    noise = _noise(area)
    colours = _lit(bgra[..., :3].astype(np.float32), behind, is_grey, rng)
    alpha = np.asarray(bgra[..., 3] / np.float32(255), np.float32)
    alpha, colours = _blurred(alpha, colours, rng.uniform(0.3, MOST_BLUR), rng)
    seen = alpha >= BOX_ALPHA
    if seen.sum() < 4 or not _stands_out(colours[seen], behind, noise):
        return None
    grain = rng.normal(0, noise, (height, width, 1)) * alpha[..., None]
    blended = behind + alpha[..., None] * (colours - behind) + grain
    area[:] = np.clip(blended, 0, 255).round().astype(np.uint8)
    _compress(image, (top, left, height, width), rng)
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float64)
    return box + np.array([left, top, left, top])


def _stands_out(colours: NDArray[np.float32], behind: NDArray[np.float32], noise: float) -> bool:
    """Whether an object's colours (n, 3) differ from those behind it (h, w, 3) by more than these among themselves.

    Before branches an object whose colours are among theirs cannot be found by anyone.
    """
    mean = behind.mean(axis=(0, 1))
    clutter = float(np.abs(behind - mean).mean())
    return float(np.abs(colours - mean).mean()) >= max(4.0, 1.5 * noise, CLEAR_OF_CLUTTER * clutter)


def _lit(
    colours: NDArray[np.float32], behind: NDArray[np.float32], is_grey: bool, rng: Generator
) -> NDArray[np.float32]:
    """The object's colours under this image's light: another exposure, and haze of the background's colour before it.

    In infrared an object is warmer than what is behind it, and its own colours mean little.
    """
    mean = behind.mean(axis=(0, 1))
    if is_grey:
        texture = colours.mean(axis=2, keepdims=True)
        texture = 0.3 * (texture - texture.mean())
        return np.repeat(mean.mean() + np.float32(rng.uniform(15, 110)) + texture, 3, axis=2)
    lit = colours * np.float32(rng.uniform(0.6, 1.3)) + np.float32(rng.uniform(-10, 10))
    haze = np.float32(rng.uniform(0, 0.6))
    return np.asarray((1 - haze) * lit + haze * mean, np.float32)


def _blurred(
    alpha: NDArray[np.float32], colours: NDArray[np.float32], sigma: float, rng: Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Alpha and colours out of focus and, by chance, in motion."""
    both = np.dstack([colours * alpha[..., None], alpha])
    both = np.asarray(cv2.GaussianBlur(both, (0, 0), sigma), np.float32)
    if rng.random() < 0.2:
        length = int(rng.integers(2, max(3, min(alpha.shape) // 3 + 1)))
        kernel = np.zeros((length, length), np.float32)
        kernel[length // 2] = 1 / length
        turn = cv2.getRotationMatrix2D(((length - 1) / 2, (length - 1) / 2), rng.uniform(0, 180), 1.0)
        kernel = np.asarray(cv2.warpAffine(kernel, turn, (length, length)), np.float32)
        both = np.asarray(cv2.filter2D(both, -1, kernel / max(float(kernel.sum()), 1e-3)), np.float32)
    return both[..., 3], both[..., :3] / np.maximum(both[..., 3:], 1e-3)


def _noise(area: NDArray[np.uint8]) -> float:
    """Robust standard deviation of the noise, in grey values, from neighbouring pixels' differences."""
    grey = area.astype(np.float32).mean(axis=2)
    differences = np.abs(np.diff(grey, axis=1))
    return float(np.median(differences)) * 1.4826 / math.sqrt(2) if differences.size else 0.0


def _compress(image: NDArray[np.uint8], place: tuple[int, int, int, int], rng: Generator) -> None:
    """Gives the place and its surroundings the grain of JPEG, in place, in two of three cases."""
    quality = int(rng.integers(55, 96))
    if rng.random() > 2 / 3:
        return
    top, left, height, width = place
    rows = slice(max(0, top - 8) // 8 * 8, top + height + 8)
    columns = slice(max(0, left - 8) // 8 * 8, left + width + 8)
    done, data = cv2.imencode(".jpg", np.ascontiguousarray(image[rows, columns]), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if done:
        image[rows, columns] = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
