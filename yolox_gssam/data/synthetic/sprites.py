"""A flying object as a camera sees it: small, in some colour, blurred by the lens."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from yolox_gssam.data.synthetic.backgrounds import Image
from yolox_gssam.data.synthetic.silhouettes import BUILDERS, Part, in_pose, sample_pose

MIN_SIDE, MAX_SIDE = 6, 40
"""Pixels of the longer side of a box."""
VISIBLE = 0.2
"""What covers less of a pixel than this, relative to the object's densest pixel, is not seen: the box ends there."""

Floats = NDArray[np.float64]

_ZOOM = 8  # pixels drawn for a pixel of the picture
_FRACTION_BITS = 4  # of OpenCV's fixed-point coordinates
_LUMA = np.array([0.114, 0.587, 0.299])  # of BGR, ITU-R BT.601
_PAINTS = np.array([(20, 20, 130), (10, 70, 140), (10, 110, 130), (130, 50, 10), (100, 80, 20), (30, 80, 30)], float)


@dataclass(frozen=True, eq=False)
class Sprite:
    """A small picture to be laid over another: `layer` (n, n, 4) float32, BGR multiplied by opacity, and opacity in
    0..1; `corner_uv` is where its upper left pixel goes; `box_xyxy` (4,) the visible part, pixels of the large picture.
    """

    layer: Image
    corner_uv: tuple[int, int]
    box_xyxy: Floats

    @property
    def longer_side(self) -> float:
        """Pixels."""
        return float((self.box_xyxy[2:] - self.box_xyxy[:2]).max())


def draw_sprite(
    parts: list[Part], side: float, centre_uv: tuple[float, float], tones_bgr: Floats, lens: float = 0.5
) -> Sprite:
    """Draws a silhouette much larger than it is seen, averages it down to its pixels and blurs it.

    Args:
        side: the longer one, in pixels.
        tones_bgr: (3, 3) in 0..255.
        lens: deviation of the lens' blur in pixels.
    """
    outline = np.concatenate([part.points_uv for part in parts])
    low, high = outline.min(axis=0), outline.max(axis=0)
    pixels = int(np.ceil(side + 6 * lens)) + 4
    corner = np.floor(np.array(centre_uv) - pixels / 2).astype(int)
    scale = side / float((high - low).max())
    origin = np.array(centre_uv) - corner - (low + high) / 2 * scale
    drawn = np.zeros((pixels * _ZOOM, pixels * _ZOOM, 4), np.float32)
    for part in parts:
        # OpenCV's pixel centres are whole numbers.
        points = np.round(((part.points_uv * scale + origin) * _ZOOM - 0.5) * 2**_FRACTION_BITS).astype(np.int32)
        colour = np.array([*tones_bgr[part.tone], 1.0])
        if part.opacity < 1:  # a turning rotor, through which the rest is seen
            mask = cv2.fillPoly(np.zeros(drawn.shape[:2], np.float32), [points], part.opacity, shift=_FRACTION_BITS)
            drawn += mask[..., None] * (colour.astype(np.float32) - drawn)
        else:
            cv2.fillPoly(drawn, [points], colour.tolist(), shift=_FRACTION_BITS)
    layer = cv2.resize(drawn, (pixels, pixels), interpolation=cv2.INTER_AREA)
    blurred: Image = np.asarray(cv2.GaussianBlur(layer, (0, 0), lens), dtype=np.float32)
    return Sprite(blurred, (int(corner[0]), int(corner[1])), _visible_box(blurred[..., 3]) + np.tile(corner, 2))


def lay_over(image: Image, sprite: Sprite) -> None:
    """Lays a sprite over `image` (height, width, 3), in place; what lies outside is cut off."""
    (left, top), side = sprite.corner_uv, len(sprite.layer)
    u1, v1 = max(left, 0), max(top, 0)
    u2, v2 = min(left + side, image.shape[1]), min(top + side, image.shape[0])
    if u1 < u2 and v1 < v2:
        layer = sprite.layer[v1 - top : v2 - top, u1 - left : u2 - left]
        image[v1:v2, u1:u2] = image[v1:v2, u1:u2] * (1 - layer[..., 3:]) + layer[..., :3]


def sample_sprite(rng: Generator, name: str, side: float, centre_uv: tuple[float, float], background: Image) -> Sprite:
    """An object of class `name` with a longer side of about `side` pixels, within MIN_SIDE to MAX_SIDE, in colours that
    stand out from the `background`."""
    angle, aspect_uv = sample_pose(rng, name)
    parts = in_pose(BUILDERS[name](rng, rng.random()), angle, aspect_uv)
    tones = sample_tones(rng, background, centre_uv, side)
    lens = float(rng.uniform(0.35, 0.5 + 0.012 * side))
    while True:  # blur widens the picture, faint ends narrow it: a few rounds bring it to size
        sprite = draw_sprite(parts, side, centre_uv, tones, lens)
        if sprite.longer_side > MAX_SIDE:
            side *= min(MAX_SIDE / sprite.longer_side, 0.97)
        elif sprite.longer_side < MIN_SIDE:
            side *= max(MIN_SIDE / sprite.longer_side, 1.03)
        else:
            return sprite


def sample_tones(rng: Generator, background: Image, centre_uv: tuple[float, float], side: float) -> Floats:
    """Colours (3, 3), BGR, that have nothing to do with the class: dark before bright sky or bright before dark trees,
    mostly, at a contrast from hard to see to strong. Things of low contrast are far away in the haze, so their hue goes
    towards that of the background around the place.
    """
    u, v, half = int(centre_uv[0]), int(centre_uv[1]), int(side / 2) + 1
    patch = background[max(v - half, 0) : v + half + 1, max(u - half, 0) : u + half + 1].reshape(-1, 3)
    behind = patch.mean(axis=0, dtype=np.float64)
    level = float(behind @ _LUMA)
    contrast = 24 + 110 * rng.beta(1.4, 2.0) + 1.2 * float((patch @ _LUMA).std())
    darker = rng.random() < np.clip((level - 45) / 130, 0.05, 0.85)
    darker = level - contrast >= 6 and (bool(darker) or level + contrast > 248)
    clarity = np.clip(contrast / 90, 0.2, 1.0)
    haze = (behind - level) * (1 - 0.6 * clarity)
    shares = np.array([1.0, rng.uniform(0.6, 1.3), 1.25 if darker else rng.choice([-0.7, 0.5])])  # BASE, ACCENT, DETAIL
    hues = np.array([_sample_hue(rng), _sample_hue(rng), np.zeros(3)])
    levels = level + (-1.0 if darker else 1.0) * shares[:, None] * contrast
    return np.clip(levels + haze + hues * clarity, 4, 252)


def _sample_hue(rng: Generator) -> Floats:
    """A BGR offset (3,) without brightness: mostly none to speak of, else the hue of a paint."""
    if rng.random() < 0.65:
        return rng.normal(0, 5, 3)
    paint = _PAINTS[rng.integers(len(_PAINTS))] * rng.uniform(0.3, 0.8)
    return np.asarray(paint - paint @ _LUMA, dtype=np.float64)


def _visible_box(opacity: Image) -> Floats:
    """Bounds of the pixels that show something of the object."""
    left, top, width, height = cv2.boundingRect((opacity >= VISIBLE * opacity.max()).astype(np.uint8))
    return np.array([left, top, left + width, top + height], np.float64)
