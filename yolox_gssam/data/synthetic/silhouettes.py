"""The things that fly, as silhouettes: polygons of each class in a random pose, which is a turn, a scale and an aspect.

What all classes share (colour, size, blur) is drawn elsewhere, so only the shape tells them apart.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

BASE, ACCENT, DETAIL = 0, 1, 2
"""Tones of a silhouette's parts."""
_ROUND = np.stack([np.cos(np.linspace(0, 2 * np.pi, 24, False)), np.sin(np.linspace(0, 2 * np.pi, 24, False))], axis=1)


@dataclass(frozen=True, eq=False)
class Part:
    """A filled polygon `points_uv` (n, 2), u to the right and v down, of one tone; `opacity` in [0, 1]."""

    points_uv: NDArray[np.float64]
    tone: int = BASE
    opacity: float = 1.0


def in_pose(parts: list[Part], angle: float, aspect_uv: tuple[float, float]) -> list[Part]:
    """The parts scaled by `aspect_uv`, then turned clockwise by `angle`, radians."""
    cosine, sine = np.cos(angle), np.sin(angle)
    matrix = np.array([[cosine, -sine], [sine, cosine]]) * aspect_uv
    return [Part(part.points_uv @ matrix.T, part.tone, part.opacity) for part in parts]


Builder = Callable[[Generator, float], list[Part]]
"""Takes an object's proportions from the generator and its moment (wing beat, turn of the rotor) from a phase in
[0, 1): the same state of the generator with another phase is the same object a moment later."""


def drone(rng: Generator, phase: float) -> list[Part]:
    """A multirotor seen from the side or from above: a body, four to eight arms with rotors, and legs."""
    arms, tilt = int(rng.choice([4, 6, 8], p=[0.75, 0.15, 0.1])), rng.uniform(0.15, 0.95)
    angles = 2 * np.pi * (np.arange(arms) + 0.5) / arms + rng.uniform(-0.3, 0.3)
    radius, opacity = rng.uniform(0.7, 0.95) * min(np.sin(np.pi / arms), 0.6), rng.uniform(0.35, 0.7)
    lift, body = np.array([0, 0.2 * (1 - tilt)]), rng.uniform(0.2, 0.3)
    parts = [_ellipse((0, 0), (body * 1.2, body * (0.6 + 0.4 * tilt)))]
    for angle in angles:
        tip = np.array([np.cos(angle), np.sin(angle) * tilt])
        parts += [_bar((0, 0), tip, rng.uniform(0.07, 0.1)), _bar(tip, tip - lift, 0.1, DETAIL)]
        parts += [_ellipse(tip - lift, (radius, radius * max(tilt, 0.12)), BASE, opacity)]
    drop = rng.uniform(0.3, 0.5) * (1 - 0.6 * tilt)
    for side in (-1, 1):
        parts += [_bar((side * 0.15, 0), (side * 0.35, drop + 0.1), 0.05, DETAIL)]
    return [*parts, _ellipse((0, body * 0.8), (0.12, 0.12), DETAIL)]


def airplane(rng: Generator, phase: float) -> list[Part]:
    """An airliner, a light aircraft or a glider, seen from below or from the side."""
    span, chord, sweep = _choose(rng, ((1.0, 0.4, 0.5), (1.0, 0.3, 0.04), (1.5, 0.2, 0.02)), (0.5, 0.35, 0.15))
    radius = rng.uniform(0.08, 0.13)
    fuselage = Part(np.array([(1, 0), (0.85, -radius), (-0.4, -radius), (-1, -0.03), (-1, 0.03), (0.85, radius)]))
    fin = [(-0.65, 0), (-0.95, 0), (-1.1, -rng.uniform(0.35, 0.5)), (-0.9, -0.4)]
    if rng.random() < 0.3:  # from the side
        wing = [(0.25, 0.05), (0.25 - chord, 0.05), (-sweep, 0.05 + rng.uniform(-0.3, 0.3))]
        return [fuselage, Part(np.array(fin), ACCENT), Part(np.array(wing), DETAIL)]
    parts = [fuselage]
    for side in (-1, 1):
        parts += [_wing(0.25, side * span, chord, 0.35 * chord, sweep), _wing(-0.72, side * 0.4, 0.25, 0.13, sweep / 3)]
        if sweep > 0.3:
            parts += [_bar((0.2 - 0.3 * sweep, side * 0.35), (-0.3 * sweep, side * 0.35), 0.11, DETAIL)]
    return parts


def helicopter(rng: Generator, phase: float) -> list[Part]:
    """A cabin, a tail boom with fin and tail rotor, a main rotor, and skids."""
    fat, tail, rotor = rng.uniform(0.2, 0.27), -rng.uniform(1.15, 1.4), rng.uniform(0.95, 1.2)
    parts = [
        _ellipse((0.05, 0), (0.5, fat)),
        Part(np.array([(-0.3, -0.12), (-0.3, 0.1), (tail, -0.08), (tail, -0.16)])),
        Part(np.array([(tail + 0.16, -0.1), (tail - 0.06, -0.1), (tail - 0.2, -0.46), (tail, -0.46)]), ACCENT),
        _ellipse((0.35, -0.03), (0.2, fat * 0.7), DETAIL),
        _bar((0, 0), (0, -fat - 0.15), 0.1, DETAIL),
        _ellipse((0, -fat - 0.15), (rotor, rng.uniform(0.04, 0.25)), BASE, rng.uniform(0.3, 0.5)),
        _ellipse((tail - 0.1, -0.3), (0.2, 0.2), BASE, 0.4),
        _bar((-0.4, fat + 0.16), (0.45, fat + 0.16), 0.05, DETAIL),
    ]
    turn = np.cos(2 * np.pi * (phase + rng.random())) * rotor
    parts += [_bar((-turn, -fat - 0.15), (turn, -fat - 0.15), 0.06)]
    return [*parts, *(_bar((x, 0.5 * fat), (x, fat + 0.16), 0.04, DETAIL) for x in (-0.2, 0.25))]


