"""A flying object as a camera sees it: small, in some colour and light, blurred by its motion and the lens."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from yolox_gssam.data.synthetic.noise import Image
from yolox_gssam.data.synthetic.objects import BUILDERS, sample_rotation
from yolox_gssam.data.synthetic.solids import Floats, Paint, Solid, View, draw_solids, outline_bounds

MIN_SIDE, MAX_SIDE = 6, 40
"""Pixels of the longer side of a box."""
VISIBLE = 0.2
"""What covers less of a pixel than this, relative to the object's densest pixel, is not seen: the box ends there."""

_CANVAS = 300  # pixels to draw on, before the picture is shrunk to its size
_LUMA = np.array([0.114, 0.587, 0.299])  # of BGR, ITU-R BT.601
_PAINTS = np.array([(20, 20, 130), (10, 70, 140), (10, 110, 130), (130, 50, 10), (100, 80, 20), (30, 80, 30)], float)


@dataclass(frozen=True, eq=False)
class Surroundings:
    """The background around a place: mean `colour` (3,) BGR, and `texture`, the deviation of its grey levels."""

    colour: Floats
    texture: float

    @classmethod
    def of(cls, image: Image, centre_uv: tuple[float, float], side: float) -> "Surroundings":
        """Those of a square of `side` pixels, cut at the edges of the image."""
        u, v, half = int(centre_uv[0]), int(centre_uv[1]), int(side / 2) + 1
        patch = image[max(v - half, 0) : v + half + 1, max(u - half, 0) : u + half + 1].reshape(-1, 3)
        return cls(patch.mean(axis=0, dtype=np.float64), float((patch @ _LUMA).std()))


@dataclass(frozen=True, eq=False)
class Shot:
    """How a model is caught: pose, size of the longer side and position in pixels, colours, and blur in pixels.

    `streak` (2,) is the way moved during the exposure, u and v; `lens` the deviation of the lens' blur.
    """

    rotation: Floats
    side: float
    centre_uv: tuple[float, float]
    paint: Paint
    streak: tuple[float, float]
    lens: float


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


