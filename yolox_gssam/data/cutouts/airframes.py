"""Airframes of simple solids, each with other proportions: multirotors, fixed wings, VTOLs, and what is no drone.

Lengths are in metres, x ahead, y left, z up. Needs MuJoCo's model specification, which the caller passes in.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator

Point = Sequence[float]

PAINTS = (
    (0.92, 0.92, 0.92),
    (0.55, 0.56, 0.58),
    (0.25, 0.25, 0.27),
    (0.08, 0.08, 0.09),
    (0.9, 0.4, 0.08),
    (0.2, 0.25, 0.2),
)
"""White, two greys, black, orange, olive."""


@dataclass
class Builder:
    """Adds solids to a body of MuJoCo.

    Attributes:
        body: `mujoco.MjsBody`.
        types: `mujoco.mjtGeom`.
        rng: of every proportion and colour.
        paint: RGB of the hull.
        trim: RGB of arms, rotors and gear.
        blur: opacity of turning rotors; None: they stand still, and their blades are seen.
    """

    body: Any
    types: Any
    rng: Generator
    paint: Point
    trim: Point
    blur: float | None

    def ellipsoid(self, at: Point, radii: Point, colour: Point | None = None) -> None:
        self._add(self.types.mjGEOM_ELLIPSOID, colour or self.paint, pos=list(at), size=list(radii))

    def box(self, at: Point, halves: Point, colour: Point | None = None, yaw: float = 0.0, pitch: float = 0.0) -> None:
        self._add(self.types.mjGEOM_BOX, colour or self.paint, pos=list(at), size=list(halves), quat=_turn(yaw, pitch))

    def rod(self, start: Point, end: Point, radius: float, colour: Point | None = None) -> None:
        ends = [*start, *end]
        self._add(self.types.mjGEOM_CAPSULE, colour or self.trim, fromto=ends, size=[radius, 0, 0])

    def rotor(self, at: Point, radius: float, axis: str = "z") -> None:
        """A disc where it turns, else two blades."""
        if self.blur is not None:
            half = {"x": [0.003, 0, 0], "z": [0, 0, 0.003]}[axis]
            low, high = np.subtract(at, half).tolist(), np.add(at, half).tolist()
            self._add(
                self.types.mjGEOM_CYLINDER, self.trim, fromto=[*low, *high], size=[radius, 0, 0], opacity=self.blur
            )
            return
        turn = self.rng.uniform(0, math.pi)
        blade = {
            "x": [0, radius * math.cos(turn), radius * math.sin(turn)],
            "z": [radius * math.cos(turn), radius * math.sin(turn), 0],
        }[axis]
        self.rod(np.subtract(at, blade).tolist(), np.add(at, blade).tolist(), 0.035 * radius + 0.003)

    def _add(self, kind: Any, colour: Point, opacity: float = 1.0, **where: Any) -> None:
        self.body.add_geom(type=kind, rgba=[*colour, opacity], **where)


def multirotor(build: Builder, arms: int, *, crossed: bool = True, coaxial: bool = False) -> None:
    """Arms around a hull, with motors and rotors; gear and a payload by chance."""
    rng = build.rng
    reach = 0.3
    radius = min(0.95 * reach * math.sin(math.pi / arms), 0.16) * rng.uniform(0.75, 1.0)
    hull = np.array([rng.uniform(0.09, 0.15), rng.uniform(0.06, 0.11), rng.uniform(0.025, 0.06)])
    if rng.random() < 0.6:
        build.ellipsoid((0, 0, 0), hull.tolist())
    else:
        build.box((0, 0, 0), (0.8 * hull).tolist())
    height = rng.uniform(-0.02, 0.06)
    thick = rng.uniform(0.008, 0.02)
    colour = build.paint if rng.random() < 0.5 else build.trim
    for number in range(arms):
        angle = 2 * math.pi * (number + (0.5 if crossed else 0.0)) / arms
        tip = (reach * math.cos(angle), reach * math.sin(angle), height)
        build.rod((0, 0, 0), tip, thick, colour)
        build.rod((tip[0], tip[1], height - 0.015), (tip[0], tip[1], height + 0.03), 1.5 * thick)
        build.rotor((tip[0], tip[1], height + 0.045), radius)
        if coaxial:
            build.rotor((tip[0], tip[1], height - 0.03), radius)
    gear(build, float(hull[1]))
    payload(build)


def camera_drone(build: Builder) -> None:
    """A domed hull with short arms in X, skids and a camera below: what most people fly and film."""
    rng = build.rng
    dome = rng.uniform(0.035, 0.06)
    build.ellipsoid((0, 0, 0), (rng.uniform(0.1, 0.14), rng.uniform(0.08, 0.11), dome))
    raised = rng.uniform(-0.02, 0.1)
    reach = rng.uniform(0.2, 0.27)
    thick = rng.uniform(0.015, 0.03)
    for ahead, side in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
        tip = (reach * ahead, reach * side, raised)
        build.rod((0.05 * ahead, 0.04 * side, 0), tip, thick, build.paint)
        build.rod((tip[0], tip[1], raised - 0.02), (tip[0], tip[1], raised + 0.03), 1.2 * thick, build.paint)
        build.rotor((tip[0], tip[1], raised + 0.04), rng.uniform(0.1, 0.14))
    low = -rng.uniform(0.1, 0.18)
    apart = rng.uniform(0.08, 0.14)
    for side in (-1, 1):
        build.rod((-0.1, apart * side, low), (0.1, apart * side, low), 0.009, build.paint)
        for along in (-0.06, 0.06):
            build.rod((along, 0.05 * side, -0.02), (along, apart * side, low), 0.009, build.paint)
    size = rng.uniform(0.02, 0.045)
    build.ellipsoid((0.03, 0, -dome - size), (size, size, size), build.trim)


def folding(build: Builder) -> None:
    """A slim hull with arms that unfold, the rear ones lower."""
    rng = build.rng
    length = rng.uniform(0.12, 0.16)
    build.box((0, 0, 0), (length, 0.045, 0.03))
    build.ellipsoid((length, 0, -0.01), (0.04, 0.04, 0.03))
    for ahead, side in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
        root = (0.6 * ahead * length, 0.04 * side, 0.01)
        tip = (ahead * rng.uniform(0.16, 0.2), side * rng.uniform(0.2, 0.24), 0.03 if ahead > 0 else -0.01)
        build.rod(root, tip, 0.013, build.paint)
        build.rod(tip, (tip[0], tip[1], -0.05), 0.008, build.paint)
        build.rotor((tip[0], tip[1], tip[2] + 0.03), rng.uniform(0.1, 0.13))


def racer(build: Builder) -> None:
    """A flat carbon frame in X with large motors and a battery or a load on top, as FPV drones have."""
    rng = build.rng
    build.box((0, 0, 0), (0.1, 0.03, 0.01), build.trim)
    build.box((0, 0, 0.035), (rng.uniform(0.05, 0.09), 0.025, 0.02))
    if rng.random() < 0.4:
        build.rod((-0.05, 0, -0.05), (rng.uniform(0.15, 0.25), 0, -0.05), rng.uniform(0.02, 0.035), build.paint)
    for ahead, side in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
        tip = (0.13 * ahead, 0.13 * side, 0.0)
        build.box((tip[0] / 2, tip[1] / 2, 0), (0.09, 0.014, 0.006), build.trim, yaw=math.atan2(side, ahead))
        build.rod((tip[0], tip[1], 0), (tip[0], tip[1], 0.025), 0.02)
        build.rotor((tip[0], tip[1], 0.035), rng.uniform(0.08, 0.11))


def fixed_wing(build: Builder, *, lifting: bool = False) -> None:
    """A hull, wings, a tail and a propeller; `lifting`: four rotors on booms besides, as VTOLs have."""
    rng = build.rng
    length, span = rng.uniform(0.25, 0.35), rng.uniform(0.4, 0.6)
    build.ellipsoid((0, 0, 0), (length, 0.04, 0.045))
    height = rng.choice([-0.02, 0.045])
    build.box((0.05, 0, height), (rng.uniform(0.05, 0.08), span, 0.008))
    tail = -0.9 * length
    build.box((tail, 0, 0.02), (0.035, rng.uniform(0.12, 0.18), 0.006))
    build.box((tail, 0, 0.07), (0.035, 0.005, 0.06))
    build.rotor((length + 0.01, 0, 0), 0.09, axis="x")
    if lifting:
        for side in (-1, 1):
            build.rod((-0.22, 0.2 * side, height), (0.28, 0.2 * side, height), 0.012)
            for ahead in (-0.22, 0.28):
                build.rotor((ahead, 0.2 * side, height + 0.03), 0.1)


def flying_wing(build: Builder) -> None:
    """A swept wing without a tail, as loitering drones have; the propeller is behind."""
    rng = build.rng
    span, sweep = rng.uniform(0.35, 0.55), rng.uniform(0.3, 0.7)
    build.ellipsoid((0.02, 0, 0.01), (rng.uniform(0.18, 0.28), 0.05, 0.045))
    for side in (-1, 1):
        build.box((-0.25 * span * sweep, 0.5 * span * side, 0), (0.08, 0.55 * span, 0.01), yaw=sweep * side)
        build.box((-span * sweep * 0.5, span * side * 0.98, 0.03), (0.04, 0.004, 0.05))
    build.rotor((-0.22, 0, 0.01), 0.1, axis="x")


def tailsitter(build: Builder) -> None:
    """A wing that stands on its tail, with two or four propellers ahead."""
    span = build.rng.uniform(0.35, 0.5)
    build.ellipsoid((0, 0, 0), (0.2, 0.05, 0.05))
    build.box((0, 0, 0), (0.1, span, 0.01))
    for side in (-1, 1):
        build.box((-0.1, span * side, 0), (0.08, 0.005, 0.08))
        build.rod((0, 0.5 * span * side, 0), (0.13, 0.5 * span * side, 0), 0.02)
        build.rotor((0.14, 0.5 * span * side, 0), 0.12, axis="x")


def gear(build: Builder, width: float) -> None:
    """Skids, four legs, or none."""
    chance = build.rng.random()
    low = -build.rng.uniform(0.08, 0.18)
    if chance < 0.4:
        for side in (-1, 1):
            build.rod((-0.12, 1.3 * width * side, low), (0.12, 1.3 * width * side, low), 0.008)
            for ahead in (-0.06, 0.06):
                build.rod((ahead, 0.6 * width * side, 0), (ahead, 1.3 * width * side, low), 0.007)
    elif chance < 0.65:
        for angle in (0.8, 2.3, 3.9, 5.5):
            x, y = 0.12 * math.cos(angle), 0.12 * math.sin(angle)
            build.rod((0.5 * x, 0.5 * y, 0), (x, y, low), 0.007)


def payload(build: Builder) -> None:
    """A camera, a box, or nothing below the hull."""
    chance = build.rng.random()
    if chance < 0.35:
        build.ellipsoid((0.05, 0, -0.07), (0.03, 0.03, 0.03), build.trim)
    elif chance < 0.55:
        build.box((0, 0, -0.09), build.rng.uniform(0.03, 0.08, 3).tolist(), build.trim)


def balloon(build: Builder) -> None:
    """A balloon, sometimes with its string."""
    build.ellipsoid((0, 0, 0.1), (0.14, 0.14, build.rng.uniform(0.14, 0.19)))
    if build.rng.random() < 0.5:
        build.rod((0, 0, -0.06), (build.rng.uniform(-0.1, 0.1), 0, -0.35), 0.004)


def kite(build: Builder) -> None:
    """A flat lozenge with a tail."""
    build.box((0, 0, 0), (0.2, 0.2, 0.004), yaw=math.pi / 4)
    for number in range(5):
        build.rod(
            (-0.28 - 0.06 * number, 0.02 * (-1) ** number, 0), (-0.34 - 0.06 * number, -0.02 * (-1) ** number, 0), 0.008
        )


def lamp(build: Builder) -> None:
    """The head of a street lamp on its pole."""
    build.rod((0, 0, -0.4), (0, 0, 0.2), 0.015, build.trim)
    build.rod((0, 0, 0.2), (0.2, 0, 0.24), 0.012, build.trim)
    build.ellipsoid((0.24, 0, 0.23), (0.09, 0.04, 0.02))


def leaf(build: Builder) -> None:
    """A leaf or a piece of paper in the wind."""
    build.ellipsoid((0, 0, 0), (0.2, build.rng.uniform(0.06, 0.2), 0.004))


Airframe = Callable[[Builder], None]

AIRFRAMES: dict[str, Airframe] = {
    "quadrotor": lambda build: multirotor(build, 4),
    "quadrotor, plus": lambda build: multirotor(build, 4, crossed=False),
    "tricopter": lambda build: multirotor(build, 3),
    "hexarotor": lambda build: multirotor(build, 6),
    "octorotor": lambda build: multirotor(build, 8),
    "coaxial quadrotor": lambda build: multirotor(build, 4, coaxial=True),
    "coaxial tricopter": lambda build: multirotor(build, 3, coaxial=True),
    "camera drone": camera_drone,
    "folding quadrotor": folding,
    "racing quadrotor": racer,
    "fixed wing": fixed_wing,
    "VTOL": lambda build: fixed_wing(build, lifting=True),
    "flying wing": flying_wing,
    "tailsitter": tailsitter,
}
"""Drones, by what they are called."""
OTHERS: dict[str, Airframe] = {"balloon": balloon, "kite": kite, "lamp": lamp, "leaf": leaf}
"""What hangs in the sky and is no drone."""


def _turn(yaw: float, pitch: float) -> list[float]:
    """A quaternion: first about y, then about z, radians."""
    cy, sy, cp, sp = math.cos(yaw / 2), math.sin(yaw / 2), math.cos(pitch / 2), math.sin(pitch / 2)
    return [cy * cp, -sy * sp, cy * sp, sy * cp]
