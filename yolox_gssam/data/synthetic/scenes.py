"""Synthetic pictures of small flying objects, each a pure function of seed, index and size."""

import multiprocessing
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.images import encode_jpeg
from yolox_gssam.data.builder import EncodedImage
from yolox_gssam.data.labelled import LabelledImage
from yolox_gssam.data.synthetic.backgrounds import Background, Image, draw_background
from yolox_gssam.data.synthetic.camera import photograph
from yolox_gssam.data.synthetic.silhouettes import BUILDERS
from yolox_gssam.data.synthetic.sprites import MAX_SIDE, MIN_SIDE, Floats, Sprite, lay_over, sample_sprite

SYNTHETIC_CLASSES: tuple[str, ...] = tuple(BUILDERS)
SMALLEST_PICTURE = 64
"""Pixels of a side: in less, an object of 40 pixels finds no place."""

_COUNT_ODDS = (0.07, 0.2, 0.27, 0.26, 0.2)  # of 0 to 4 objects
_GAP = 4.0  # pixels between two boxes at least
_TRIES = 30  # places to try for an object before it is left out
_QUALITY = 95  # of the JPEG files: the picture has been through the camera's own compression already
_CHUNK = 8  # pictures that a process draws before it reports back
_AHEAD = 4  # chunks a process that may wait to be written, so that a slow disk does not fill the memory


@dataclass(frozen=True, eq=False)
class Scene:
    """A scene before the camera: `image` (height, width, 3) float32 is `background.image` with the objects."""

    background: Background
    image: Image
    boxes_xyxy: Floats
    labels: NDArray[np.int64]


def render_scene(
    seed: int, index: int, size_hw: tuple[int, int]
) -> tuple[NDArray[np.uint8], Floats, NDArray[np.int64]]:
    """Picture number `index` of the data set of `seed`.

    Returns:
        image: (height, width, 3) uint8, BGR.
        boxes_xyxy: (n, 4), n from 0 to 4, whole pixels, inside the image; the longer side is 6 to 40 pixels.
        labels: (n,) index into SYNTHETIC_CLASSES.

    Raises:
        UserError: `seed` is negative, or `size_hw` has a side below SMALLEST_PICTURE.
    """
    check_request(seed, size_hw)
    rng = np.random.default_rng((seed, index))
    scene = compose_scene(rng, size_hw)
    return photograph(rng, scene.image), scene.boxes_xyxy, scene.labels


def synthetic_records(count: int, seed: int, size_hw: tuple[int, int], workers: int) -> Iterator[EncodedImage]:
    """Images 0 to `count` - 1 of the data set of `seed`, in this order; each image is a group of its own.

    The same bytes come out whatever the number of `workers`; another processor, OpenCV or NumPy may round a pixel
    otherwise. With 1 everything happens in this process; with more, processes are started anew (not forked), so a
    script that calls this needs its `if __name__ == "__main__"`.

    Raises:
        UserError: `count` or `workers` is below 1, or see `render_scene`.
    """
    if count < 1 or workers < 1:
        raise UserError(f"images and workers must be 1 or more, not {count} and {workers}")
    check_request(seed, size_hw)
    draw = partial(_draw, seed, size_hw)
    if workers == 1:
        yield from map(draw, range(count))
        return
    batch = workers * _CHUNK * _AHEAD
    with multiprocessing.get_context("spawn").Pool(workers, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        for start in range(0, count, batch):
            yield from pool.imap(draw, range(start, min(start + batch, count)), chunksize=_CHUNK)


def _draw(seed: int, size_hw: tuple[int, int], index: int) -> EncodedImage:
    image, boxes_xyxy, labels = render_scene(seed, index, size_hw)
    name = f"synthetic_{index:06d}"
    labelled = LabelledImage(f"{name}.jpg", size_hw[1], size_hw[0], boxes_xyxy, labels, group=name)
    return labelled, encode_jpeg(image, _QUALITY)


def check_request(seed: int, size_hw: tuple[int, int]) -> None:
    """Raises a UserError unless a picture of this seed and size can be drawn."""
    if seed < 0:
        raise UserError(f"the seed must be 0 or more, not {seed}")
    if min(size_hw) < SMALLEST_PICTURE:
        size = f"{size_hw[1]} x {size_hw[0]}"
        raise UserError(f"pictures must be at least {SMALLEST_PICTURE} pixels wide and high, not {size}")


def compose_scene(rng: Generator, size_hw: tuple[int, int]) -> Scene:
    """A random background with 0 to 4 objects of random classes that do not touch one another."""
    background = draw_background(rng, size_hw)
    image = background.image.copy()
    boxes: list[Floats] = []
    labels: list[int] = []
    for _ in range(rng.choice(len(_COUNT_ODDS), p=_COUNT_ODDS)):
        label = int(rng.integers(len(SYNTHETIC_CLASSES)))
        sprite = _place(rng, background, SYNTHETIC_CLASSES[label], boxes)
        if sprite is not None:
            lay_over(image, sprite)
            boxes.append(sprite.box_xyxy)
            labels.append(label)
    return Scene(background, image, np.array(boxes, np.float64).reshape(-1, 4), np.array(labels, np.int64))


def _place(rng: Generator, background: Background, name: str, taken: list[Floats]) -> Sprite | None:
    """An object at a free place; None where none was found."""
    height, width = background.image.shape[:2]
    # Few of the smallest, whose shape nobody can tell: a tenth below 11 pixels, the median at 23.
    side = MIN_SIDE * (MAX_SIDE / MIN_SIDE) ** np.sqrt(rng.random())
    for _ in range(_TRIES):
        reach = side / 2 + 2
        centre = (float(rng.uniform(reach, width - reach)), float(rng.uniform(reach, height - reach)))
        square = np.array([centre[0] - reach, centre[1] - reach, centre[0] + reach, centre[1] + reach])
        if not any(_touch(square, box) for box in taken):
            break
    else:
        return None
    sprite = sample_sprite(rng, name, float(side), centre, background.image)
    inside = (sprite.box_xyxy >= 0).all() and (sprite.box_xyxy[2:] <= (width, height)).all()
    return sprite if inside else None


def _touch(first: Floats, second: Floats) -> bool:
    return bool(((first[:2] < second[2:] + _GAP) & (second[:2] < first[2:] + _GAP)).all())