def draw_sprite(solids: list[Solid], shot: Shot) -> Sprite:
    """Draws a model much larger than it is seen, blurs it and averages it down to its pixels."""
    bounds = outline_bounds(solids, shot.rotation)
    middle, longest = (bounds[:2] + bounds[2:]) / 2, float((bounds[2:] - bounds[:2]).max())
    margin = 2 + int(np.ceil(np.hypot(*shot.streak) / 2 + 3 * shot.lens))
    pixels = int(np.ceil(shot.side)) + 2 * margin
    zoom = int(np.clip(_CANVAS // pixels, 4, 16))
    corner = np.floor(np.array(shot.centre_uv) - pixels / 2).astype(int)
    scale = shot.side / longest
    origin = (np.array(shot.centre_uv) - corner - middle * scale) * zoom - 0.5  # OpenCV's pixel centres are whole
    view = View(shot.rotation, scale * zoom, (float(origin[0]), float(origin[1])))
    drawn = draw_solids(solids, view, shot.paint, pixels * zoom)
    drawn = _streak(drawn, shot.streak, zoom)
    layer = cv2.resize(drawn, (pixels, pixels), interpolation=cv2.INTER_AREA).astype(np.float32)
    layer = np.asarray(cv2.GaussianBlur(layer, (0, 0), shot.lens), dtype=np.float32)
    layer[..., 3] /= 255
    return Sprite(layer, (int(corner[0]), int(corner[1])), _visible_box(layer[..., 3]) + np.tile(corner, 2))


def lay_over(image: Image, sprite: Sprite) -> None:
    """Lays a sprite over `image` (height, width, 3), in place; what lies outside is cut off."""
    (left, top), side = sprite.corner_uv, len(sprite.layer)
    u1, v1 = max(left, 0), max(top, 0)
    u2, v2 = min(left + side, image.shape[1]), min(top + side, image.shape[0])
    if u1 >= u2 or v1 >= v2:
        return
    layer = sprite.layer[v1 - top : v2 - top, u1 - left : u2 - left]
    image[v1:v2, u1:u2] = image[v1:v2, u1:u2] * (1 - layer[..., 3:]) + layer[..., :3]


def sample_sprite(
    rng: Generator, name: str, side: float, centre_uv: tuple[float, float], behind: Surroundings, light: Floats
) -> Sprite:
    """An object of class `name` with a longer side of about `side` pixels, within MIN_SIDE to MAX_SIDE.

    `behind` is what the object has to stand out from.
    """
    solids = BUILDERS[name](rng, rng.random())
    rotation = sample_rotation(rng, name)
    paint = sample_paint(rng, behind, light)
    way = min(rng.exponential(0.03), 0.15) * side if rng.random() < 0.5 else 0.0
    angle = rng.uniform(0, 2 * np.pi)
    streak = (float(way * np.cos(angle)), float(way * np.sin(angle)))
    lens = float(rng.uniform(0.35, 0.5 + 0.012 * side))
    while True:  # blur widens the picture, faint ends narrow it: a few rounds bring it to size
        sprite = draw_sprite(solids, Shot(rotation, side, centre_uv, paint, streak, lens))
        if sprite.longer_side > MAX_SIDE:
            side *= min(MAX_SIDE / sprite.longer_side, 0.97)
        elif sprite.longer_side < MIN_SIDE:
            side *= max(MIN_SIDE / sprite.longer_side, 1.03)
        else:
            return sprite


def sample_paint(rng: Generator, behind: Surroundings, light: Floats) -> Paint:
    """Colours that have nothing to do with the class: dark before bright sky or bright before dark trees, mostly.

    The contrast in levels of grey goes from hard to see to strong. Things of low contrast are far away in the haze,
    so their hue goes towards the background's.
    """
    level = float(behind.colour @ _LUMA)
    contrast = 24 + 110 * rng.beta(1.4, 2.0) + 1.2 * behind.texture
    darker = rng.random() < np.clip((level - 45) / 130, 0.05, 0.85)
    if level - contrast < 6:
        darker = False
    elif level + contrast > 248:
        darker = True
    sign = -1.0 if darker else 1.0
    clarity = np.clip(contrast / 90, 0.2, 1.0)
    haze = (behind.colour - level) * (1 - 0.6 * clarity)
    shares = (1.0, rng.uniform(0.6, 1.3), 1.25 if darker else rng.choice([-0.7, 0.5]))  # of BASE, ACCENT, DETAIL
    hues = (_sample_hue(rng), _sample_hue(rng), np.zeros(3))
    tones = [level + sign * share * contrast + haze + hue * clarity for share, hue in zip(shares, hues, strict=True)]
    return Paint(np.clip(tones, 4, 252), relief=0.4 * contrast, light=light)


def _sample_hue(rng: Generator) -> Floats:
    """A BGR offset (3,) without brightness: mostly none to speak of, else the hue of a paint."""
    if rng.random() < 0.65:
        return rng.normal(0, 5, 3)
    paint = _PAINTS[rng.integers(len(_PAINTS))] * rng.uniform(0.3, 0.8)
    return np.asarray(paint - paint @ _LUMA, dtype=np.float64)


def _streak(drawn: NDArray[np.uint8], streak: tuple[float, float], zoom: int) -> NDArray[np.uint8]:
    """Motion blur along `streak`, in pixels of the final picture."""
    reach = int(np.ceil(np.hypot(*streak) * zoom / 2))
    if reach < 2:
        return drawn
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.uint8)
    half = np.array(streak) * zoom / 2
    start, end = np.round(reach - half).astype(int).tolist(), np.round(reach + half).astype(int).tolist()
    cv2.line(kernel, start, end, 1)
    return np.asarray(cv2.filter2D(drawn, -1, kernel.astype(np.float32) / kernel.sum()), dtype=np.uint8)


def _visible_box(opacity: Image) -> Floats:
    """Bounds of the pixels that show something of the object."""
    seen = opacity >= VISIBLE * opacity.max()
    columns, rows = np.flatnonzero(seen.any(axis=0)), np.flatnonzero(seen.any(axis=1))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float64)
