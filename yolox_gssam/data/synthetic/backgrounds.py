"""Where things fly: sky with clouds or haze at dawn, noon or dusk, over trees, buildings, hills or nothing at all."""

from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Image: TypeAlias = NDArray[np.float32]

# Times of day, and the colours (BGR) of the sky overhead, half-way down and at the horizon, and of the light.
TIMES: dict[str, tuple[tuple[int, int, int], ...]] = {
    "dawn": ((176, 140, 112), (196, 176, 176), (168, 196, 234), (205, 225, 255)),
    "noon": ((205, 146, 86), (224, 182, 132), (234, 216, 192), (255, 255, 255)),
    "dusk": ((112, 78, 62), (136, 112, 128), (104, 142, 222), (150, 185, 250)),
}
SKIES = ("clear", "clouds", "overcast", "haze")
GROUNDS = ("none", "treeline", "buildings", "hills")
_GROUND_ODDS = (0.4, 0.25, 0.2, 0.15)
_BRIGHTNESS = {"dawn": 0.8, "noon": 1.0, "dusk": 0.55}  # of the ground
_LEAVES = np.array([(48, 92, 74), (44, 70, 58), (60, 84, 96), (52, 96, 128), (70, 78, 84)], np.float32)
_WALLS = np.array([(150, 160, 170), (110, 125, 160), (95, 100, 110), (175, 185, 190), (80, 95, 140)], np.float32)


@dataclass(frozen=True, eq=False)
class Background:
    """A picture (height, width, 3) float32, BGR in 0..255, and what it shows: keys of TIMES, SKIES and GROUNDS."""

    image: Image
    time: str
    sky: str
    ground: str


def draw_background(rng: Generator, size_hw: tuple[int, int]) -> Background:
    """A random background. Its structures do not grow with the picture: a larger one shows more of the world."""
    time, sky = str(rng.choice(list(TIMES))), str(rng.choice(SKIES))
    ground = str(rng.choice(GROUNDS, p=_GROUND_ODDS))
    # The row of the horizon: usually low in the picture or below it, sometimes so high that objects fly before trees.
    share = rng.uniform(0.05, 0.45) if rng.random() < 0.25 else rng.uniform(0.55, 0.92)
    horizon = size_hw[0] * (share if ground != "none" else rng.uniform(1.0, 1.6))
    colours = np.array(TIMES[time], np.float32) * rng.uniform(0.88, 1.12) + rng.normal(0, 7, (4, 3)).astype(np.float32)
    image = _cover(rng, _sky(rng, size_hw, horizon, colours), sky, colours)
    if ground != "none":
        tint = (0.5 + colours[3] / 510) * np.float32(_BRIGHTNESS[time] * rng.uniform(0.8, 1.15))
        image = _ground(rng, image, ground, horizon, colours[2], tint)
    return Background(np.clip(image, 0, 255), time, sky, ground)


def fractal_noise(
    rng: Generator, size_hw: tuple[int, int], cell_hw: tuple[float, float], octaves: int, gain: float = 0.5
) -> Image:
    """Smooth random values, (height, width) float32 with mean 0 and deviation 1.

    Args:
        cell_hw: size of the coarsest structures in pixels; each further octave has half the size of the one before.
        gain: strength of an octave relative to the one before.
    """
    height, width = size_hw
    total = np.zeros(size_hw, np.float32)
    for octave in range(octaves):
        rows = min(int(height / cell_hw[0] * 2**octave) + 3, height + 3)
        columns = min(int(width / cell_hw[1] * 2**octave) + 3, width + 3)
        grid = rng.standard_normal((rows, columns), dtype=np.float32)
        total += gain**octave * cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
    return (total - total.mean()) / max(float(total.std()), 1e-6)


def _sky(rng: Generator, size_hw: tuple[int, int], horizon: float, colours: Image) -> Image:
    """The gradient from overhead to the horizon, brighter around the sun."""
    height, width = size_hw
    rows = np.clip(np.arange(height) / max(horizon, 1.0), 0, 1) * rng.uniform(0.6, 1.0)
    rows = rows + (1 - rows.max()) * rng.uniform(0, 1)  # a long lens sees only a part of the gradient
    column = np.stack([np.interp(rows, (0, 0.55, 1), colours[:3, channel]) for channel in range(3)], axis=1)
    image = np.repeat(column[:, None].astype(np.float32), width, axis=1)
    sun_u, sun_v = rng.uniform(-0.3, 1.3) * width, horizon * rng.uniform(-0.3, 0.9)
    v, u = np.mgrid[:height, :width].astype(np.float32)
    distance = np.hypot(u - np.float32(sun_u), v - np.float32(sun_v)) / max(size_hw)
    glow = np.exp(-distance / np.float32(rng.uniform(0.1, 0.5))) * np.float32(rng.uniform(0.0, 0.75))
    return _blend(image, colours[3], glow)


