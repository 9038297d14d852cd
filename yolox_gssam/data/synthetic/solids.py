"""Solids in three dimensions and their picture: tubes, plates and translucent discs, seen from far away.

A small flying object is far away, so the projection is orthographic. Model axes: x forward, y left, z up, in any
unit; camera axes: u right, v down, d away from the camera.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats: TypeAlias = NDArray[np.float64]
Points: TypeAlias = NDArray[np.floating] | Sequence[Sequence[float] | NDArray[np.floating]]

BASE, ACCENT, DETAIL = 0, 1, 2  # tones: the main colour, a second one (stripes, livery), and legs, motors, windows

_ANGLES = np.linspace(0, 2 * np.pi, 20, endpoint=False)
_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)
_FRACTION_BITS = 4  # OpenCV draws at 1/16 of a pixel
# How a tube turns from its dark to its lit side: share of the radius, shift towards the light in radii, shade.
_TUBE_LAYERS = ((1.0, 0.0, -0.7), (0.8, 0.2, 0.0), (0.45, 0.42, 0.7))


@dataclass(frozen=True, eq=False)
class Tube:
    """Spheres of `radii` (n,) around `centres` (n, 3), n >= 1, and the hull of each with the next."""

    centres: Points
    radii: ArrayLike
    tone: int = BASE


@dataclass(frozen=True, eq=False)
class Plate:
    """A flat convex polygon with `corners` (n, 3), such as a wing."""

    corners: Points
    tone: int = BASE


@dataclass(frozen=True, eq=False)
class Disc:
    """A turning rotor: a translucent disc, `opacity` in [0, 1]."""

    centre: ArrayLike
    normal: ArrayLike
    radius: float
    opacity: float


Solid: TypeAlias = Tube | Plate | Disc


@dataclass(frozen=True, eq=False)
class Paint:
    """Colours of an object: `tones` (3, 3) BGR in 0..255, one row a tone; `relief` is how many levels the light adds
    to a side that faces it and takes from one that does not; `light` (3,) is the direction to the sun, camera axes.
    """

    tones: Floats
    relief: float
    light: Floats

    def colour(self, tone: int, shade: float) -> tuple[float, ...]:
        """BGR and full opacity (255), for `shade` from -1 (turned away from the light) to 1."""
        return (*np.clip(self.tones[tone] + shade * self.relief, 0, 255).tolist(), 255.0)


@dataclass(frozen=True, eq=False)
class View:
    """Where a model lies in a picture: `rotation` (3, 3) to camera axes, pixels a unit, the model's origin."""

    rotation: Floats
    scale: float = 1.0
    origin_uv: tuple[float, float] = (0.0, 0.0)

    def project(self, points: Points | ArrayLike) -> Floats:
        """(n, 3) points of the model -> (n, 3): u and v in pixels, depth in model units."""
        camera = np.asarray(points, dtype=np.float64).reshape(-1, 3) @ self.rotation.T
        camera[:, :2] = camera[:, :2] * self.scale + self.origin_uv
        return camera


def view_rotation(yaw: float, pitch: float, roll: float, elevation: float) -> Floats:
    """The (3, 3) matrix from model to camera axes, angles in radians.

    Roll and pitch (nose up) turn the object about its own axes, yaw about the vertical; `elevation` is how far the
    camera looks up (0 sees the object from the side, pi / 2 from straight below, negative from above).
    """
    camera = np.array(
        [
            (1.0, 0.0, 0.0),
            (0.0, np.sin(elevation), -np.cos(elevation)),
            (0.0, np.cos(elevation), np.sin(elevation)),
        ]
    )
    return camera @ _turn(2, yaw) @ _turn(1, -pitch) @ _turn(0, roll)


def outline_bounds(solids: Sequence[Solid], rotation: Floats) -> Floats:
    """The picture's bounds (u1, v1, u2, v2) in model units."""
    points = np.concatenate([_outline(solid, View(rotation)) for solid in solids])
    return np.concatenate([points.min(axis=0), points.max(axis=0)])


