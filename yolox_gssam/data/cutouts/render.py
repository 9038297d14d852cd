"""Airframes and meshes rendered with alpha by MuJoCo's off-screen renderer, in random poses, light and paint.

Alpha comes from two pictures, before black and before white: what differs between them shines through. So half-covered
pixels and turning rotors have the alpha that they should.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.progress import progress_bar
from yolox_gssam.data.cutouts.airframes import AIRFRAMES, OTHERS, PAINTS, Airframe, Builder
from yolox_gssam.data.cutouts.bank import Cutout
from yolox_gssam.data.cutouts.extract import from_picture

SIDE = 320
"""Pixels of a rendered picture, before it is shrunk."""
REACH = 1.0
"""Metres that the picture is high, at the airframe's distance."""


def rendered_airframes(source: str, each: int, seed: int, only: Sequence[str] = ()) -> Iterator[Cutout]:
    """So many pictures of each drone and each other thing of `airframes`, or of those named `only`.

    Raises:
        UserError: no airframe has such a name.
    """
    known = {**AIRFRAMES, **OTHERS}
    for name in only:
        if name not in known:
            raise UserError(f"--airframe {name}: there is none of this name; there are {', '.join(known)}")
    wanted = [(known[name], "drone" if name in AIRFRAMES else name) for name in only or known]
    frames = progress_bar(wanted, description="rendering", unit="airframes")
    for number, (airframe, kind) in enumerate(frames):
        yield from rendered(airframe, kind, source, each, seed=1000 * seed + number)


def rendered(airframe: Airframe, kind: str, source: str, number: int, seed: int) -> Iterator[Cutout]:
    """So many pictures of an airframe, each with proportions of its own.

    Raises:
        UserError: MuJoCo is not installed.
    """
    mujoco = _mujoco()
    for index in range(number):
        rng = np.random.default_rng((seed, index))

        def build(spec: Any, rng: Generator = rng) -> None:
            paint, trim = PAINTS[rng.integers(len(PAINTS))], PAINTS[rng.integers(2, 4)]
            blur = float(rng.uniform(0.06, 0.3)) if rng.random() < 0.7 else None
            airframe(Builder(spec.worldbody.add_body(), mujoco.mjtGeom, rng, paint, trim, blur))

        pixels = from_picture(_picture(mujoco, build, rng))
        if pixels is not None:
            yield Cutout(pixels, kind, source)


def rendered_mesh(path: Path, kind: str, source: str, number: int, seed: int) -> Iterator[Cutout]:
    """So many pictures of a mesh file (.obj or .stl), scaled to the picture.

    Raises:
        UserError: MuJoCo is not installed, or cannot read the file.
    """
    mujoco = _mujoco()
    for index in range(number):
        rng = np.random.default_rng((seed, index))

        def build(spec: Any, rng: Generator = rng) -> None:
            mesh = spec.add_mesh(name="mesh", file=str(path.resolve()))
            mesh.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL
            paint = PAINTS[rng.integers(len(PAINTS))]
            spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname="mesh", rgba=[*paint, 1])

        try:
            pixels = from_picture(_picture(mujoco, build, rng))
        except ValueError as error:
            raise UserError(f"{path}: cannot be rendered: {str(error).splitlines()[0]}") from error
        if pixels is not None:
            yield Cutout(pixels, kind, source)


def _picture(mujoco: Any, build: Any, rng: Generator) -> NDArray[np.uint8]:
    """(SIDE, SIDE, 4) uint8 BGRA of what `build` adds to an empty world, seen from a random side, mostly from below."""
    azimuth = rng.uniform(0, 360)
    elevation = math.degrees(math.asin(rng.uniform(-0.4, 1.0)))
    roll_state = rng.bit_generator.state
    shots = []
    for grey in (0.0, 1.0):
        rng.bit_generator.state = roll_state  # the same airframe before both
        spec = mujoco.MjSpec()
        build(spec)
        shots.append(_shot(mujoco, spec, grey, (azimuth, elevation), rng))
    black, white = shots
    alpha = np.clip(1 - (white - black).mean(axis=2) / 255, 0, 1)
    colours = black / np.maximum(alpha, 1e-2)[..., None]
    return np.dstack([np.clip(colours, 0, 255)[..., ::-1], 255 * alpha]).round().astype(np.uint8)


def _shot(mujoco: Any, spec: Any, grey: float, angles: tuple[float, float], rng: Generator) -> NDArray[np.float32]:
    """(SIDE, SIDE, 3) float32 RGB before an even background."""
    spec.visual.global_.offwidth = spec.visual.global_.offheight = SIDE
    spec.add_texture(
        name="sky", type=mujoco.mjtTexture.mjTEXTURE_SKYBOX, builtin=mujoco.mjtBuiltin.mjBUILTIN_FLAT,
        rgb1=[grey] * 3, rgb2=[grey] * 3, width=16, height=16,
    )  # fmt: skip
    spec.visual.headlight.ambient = [float(rng.uniform(0.15, 0.5))] * 3
    spec.visual.headlight.diffuse = [0.0] * 3
    sun = [*rng.uniform(-1, 1, 2).tolist(), -1.0]
    spec.worldbody.add_light(
        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
        dir=sun,
        diffuse=[float(rng.uniform(0.4, 0.9))] * 3,
        castshadow=False,
    )
    model = spec.compile()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    camera = mujoco.MjvCamera()
    camera.lookat[:] = model.stat.center
    # From far away, as a drone is seen: nearly without perspective.
    camera.distance = max(REACH, 2.4 * model.stat.extent) / (2 * math.tan(math.radians(model.vis.global_.fovy) / 2))
    camera.azimuth, camera.elevation = angles
    with mujoco.Renderer(model, SIDE, SIDE) as renderer:
        renderer.scene.flags[mujoco.mjtRndFlag.mjRND_HAZE] = False
        renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = False
        renderer.update_scene(data, camera)
        return np.asarray(renderer.render(), np.float32)


def _mujoco() -> Any:
    try:
        import mujoco
    except ImportError as error:
        raise UserError(
            "rendering needs MuJoCo: pip install mujoco (and MUJOCO_GL=egl where there is no screen)"
        ) from error
    return mujoco
