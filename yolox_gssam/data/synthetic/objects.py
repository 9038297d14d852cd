"""The things that fly: each class as a model of tubes, plates and discs, with the variety of the real ones.

Every builder takes its proportions from `rng` and its moment (wing beat, angle of the rotor blades) from `phase` in
[0, 1), so that the same `rng` state with another phase is the same object a moment later. What all classes share
(colour, light, size, blur) is drawn elsewhere, so only the shape tells them apart.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.random import Generator

from yolox_gssam.data.synthetic.solids import ACCENT, BASE, DETAIL, Disc, Floats, Plate, Solid, Tube, view_rotation

Builder: TypeAlias = Callable[[Generator, float], list[Solid]]


def drone(rng: Generator, phase: float) -> list[Solid]:
    """A multirotor: four to eight arms in X or + order, rotors, a body, and skids or legs, with or without a camera."""
    arms = int(rng.choice([4, 6, 8], p=[0.75, 0.15, 0.1]))
    start = np.pi / arms if rng.random() < 0.75 else 0.0
    squeeze = rng.uniform(0.75, 1.0)  # some frames are longer than wide
    arm_radius = rng.uniform(0.055, 0.09)
    rotor_radius = rng.uniform(0.75, 0.98) * min(np.sin(np.pi / arms) * squeeze, 0.6)
    opacity = rng.uniform(0.3, 0.6)
    blades_seen = rng.random() < 0.5
    body_length, body_radius = rng.uniform(0.18, 0.4), rng.uniform(0.18, 0.28)
    front, rear = rng.choice([BASE, ACCENT, DETAIL], size=2)  # pilots colour the front arms to know where it heads
    solids: list[Solid] = [Tube([[-body_length, 0, 0], [body_length, 0, 0]], [body_radius, body_radius * 0.85])]
    for arm in range(arms):
        angle = start + 2 * np.pi * arm / arms
        tip = np.array([np.cos(angle), np.sin(angle) * squeeze, 0.06])
        hub = tip + np.array([0, 0, 0.14])
        solids += [Tube([[0, 0, 0], tip], [arm_radius * 1.2, arm_radius], int(front if tip[0] > 0 else rear))]
        solids += [Tube([tip - np.array([0, 0, 0.06]), hub], [0.1, 0.08], DETAIL)]
        solids += [Disc(hub, (0, 0, 1), rotor_radius, opacity)]
        if blades_seen:
            solids += _blades(hub, rotor_radius, 2, phase + rng.random())
    return solids + _landing_gear(rng, body_length, body_radius)


def _landing_gear(rng: Generator, length: float, radius: float) -> list[Solid]:
    solids: list[Solid] = []
    kind, drop = rng.integers(3), rng.uniform(0.28, 0.5)
    for side in (-1, 1):
        feet = [[x, side * rng.uniform(0.3, 0.34), -drop] for x in (-0.32, 0.32)]
        roots = [[x, side * radius * 0.6, -0.05] for x in (-0.6 * length, 0.6 * length)]
        if kind < 2:
            solids += [Tube([root, foot], [0.04, 0.035], DETAIL) for root, foot in zip(roots, feet, strict=True)]
        if kind == 0:
            solids += [Tube([np.add(feet[0], [-0.1, 0, 0]), np.add(feet[1], [0.1, 0, 0])], [0.045, 0.045], DETAIL)]
    if rng.random() < 0.6:
        solids += [Tube([[length * 0.5, 0, -radius - 0.1]], [rng.uniform(0.1, 0.14)], DETAIL)]
    return solids


def _blades(hub: Floats, radius: float, count: int, turn: float, width: float = 0.07) -> list[Solid]:
    """Rotor blades stopped by a short exposure."""
    solids: list[Solid] = []
    for blade in range(count):
        angle = 2 * np.pi * (turn + blade / count)
        along = np.array([np.cos(angle), np.sin(angle), 0])
        across = np.array([-np.sin(angle), np.cos(angle), 0]) * width * max(radius, 0.5)
        solids += [Plate([hub - across / 2, hub + across / 2, hub + along * radius + across / 2, hub + along * radius])]
    return solids


def airplane(rng: Generator, phase: float) -> list[Solid]:
    """An airliner, a light aircraft or a glider."""
    kind = str(rng.choice(["airliner", "light", "glider"], p=[0.5, 0.35, 0.15]))
    radius = {"airliner": rng.uniform(0.1, 0.13), "light": rng.uniform(0.11, 0.15), "glider": 0.075}[kind]
    span = {"airliner": rng.uniform(0.85, 1.05), "light": rng.uniform(0.9, 1.1), "glider": rng.uniform(1.4, 1.7)}[kind]
    sweep = rng.uniform(0.35, 0.6) if kind == "airliner" else rng.uniform(-0.02, 0.08)
    chord = {"airliner": 0.42, "light": 0.32, "glider": 0.2}[kind] * rng.uniform(0.9, 1.1)
    taper = {"airliner": 0.3, "light": rng.uniform(0.6, 1.0), "glider": 0.5}[kind]
    height = radius * (0.8 if kind == "light" and rng.random() < 0.5 else -0.4)
    dihedral = rng.uniform(0.03, 0.1)
    fuselage = [[-1, 0, radius * 0.5], [-0.5, 0, 0], [0.65, 0, 0], [0.92, 0, -radius * 0.2]]
    solids: list[Solid] = [Tube(fuselage, [radius * 0.25, radius * 0.85, radius, radius * 0.45])]
    for side in (-1.0, 1.0):
        wing = (0.25, side * span, height, height + dihedral * span, chord, taper * chord, sweep)
        solids += [_fin(*wing)]
        tail_span = rng.uniform(0.34, 0.42)
        solids += [_fin(-0.75, side * tail_span, radius * 0.4, radius * 0.4, 0.24, 0.13, 0.12 + sweep / 4)]
        if kind == "airliner":
            engine = np.array([0.16 - sweep * 0.3, side * span * 0.34, height - 0.09])
            solids += [Tube([engine, engine + np.array([0.24, 0, 0])], [0.05, 0.065], DETAIL)]
    fin_top = rng.uniform(0.36, 0.5)
    fin = [[-0.68, 0, radius * 0.5], [-0.98, 0, radius * 0.5], [-1.08, 0, fin_top], [-0.9, 0, fin_top]]
    solids += [Plate(fin, ACCENT)]
    if kind == "light":
        solids += [Disc([0.98, 0, 0], (1, 0, 0), 0.22, rng.uniform(0.25, 0.45))]
        solids += [Tube([[0.35, 0, radius * 0.6], [0.05, 0, radius * 0.6]], [radius * 0.6, radius * 0.6], DETAIL)]
    return solids


def _fin(
    x: float, tip_y: float, root_z: float, tip_z: float, root_chord: float, tip_chord: float, sweep: float
) -> Plate:
    """A wing from the body at y = 0 to `tip_y`; `x` is the leading edge at the root."""
    root = [[x, 0, root_z], [x - root_chord, 0, root_z]]
    tip = [[x - sweep - tip_chord, tip_y, tip_z], [x - sweep, tip_y, tip_z]]
    return Plate(root + tip)


def helicopter(rng: Generator, phase: float) -> list[Solid]:
    """A cabin, a tail boom with fin and tail rotor, a main rotor, and skids or wheels."""
    fat, tail = rng.uniform(0.2, 0.27), -rng.uniform(1.15, 1.4)
    mast = np.array([0.0, 0.0, fat + rng.uniform(0.1, 0.18)])
    rotor_radius = rng.uniform(0.95, 1.2)
    cabin = [[0.5, 0, -0.06], [0.3, 0, -0.02], [-0.15, 0, 0], [-0.4, 0, 0.06]]
    boom = [[-0.35, 0, 0.08], [tail, 0, 0.14]]
    solids: list[Solid] = [
        Tube(cabin, [fat * 0.6, fat, fat, fat * 0.6]),
        Tube(boom, [0.1, 0.05]),
        Tube([[0.53, 0, 0.02], [0.36, 0, 0.08]], [fat * 0.45, fat * 0.6], DETAIL),
        Tube([[-0.1, 0, fat * 0.8], mast], [0.09, 0.05], DETAIL),
        Plate([[tail + 0.16, 0, 0.1], [tail - 0.06, 0, 0.1], [tail - 0.2, 0, 0.46], [tail, 0, 0.46]], ACCENT),
        Plate([[tail + x, y, 0.12] for x, y in ((0.3, -0.2), (0.3, 0.2), (0.16, 0.2), (0.16, -0.2))]),
        Disc(mast, (0, 0, 1), rotor_radius, rng.uniform(0.22, 0.45)),
        Disc([tail - 0.1, 0.06, 0.3], (0, 1, 0), 0.2, 0.4),
    ]
    if rng.random() < 0.7:
        solids += _blades(mast, rotor_radius, int(rng.integers(2, 6)), phase + rng.random(), width=0.08)
    skids = rng.random() < 0.7
    for side in (-1, 1):
        foot = [[x, side * 0.24, -fat - 0.16] for x in (-0.25, 0.3)]
        solids += [
            Tube([[x, side * 0.1, -fat * 0.7], end], [0.03, 0.03], DETAIL)
            for x, end in zip((-0.2, 0.2), foot, strict=True)
        ]
        if skids:
            solids += [Tube([np.add(foot[0], [-0.1, 0, 0]), np.add(foot[1], [0.15, 0, 0])], [0.035, 0.035], DETAIL)]
    return solids


def bird(rng: Generator, phase: float) -> list[Solid]:
    """A gull, a raptor or a pigeon: body, head, tail and two wings bent by the wing beat (or held still, gliding)."""
    kind = str(rng.choice(["gull", "raptor", "pigeon"]))
    span = {"gull": rng.uniform(1.0, 1.2), "raptor": rng.uniform(0.95, 1.1), "pigeon": rng.uniform(0.7, 0.85)}[kind]
    chord = {"gull": 0.24, "raptor": rng.uniform(0.36, 0.44), "pigeon": 0.3}[kind]
    tip_share = {"gull": 0.2, "raptor": 0.75, "pigeon": 0.2}[kind]
    fat, offset = rng.uniform(0.1, 0.14), rng.random()
    beat = 2 * np.pi * (phase + offset)
    amplitude = rng.uniform(0.0, 0.2) if rng.random() < 0.25 else rng.uniform(0.5, 1.0)
    inner, outer = 0.15 + amplitude * np.sin(beat), -0.25 + amplitude * np.sin(beat - 1.2)
    sweep = rng.uniform(0.15, 0.55)
    body = [[0.5, 0, 0.03], [0.36, 0, 0.02], [0.1, 0, 0], [-0.32, 0, 0]]
    tail = rng.uniform(0.1, 0.24)
    solids: list[Solid] = [
        Tube(body, [0.035, 0.085, fat, 0.05]),
        Plate([[-0.25, 0.05, 0], [-0.25, -0.05, 0], [-0.62, -tail, 0], [-0.66, 0, 0], [-0.62, tail, 0]], DETAIL),
    ]
    for side in (-1.0, 1.0):
        solids += _bird_wing(side, span, chord, tip_share, sweep, inner, outer)
    return solids


def _bird_wing(
    side: float, span: float, chord: float, tip_share: float, sweep: float, inner: float, outer: float
) -> list[Solid]:
    """A wing as six strips whose slope goes from the `inner` to the `outer` angle; swept back beyond the wrist."""
    stations = np.linspace(0, 1, 7)
    slope = inner + (outer - inner) * np.clip(stations * 1.6 - 0.4, 0, 1)
    step = span / 6
    y = side * np.concatenate([[0], np.cumsum(step * np.cos(slope[1:]))])
    z = 0.03 + np.concatenate([[0], np.cumsum(step * np.sin(slope[1:]))])
    lead = 0.22 + 0.12 * np.sin(np.pi * np.clip(stations * 1.2, 0, 1)) - sweep * np.clip(stations - 0.45, 0, 1)
    depth = chord * (1 - (1 - tip_share) * stations**1.5)
    front = np.stack([lead, y, z], axis=1)
    back = np.stack([lead - depth, y, z], axis=1)
    return [
        Plate([front[i], back[i], back[i + 1], front[i + 1]], ACCENT if i >= 4 else BASE)
        for i in range(len(stations) - 1)
    ]


def balloon(rng: Generator, phase: float) -> list[Solid]:
    """A hot-air balloon with its basket, or a gas balloon on a string, with or without a payload."""
    return _hot_air_balloon(rng) if rng.random() < 0.65 else _gas_balloon(rng)


def _hot_air_balloon(rng: Generator) -> list[Solid]:
    angles = np.linspace(0, np.pi * 0.86, 9)
    stretch = rng.uniform(1.0, 1.25)
    heights = np.cos(angles) * np.where(angles > np.pi / 2, stretch, 1.0)
    radii = np.sin(angles) * np.where(angles > np.pi / 2, 0.35 + 0.65 * np.sin(angles), 1.0)
    gores = int(rng.integers(8, 15))
    edges = 2 * np.pi * (np.arange(gores + 1) / gores + rng.random())
    pattern = rng.integers(1, 4)
    solids: list[Solid] = []
    for gore in range(gores):
        for i in range(len(angles) - 1):
            ring = [(radii[i], heights[i], edges[gore]), (radii[i], heights[i], edges[gore + 1])]
            ring += [(radii[i + 1], heights[i + 1], edges[gore + 1]), (radii[i + 1], heights[i + 1], edges[gore])]
            corners = [[r * np.cos(a), r * np.sin(a), z] for r, z, a in ring]
            solids += [Plate(corners, ACCENT if (gore // pattern) % 2 else BASE)]
    bottom, drop, half = heights[-1], rng.uniform(0.35, 0.5), rng.uniform(0.11, 0.15)
    basket = bottom - drop
    for x, y in ((half, half), (half, -half), (-half, half), (-half, -half)):
        solids += [Tube([[x * 1.8, y * 1.8, bottom], [x, y, basket]], [0.02, 0.02], DETAIL)]
    return [*solids, Tube([[0, 0, basket], [0, 0, basket - half]], [half * 1.2, half * 1.2], DETAIL)]


def _gas_balloon(rng: Generator) -> list[Solid]:
    long = rng.uniform(0.15, 0.5)
    solids: list[Solid] = [Tube([[0, 0, long], [0, 0, 0], [0, 0, -0.75]], [0.92, 1.0, 0.2])]
    solids += [Tube([[0, 0, -0.95], [0, 0, -1.08]], [0.08, 0.14], ACCENT)]
    length, bend = rng.uniform(0.6, 1.4), rng.uniform(-0.3, 0.3)
    string = [[bend * t * t, 0, -1.0 - length * t] for t in (0.0, 0.33, 0.67, 1.0)]
    solids += [Tube(string, [0.05] * 4, DETAIL)]
    if rng.random() < 0.5:
        solids += [Tube([string[-1], np.subtract(string[-1], [0, 0, 0.15])], [0.2, 0.2], DETAIL)]
    return solids


@dataclass(frozen=True)
class Attitude:
    """How a class is seen: the largest pitch and roll, and the range of the camera's elevation, in degrees."""

    pitch: float
    roll: float
    elevation: tuple[float, float]