def draw_solids(solids: Sequence[Solid], view: View, paint: Paint, side: int) -> NDArray[np.uint8]:
    """The picture, (side, side, 4) BGR and opacity, colours already multiplied by the opacity; far solids first."""
    opaque = np.zeros((side, side, 4), np.uint8)
    depth = {id(solid): _depth(solid, view) for solid in solids}
    for solid in sorted(solids, key=lambda solid: -depth[id(solid)]):
        if isinstance(solid, Tube):
            _draw_tube(opaque, solid, view, paint)
        elif isinstance(solid, Plate):
            _draw_plate(opaque, solid, view, paint)
    discs = [solid for solid in solids if isinstance(solid, Disc)]
    if not discs:
        return opaque
    translucent = np.zeros_like(opaque)
    for disc in discs:
        colour = np.array(paint.colour(BASE, 0.0)) * disc.opacity
        _fill(translucent, _outline(disc, view), colour.tolist())
    rotors_behind = np.mean([depth[id(disc)] for disc in discs]) > 0
    return _over(opaque, translucent) if rotors_behind else _over(translucent, opaque)


def _over(front: NDArray[np.uint8], back: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """`front` laid over `back`, both with colours multiplied by their opacity."""
    seen = 255 - cv2.cvtColor(front[:, :, 3], cv2.COLOR_GRAY2BGRA)
    seen[:, :, 3] = 255 - front[:, :, 3]
    return np.asarray(cv2.add(front, cv2.multiply(back, seen, scale=1 / 255)), dtype=np.uint8)


def _draw_tube(canvas: NDArray[np.uint8], tube: Tube, view: View, paint: Paint) -> None:
    centres = view.project(tube.centres)[:, :2]
    radii = np.asarray(tube.radii, dtype=np.float64) * view.scale
    for share, shift, shade in _TUBE_LAYERS:
        moved = centres + shift * radii[:, None] * paint.light[:2]
        circles = moved[:, None] + share * radii[:, None, None] * _CIRCLE
        colour = paint.colour(tube.tone, shade)
        for first in range(max(len(circles) - 1, 1)):
            hull = cv2.convexHull(circles[first : first + 2].reshape(-1, 2).astype(np.float32))
            _fill(canvas, hull[:, 0], colour)


def _draw_plate(canvas: NDArray[np.uint8], plate: Plate, view: View, paint: Paint) -> None:
    corners = np.asarray(plate.corners, dtype=np.float64) @ view.rotation.T
    (a, b, c), (d, e, f) = (corners[1:3] - corners[0]).tolist()
    normal = np.array([b * f - c * e, c * d - a * f, a * e - b * d])
    normal *= (-1.0 if normal[2] > 0 else 1.0) / max(float(np.linalg.norm(normal)), 1e-9)  # of the side that is seen
    _fill(canvas, view.project(plate.corners)[:, :2], paint.colour(plate.tone, float(normal @ paint.light)))


def _fill(canvas: NDArray[np.uint8], points_uv: NDArray[np.floating], colour: Sequence[float]) -> None:
    fixed = np.round(points_uv * 2**_FRACTION_BITS).astype(np.int32)
    cv2.fillConvexPoly(canvas, fixed, colour, lineType=cv2.LINE_AA, shift=_FRACTION_BITS)


def _outline(solid: Solid, view: View) -> Floats:
    """Points (n, 2) whose hull is the solid's outline."""
    if isinstance(solid, Plate):
        return view.project(solid.corners)[:, :2]
    if isinstance(solid, Tube):
        radii = np.asarray(solid.radii, dtype=np.float64)[:, None, None] * view.scale
        return (view.project(solid.centres)[:, None, :2] + radii * _CIRCLE).reshape(-1, 2)
    normal = np.asarray(solid.normal, dtype=np.float64) / np.linalg.norm(np.asarray(solid.normal))
    across = np.cross(normal, (0.0, 1.0, 0.0) if abs(normal[1]) < 0.9 else (1.0, 0.0, 0.0))
    across /= np.linalg.norm(across)
    rim = solid.radius * (_CIRCLE @ np.stack([across, np.cross(normal, across)]))
    return view.project(np.asarray(solid.centre) + rim)[:, :2]


def _depth(solid: Solid, view: View) -> float:
    points = solid.corners if isinstance(solid, Plate) else solid.centres if isinstance(solid, Tube) else solid.centre
    return float(view.project(points)[:, 2].mean())


def _turn(axis: int, angle: float) -> Floats:
    """Rotation about one axis of a right-handed frame."""
    cosine, sine = np.cos(angle), np.sin(angle)
    matrix = np.eye(3)
    first, second = (axis + 1) % 3, (axis + 2) % 3
    matrix[[first, second], [first, second]] = cosine
    matrix[first, second], matrix[second, first] = -sine, sine
    return matrix
