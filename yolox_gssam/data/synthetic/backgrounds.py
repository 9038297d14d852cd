"""Where things fly: sky with clouds or haze at dawn, noon or dusk, over trees, buildings, hills or nothing at all."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from yolox_gssam.data.synthetic.noise import Image, blend, fractal_line, fractal_noise, smooth_step, three_channels

# Times of day, and the colours (BGR) of the sky overhead, half-way down and at the horizon, and of the light.
TIMES: dict[str, tuple[tuple[int, int, int], ...]] = {
    "dawn": ((176, 140, 112), (196, 176, 176), (168, 196, 234), (205, 225, 255)),
    "noon": ((205, 146, 86), (224, 182, 132), (234, 216, 192), (255, 255, 255)),
    "dusk": ((112, 78, 62), (136, 112, 128), (104, 142, 222), (150, 185, 250)),
}
SKIES = ("clear", "clouds", "overcast", "haze")
GROUNDS = ("none", "treeline", "buildings", "hills")
_GROUND_ODDS = (0.4, 0.25, 0.2, 0.15)
_WALLS = np.array(
    [(150, 160, 170), (110, 125, 160), (95, 100, 110), (175, 185, 190), (130, 120, 105), (80, 95, 140)], np.float32
)
_BRIGHTNESS = {"dawn": 0.8, "noon": 1.0, "dusk": 0.55}  # of the ground


@dataclass(frozen=True, eq=False)
class Background:
    """A picture (height, width, 3) float32, BGR in 0..255, and what it shows: keys of TIMES, SKIES and GROUNDS.

    `light` (3,) is the direction to the sun in camera axes: right, down, away.
    """

    image: Image
    time: str
    sky: str
    ground: str
    light: NDArray[np.float64]


def draw_background(rng: Generator, size_hw: tuple[int, int]) -> Background:
    """A random background. Its structures do not grow with the picture: a larger one shows more of the world."""
    time, sky = str(rng.choice(list(TIMES))), str(rng.choice(SKIES))
    ground = str(rng.choice(GROUNDS, p=_GROUND_ODDS))
    height, width = size_hw
    # The row of the horizon: usually low in the picture or below it, sometimes so high that objects fly before trees.
    share = rng.uniform(0.05, 0.45) if rng.random() < 0.25 else rng.uniform(0.55, 0.92)
    horizon = height * (share if ground != "none" else rng.uniform(1.0, 1.6))
    sun_uv = np.array([rng.uniform(-0.3, 1.3) * width, horizon * rng.uniform(-0.3, 0.9)])
    colours = np.array(TIMES[time], np.float32) * rng.uniform(0.88, 1.12) + rng.normal(0, 7, (4, 3)).astype(np.float32)
    image = _sky(rng, size_hw, horizon, colours, sun_uv)
    image = _SKY_PAINTERS[sky](rng, image, horizon, colours)
    if ground != "none":
        tint = (0.5 + colours[3] / 510) * np.float32(_BRIGHTNESS[time] * rng.uniform(0.8, 1.15))
        image = _GROUND_PAINTERS[ground](rng, image, horizon, colours[2], tint)
    if rng.random() < (0.1 if ground == "none" else 0.35):
        image = _wires(rng, image, horizon)
    offset = (sun_uv - [width / 2, height / 2]) / max(size_hw)
    light = np.array([offset[0], min(offset[1], 0) - 0.5, rng.uniform(-0.8, 0.5)])
    return Background(np.clip(image, 0, 255), time, sky, ground, light / np.linalg.norm(light))


def _sky(
    rng: Generator, size_hw: tuple[int, int], horizon: float, colours: Image, sun_uv: NDArray[np.float64]
) -> Image:
    """The gradient from overhead to the horizon, brighter around the sun."""
    height, width = size_hw
    rows = np.clip(np.arange(height) / max(horizon, 1.0), 0, 1) * rng.uniform(0.6, 1.0)
    rows = rows + (1 - rows.max()) * rng.uniform(0, 1)  # a long lens sees only a part of the gradient
    column = np.stack([np.interp(rows, (0, 0.55, 1), colours[:3, channel]) for channel in range(3)], axis=1)
    image = np.repeat(column[:, None].astype(np.float32), width, axis=1)
    v, u = np.mgrid[:height, :width].astype(np.float32)
    distance = np.hypot(u - np.float32(sun_uv[0]), v - np.float32(sun_uv[1])) / max(size_hw)
    glow = np.exp(-distance / np.float32(rng.uniform(0.1, 0.5))) * np.float32(rng.uniform(0.0, 0.75))
    return blend(image, np.broadcast_to(colours[3], image.shape), glow)


def _clear(rng: Generator, image: Image, horizon: float, colours: Image) -> Image:
    """Nothing, or thin streaks of cirrus."""
    if rng.random() < 0.6:
        return image
    size_hw = image.shape[:2]
    streaks = fractal_noise(rng, (size_hw[0], size_hw[1]), (20.0, 180.0), 4)
    return blend(image, _white(image, colours), smooth_step(streaks, 0.3, 2.5) * np.float32(0.4))


def _clouds(rng: Generator, image: Image, horizon: float, colours: Image) -> Image:
    """Cumulus: lit on the side of the light, flatter and smaller towards the horizon."""
    height, width = image.shape[:2]
    cell = rng.uniform(60, 160)
    field = fractal_noise(rng, (height * 3 // 2, width * 3 // 2), (cell * 0.7, cell * 1.3), 6, gain=0.55)
    v, u = np.mgrid[:height, :width].astype(np.float32)
    stretch = 0.6 + 0.8 * np.clip(v / max(horizon, height), 0, 1)
    field = np.asarray(cv2.remap(field, u * stretch, v * stretch, cv2.INTER_LINEAR), dtype=np.float32)
    threshold = rng.uniform(-0.6, 0.9)
    opacity = smooth_step(field, threshold, threshold + rng.uniform(0.4, 1.4)) * np.float32(rng.uniform(0.6, 1.0))
    shift = int(rng.integers(3, 9))
    moved = cv2.copyMakeBorder(field, 0, shift, shift, 0, cv2.BORDER_REPLICATE)[shift:, :width]
    lit = (field - moved) * np.float32(0.5)
    thick = np.maximum(field - threshold - 0.8, 0) * np.float32(0.4)  # the core of a cloud is darker
    relief = np.clip(lit - thick, -1, 1)
    return blend(image, _white(image, colours) + three_channels(relief * np.float32(rng.uniform(14, 34))), opacity)


def _overcast(rng: Generator, image: Image, horizon: float, colours: Image) -> Image:
    """A grey cover with soft folds."""
    size_hw = (image.shape[0], image.shape[1])
    folds = fractal_noise(rng, size_hw, (rng.uniform(30, 90), rng.uniform(90, 260)), 5, gain=0.5)
    grey = image.mean(axis=2, keepdims=True) * np.float32(rng.uniform(0.75, 1.1)) + rng.normal(0, 3, 3).astype(
        np.float32
    )
    return blend(image, grey + three_channels(folds * np.float32(rng.uniform(2, 14))), rng.uniform(0.75, 0.97))


def _haze(rng: Generator, image: Image, horizon: float, colours: Image) -> Image:
    """Air so thick that the sky has nearly one colour, lighter and browner downwards."""
    height = image.shape[0]
    veil = colours[2] * np.float32(0.6) + image.mean(axis=(0, 1)) * np.float32(0.4)
    depth = np.clip(np.arange(height, dtype=np.float32) / max(horizon, 1.0), 0, 1) ** np.float32(rng.uniform(0.5, 2))
    opacity = np.repeat((rng.uniform(0.4, 0.7) + 0.3 * depth)[:, None].astype(np.float32), image.shape[1], axis=1)
    return blend(image, np.broadcast_to(veil, image.shape), opacity)


def _white(image: Image, colours: Image) -> Image:
    """Colour of sunlit cloud: the light's own, a little of the sky's."""
    return colours[3] * np.float32(0.7) + image * np.float32(0.3)


def _treeline(rng: Generator, image: Image, horizon: float, air: Image, tint: Image) -> Image:
    """One to three rows of trees, the far ones paler."""
    layers = int(rng.integers(1, 4))
    leaf = _leaf_colour(rng) * tint
    for layer in range(layers):
        distance = (layers - 1 - layer) / 3
        top = horizon + layer * rng.uniform(10, 40)
        image = _trees(rng, image, top, blend(leaf, air, float(np.float32(0.75 * distance))), 1 - distance)
    return image


def _leaf_colour(rng: Generator) -> Image:
    greens = np.array([(48, 92, 74), (44, 70, 58), (60, 84, 96), (52, 96, 128), (70, 78, 84)], np.float32)
    return np.asarray(greens[rng.integers(len(greens))] * rng.uniform(0.8, 1.3), np.float32)


def _trees(rng: Generator, image: Image, top: float, colour: Image, near: float) -> Image:
    """A row of crowns that begins around row `top`; `near` in [0, 1] sets the size of crowns and leaves."""
    height, width = image.shape[:2]
    crown = rng.uniform(18, 34) * (0.5 + near)
    skyline = top + 0.5 * crown - 0.6 * crown * fractal_line(rng, width, 5 * crown, 4, 0.6)
    for centre in rng.uniform(0, width, int(2 * width / crown)):
        reach, lift = crown * rng.uniform(0.4, 0.9), crown * rng.uniform(0.3, 1.1)
        arch = 1 - ((np.arange(width) - centre) / reach) ** 2
        skyline = np.minimum(skyline, top + 0.5 * crown - lift * np.sqrt(np.clip(arch, 0, 1)))
    leaves = fractal_noise(rng, (height, width), (3 + 4 * near, 3 + 4 * near), 3, 0.7)
    boughs = fractal_noise(rng, (height, width), (crown * 0.5, crown * 0.6), 3, 0.6)
    depth = np.arange(height, dtype=np.float32)[:, None] - skyline.astype(np.float32)
    opacity = smooth_step(depth + (leaves + boughs) * np.float32(1.2 + near), -1.0, 1.2)
    light = 1 + 0.14 * near * leaves + 0.15 * near * boughs + 0.25 * np.exp(-np.clip(depth, 0, None) / (crown * 0.7))
    return blend(image, colour * three_channels(light.astype(np.float32)), opacity)


def _hills(rng: Generator, image: Image, horizon: float, air: Image, tint: Image) -> Image:
    """Two to four ridges, paler with distance, and fields or trees before them."""
    height, width = image.shape[:2]
    ridges = int(rng.integers(2, 5))
    soil = np.array([(70, 110, 100), (72, 112, 132), (60, 90, 78), (80, 120, 150)], np.float32)[rng.integers(4)] * tint
    for ridge in range(ridges):
        distance = (ridges - 1 - ridge) / ridges
        top = horizon + ridge * rng.uniform(8, 35) - 14 * fractal_line(rng, width, rng.uniform(120, 260), 5, 0.45)
        depth = np.arange(height, dtype=np.float32)[:, None] - top.astype(np.float32)
        grain = fractal_noise(rng, (height, width), (4.0, 16.0), 4, 0.75) * np.float32(0.12 * (1.1 - distance))
        colour = blend(soil * rng.uniform(0.85, 1.1), air, float(np.float32(0.85 * distance)))
        image = blend(image, colour * three_channels(1 + grain), smooth_step(depth, -1.0, 1.0))
    if rng.random() < 0.4:
        image = _trees(rng, image, horizon + rng.uniform(50, 90), _leaf_colour(rng) * tint, 0.7)
    return image


def _buildings(rng: Generator, image: Image, horizon: float, air: Image, tint: Image) -> Image:
    """One or two rows of houses and towers with windows, roofs with masts; sometimes trees before them."""
    rows = int(rng.integers(1, 3))
    for row in range(rows):
        distance = 0.45 * (rows - 1 - row)
        left = float(-rng.uniform(0, 40))
        while left < image.shape[1]:
            wide = rng.uniform(24, 90) * (1 - 0.4 * distance)
            top = horizon + row * 30 - rng.exponential(28) + rng.uniform(0, 30)
            _house(rng, image, left, top, wide, air, tint, distance)
            left += wide + (rng.uniform(0, 25) if rng.random() < 0.3 else 0)
    ground = horizon + rows * 30 + rng.uniform(40, 90)
    if rng.random() < 0.5:
        image = _trees(rng, image, ground, _leaf_colour(rng) * tint, 0.6)
    return image


def _house(
    rng: Generator, image: Image, left: float, top: float, wide: float, air: Image, tint: Image, distance: float
) -> None:
    """Draws one building into `image`, from its roof down to the lower edge."""
    walls = np.array(
        [(150, 160, 170), (110, 125, 160), (95, 100, 110), (175, 185, 190), (130, 120, 105), (80, 95, 140)]
    )
    wall = (walls[rng.integers(len(walls))] * rng.uniform(0.7, 1.1) * tint).astype(np.float32)
    wall = blend(wall, air, float(np.float32(0.15 + distance)))
    x1, x2, y = max(round(left), 0), min(round(left + wide), image.shape[1]), round(np.clip(top, 0, image.shape[0]))
    if x1 >= x2 or y >= image.shape[0]:
        return
    face = image[y:, x1:x2]
    shade = np.linspace(rng.uniform(0.9, 1.05), rng.uniform(0.9, 1.05), x2 - x1, dtype=np.float32)[None, :, None]
    face[:] = wall * shade + three_channels(fractal_noise(rng, face.shape[:2], (20.0, 20.0), 3) * np.float32(1.5))
    face[: int(rng.integers(1, 3))] *= np.float32(rng.uniform(0.75, 1.15))
    _windows(rng, face, wall, distance)
    if rng.random() < 0.35 and y > 4:
        mast, tall = int(rng.integers(x1, x2)), int(rng.integers(4, 26))
        image[max(y - tall, 0) : y, mast : mast + int(rng.integers(1, 3))] = wall * np.float32(0.55)


def _windows(rng: Generator, face: Image, wall: Image, distance: float) -> None:
    """Draws a grid of windows into a wall, a few of them lit or reflecting."""
    pitch_v, pitch_u = int(rng.integers(6, 13)), int(rng.integers(5, 13))
    high = int(rng.integers(2, max(pitch_v - 2, 3)))
    wide = face.shape[1] if rng.random() < 0.2 else int(rng.integers(2, max(pitch_u - 1, 3)))
    strength = np.float32((1 - distance) * rng.uniform(0.25, 0.55))
    for v in range(5, face.shape[0] - high, pitch_v):
        for u in range(3, face.shape[1] - 3, pitch_u):
            factor = np.float32(1.35) if rng.random() < 0.12 else 1 - strength * np.float32(rng.uniform(0.6, 1.0))
            face[v : v + high, u : min(u + wide, face.shape[1] - 2)] = wall * factor


def _wires(rng: Generator, image: Image, horizon: float) -> Image:
    """Power lines that sag between poles."""
    height, width = image.shape[:2]
    mask = np.zeros((height, width), np.uint8)
    span, first = rng.uniform(150, 420), rng.uniform(0, 1)
    level, slope = rng.uniform(0.15, 0.9) * min(horizon, height), rng.uniform(-0.2, 0.2)
    u = np.linspace(-10, width + 10, 80)
    droop = rng.uniform(5, 30) * (1 - (((u / span - first) % 1.0) * 2 - 1) ** 2)
    for wire in range(int(rng.integers(1, 5))):
        v = level + wire * rng.uniform(5, 14) + slope * u + droop
        cv2.polylines(mask, [np.round(np.stack([u, v], axis=1) * 16).astype(np.int32)], False, 190, 1, cv2.LINE_AA, 4)
    if rng.random() < 0.7:
        thick = int(rng.integers(2, 5))
        for foot in np.arange(first * span, width, span):
            top = int(level + slope * foot)
            cv2.rectangle(mask, (int(foot) - thick // 2, top - 6), (int(foot) + thick // 2, height), 235, -1)
            cv2.rectangle(mask, (int(foot) - 9, top), (int(foot) + 9, top + 1), 235, -1)
    colour = np.full(3, rng.uniform(25, 90), np.float32)
    return blend(image, np.broadcast_to(colour, image.shape), mask.astype(np.float32) / np.float32(255))


_SKY_PAINTERS = {"clear": _clear, "clouds": _clouds, "overcast": _overcast, "haze": _haze}
_GROUND_PAINTERS = {"treeline": _treeline, "buildings": _buildings, "hills": _hills}