def _cover(rng: Generator, image: Image, sky: str, colours: Image) -> Image:
    """The sky with its clouds, a grey cover, or haze that is thicker downwards; nothing where it is clear."""
    height, width = image.shape[:2]
    if sky == "haze":
        depth = np.linspace(0, 1, height, dtype=np.float32)[:, None] ** np.float32(rng.uniform(0.5, 2))
        veil = colours[2] * np.float32(0.6) + image.mean(axis=(0, 1)) * np.float32(0.4)
        return _blend(image, veil, np.broadcast_to(rng.uniform(0.4, 0.7) + 0.3 * depth, (height, width)))
    cell = rng.uniform(60, 160)
    if sky == "overcast":
        folds = fractal_noise(rng, (height, width), (cell * 0.5, cell), 5)[..., None] * np.float32(rng.uniform(2, 14))
        grey = image.mean(axis=2, keepdims=True) * np.float32(rng.uniform(0.75, 1.1))
        return _blend(image, np.repeat(grey + folds, 3, axis=2), np.full((height, width), rng.uniform(0.75, 0.97)))
    if sky == "clouds":
        field = fractal_noise(rng, (height, width), (cell * 0.7, cell * 1.3), 6, gain=0.55)
        threshold = rng.uniform(-0.6, 0.9)
        opacity = _smooth_step(field, threshold, threshold + rng.uniform(0.4, 1.4)) * np.float32(rng.uniform(0.6, 1.0))
        relief = np.clip(cv2.Sobel(field, cv2.CV_32F, 0, 1), -1, 1) * np.float32(rng.uniform(14, 34))  # lit from above
        return _blend(image, colours[3] * np.float32(0.7) + image * np.float32(0.3) + relief[..., None], opacity)
    return image


def _ground(rng: Generator, image: Image, ground: str, horizon: float, air: Image, tint: Image) -> Image:
    """One to three rows of trees, houses or ridges, the far ones paler: coloured as the `air` at the horizon."""
    rows = int(rng.integers(1, 4))
    for row in range(rows):
        top, far = horizon + row * rng.uniform(10, 35), 0.6 * (rows - 1 - row) / rows
        if ground == "buildings":
            image = _houses(rng, image, top, air, tint, far)
            continue
        colour = _LEAVES[rng.integers(len(_LEAVES))] * tint * np.float32(rng.uniform(0.8, 1.3))
        image = _ridge(rng, image, top, colour * (1 - far) + air * far, ground == "treeline")
    return image


def _ridge(rng: Generator, image: Image, top: float, colour: Image, is_rough: bool) -> Image:
    """A skyline around row `top` and what is below it: a smooth hill, or crowns of trees with leaves."""
    height, width = image.shape[:2]
    cell, rise = (rng.uniform(20, 60), 8.0) if is_rough else (rng.uniform(120, 260), 14.0)
    skyline = top - rise * fractal_noise(rng, (4, width), (1e6, cell), 5, 0.6 if is_rough else 0.45)[0]
    leaves = fractal_noise(rng, (height, width), (4.0, 4.0) if is_rough else (4.0, 16.0), 4, 0.7)
    depth = np.arange(height, dtype=np.float32)[:, None] - skyline
    light = 1 + np.float32(0.2 if is_rough else 0.1) * leaves + 0.25 * np.exp(-np.clip(depth, 0, None) / 15)
    rim = depth + leaves * np.float32(1.5) * is_rough
    return _blend(image, colour * light[..., None].astype(np.float32), _smooth_step(rim, -1.0, 1.2))


def _houses(rng: Generator, image: Image, horizon: float, air: Image, tint: Image, far: float) -> Image:
    """A row of houses and towers with windows, down to the lower edge."""
    image, left = image.copy(), float(-rng.uniform(0, 40))
    while left < image.shape[1]:
        wide, top = rng.uniform(24, 90), horizon - rng.exponential(28) + rng.uniform(0, 30)
        face = image[max(round(top), 0) :, max(round(left), 0) : max(round(left + wide), 0)]
        wall = _WALLS[rng.integers(len(_WALLS))] * tint * np.float32(rng.uniform(0.7, 1.1))
        face[:] = wall * np.float32(1 - far) + air * np.float32(far)
        pitch_v, pitch_u = rng.integers(6, 13, 2)
        strength = np.float32((1 - far) * rng.uniform(0.25, 0.55))
        for v in range(5, face.shape[0] - 4, int(pitch_v)):
            for u in range(3, face.shape[1] - 4, int(pitch_u)):
                face[v : v + 3, u : u + 3] *= np.float32(1.35) if rng.random() < 0.12 else 1 - strength
        left += wide + (rng.uniform(0, 25) if rng.random() < 0.3 else 0)
    return image


def _smooth_step(values: Image, low: float, high: float) -> Image:
    """0 below `low`, 1 above `high`, smooth between."""
    share = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(share * share * (3 - 2 * share), dtype=np.float32)


def _blend(below: Image, above: Image, opacity: NDArray[np.floating]) -> Image:
    """A colour or picture `above` laid over `below` (height, width, 3) with `opacity` (height, width) in [0, 1]."""
    return below + (above - below) * opacity[..., None].astype(np.float32)