def bird(rng: Generator, phase: float) -> list[Part]:
    """A gull, a raptor or a pigeon: body, tail and two wings bent by the wing beat, from the front or from below."""
    span, chord, tip = _choose(rng, ((1.1, 0.25, 0.05), (1.0, 0.38, 0.25), (0.8, 0.3, 0.06)), (1 / 3,) * 3)
    beat, amplitude = 2 * np.pi * (phase + rng.random()), rng.uniform(0.1, 0.9)
    inner, outer = 0.15 + amplitude * np.sin(beat), -0.25 + amplitude * np.sin(beat - 1.2)
    sweep, seen = rng.uniform(0.1, 0.5), rng.uniform(0.35, 1.0)  # how much of the wings' depth is seen
    parts = [_ellipse((0, 0), (0.1, 0.15 + 0.3 * seen)), _ellipse((0, -0.2 - 0.3 * seen), (0.07, 0.09))]
    parts += [
        Part(np.array([(-0.05, 0.2), (0.05, 0.2), (0.16, 0.3 + 0.35 * seen), (-0.16, 0.3 + 0.35 * seen)]), DETAIL)
    ]
    wrist = np.array([np.cos(inner), -np.sin(inner)]) * span * 0.45
    end = wrist + np.array([np.cos(outer), -np.sin(outer)]) * span * 0.55 + np.array([0, sweep * seen])
    depth = np.array([0, chord * seen + 0.04])
    for side in (-1, 1):
        mirror = np.array([side, 1])
        arm = np.array([-depth / 2, wrist - 0.7 * depth, wrist + 0.4 * depth, depth / 2])
        hand = np.array([wrist - 0.7 * depth, end, end + np.array([0, tip * seen + 0.03]), wrist + 0.4 * depth])
        parts += [Part(arm * mirror), Part(hand * mirror, ACCENT)]
    return parts


def balloon(rng: Generator, phase: float) -> list[Part]:
    """A hot-air balloon with gores and its basket, or a gas balloon on a string."""
    stretch = rng.uniform(1.0, 1.2)
    envelope = Part(np.array([*_ROUND[12:] * (1, stretch), (0.97, 0.2), (0.3, 1.1), (-0.3, 1.1), (-0.97, 0.2)]))
    if rng.random() < 0.35:
        return [_ellipse((0, 0), (0.95, stretch)), _bar((0, 1), (rng.uniform(-0.3, 0.3), 2.2), 0.08, DETAIL)]
    gores = [
        _ellipse((0, -0.05), (share, 0.9), ACCENT if i % 2 else BASE) for i, share in enumerate((0.75, 0.5, 0.25), 1)
    ]
    basket = rng.uniform(1.4, 1.6)
    ropes = [_bar((side * 0.25, 1.1), (side * 0.13, basket), 0.04, DETAIL) for side in (-1, 1)]
    return [envelope, *gores, *ropes, _bar((0, basket), (0, basket + 0.22), 0.3, DETAIL)]


# In the order of the names, as YOLO sets have it. Four are those of the Svanström clips, so that a model trained on one
# set can be tested on the other; the balloon is the slow round thing that a drone detector meets on top of those.
BUILDERS: dict[str, Builder] = {
    "airplane": airplane,
    "balloon": balloon,
    "bird": bird,
    "drone": drone,
    "helicopter": helicopter,
}
_POSES = {"airplane": (180, 0.4), "balloon": (8, 0.85), "bird": (35, 0.6), "drone": (18, 0.75), "helicopter": (14, 0.6)}
"""Largest turn in degrees either way, and smallest aspect of width or height, as seen in flight."""


def sample_pose(rng: Generator, name: str) -> tuple[float, tuple[float, float]]:
    """Angle and aspect, see `in_pose`, of a class in flight, mirrored by chance."""
    turn, least = _POSES[name]
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    across = rng.uniform(least, 1.0)
    aspect = (mirror, across) if name == "airplane" else (mirror * across, 1.0)
    return float(np.radians(rng.uniform(-turn, turn))), aspect


def _choose(rng: Generator, kinds: tuple[tuple[float, ...], ...], odds: tuple[float, ...]) -> NDArray[np.float64]:
    """The proportions of one of several kinds, each up to a tenth larger or smaller."""
    return np.array(kinds[rng.choice(len(kinds), p=odds)]) * rng.uniform(0.9, 1.1, len(kinds[0]))


def _ellipse(centre_uv: ArrayLike, radii_uv: ArrayLike, tone: int = BASE, opacity: float = 1.0) -> Part:
    return Part(np.asarray(centre_uv, float) + _ROUND * np.asarray(radii_uv, float), tone, opacity)


def _bar(start_uv: ArrayLike, end_uv: ArrayLike, width: float, tone: int = BASE) -> Part:
    """A straight bar."""
    start, end = np.asarray(start_uv, float), np.asarray(end_uv, float)
    way = end - start
    across = np.array([-way[1], way[0]]) * width / 2 / max(float(np.hypot(*way)), 1e-9)
    return Part(np.array([start - across, start + across, end + across, end - across]), tone)


def _wing(root: float, tip: float, root_chord: float, tip_chord: float, sweep: float) -> Part:
    """A wing from the body at v = 0 to v = `tip`; `root` is its leading edge there."""
    return Part(
        np.array([(root, 0), (root - root_chord, 0), (root - sweep - tip_chord, tip), (root - sweep, tip)]), BASE
    )