# In the order of the names, as YOLO sets have it. Four are those of the Svanström clips, so that a model trained on one
# set can be tested on the other; the balloon is the slow round thing that a drone detector meets on top of those.
BUILDERS: dict[str, Builder] = {
    "airplane": airplane,
    "balloon": balloon,
    "bird": bird,
    "drone": drone,
    "helicopter": helicopter,
}
ATTITUDES: dict[str, Attitude] = {
    "airplane": Attitude(pitch=15, roll=30, elevation=(5, 75)),
    "balloon": Attitude(pitch=6, roll=6, elevation=(-5, 35)),
    "bird": Attitude(pitch=15, roll=30, elevation=(-10, 70)),
    "drone": Attitude(pitch=18, roll=18, elevation=(-25, 70)),
    "helicopter": Attitude(pitch=10, roll=12, elevation=(-10, 35)),
}


def sample_rotation(rng: Generator, name: str) -> Floats:
    """A pose of a class that occurs in flight: the (3, 3) matrix from model to camera axes."""
    attitude = ATTITUDES[name]
    yaw = rng.uniform(0, 2 * np.pi)
    pitch = rng.uniform(-attitude.pitch, attitude.pitch)
    roll = rng.uniform(-attitude.roll, attitude.roll)
    return view_rotation(yaw, *np.radians([pitch, roll, rng.uniform(*attitude.elevation)]))
