"""Rendered airframes, where MuJoCo is installed: their alpha, and that a seed gives the same pictures."""

from pathlib import Path

import numpy as np
import pytest

from yolox_gssam.common.errors import UserError
from yolox_gssam.data.cutouts.airframes import AIRFRAMES, OTHERS, Airframe
from yolox_gssam.data.cutouts.render import rendered, rendered_mesh

CUBE = """
v 0 0 0
v 1 0 0
v 0 1 0
v 1 1 0
v 0 0 1
v 1 0 1
v 0 1 1
v 1 1 1
f 1 3 4 2
f 5 6 8 7
f 1 2 6 5
f 3 7 8 4
f 1 5 7 3
f 2 4 8 6
"""


def test_there_are_at_least_twelve_drones_and_some_other_things() -> None:
    assert len(AIRFRAMES) >= 12
    assert len(OTHERS) >= 4


def test_a_mesh_without_mujoco_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "mujoco", None)
    with pytest.raises(UserError, match="pip install mujoco"):
        next(rendered_mesh(tmp_path / "a.obj", "drone", "a", 1, 0))


@pytest.fixture
def mujoco(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mujoco", reason="MuJoCo is not installed: pip install mujoco")


@pytest.mark.usefixtures("mujoco")
@pytest.mark.parametrize("airframe", [AIRFRAMES["quadrotor"], OTHERS["balloon"]], ids=["quadrotor", "balloon"])
def test_pictures_have_holes_and_solid_parts(airframe: Airframe) -> None:
    first, second = rendered(airframe, "drone", "a", 2, seed=0)
    for cutout in (first, second):
        assert max(cutout.pixels.shape[:2]) <= 64
        assert (cutout.pixels[..., 3] == 0).any()
        assert (cutout.pixels[..., 3] > 240).any()
    (again,) = rendered(airframe, "drone", "a", 1, seed=0)
    np.testing.assert_array_equal(first.pixels, again.pixels)
    assert first.pixels.shape != second.pixels.shape or (first.pixels != second.pixels).any()


@pytest.mark.usefixtures("mujoco")
def test_a_mesh_is_rendered_at_any_scale(tmp_path: Path) -> None:
    for factor in (1, 300):
        lines = [
            " ".join(["v", *(str(factor * float(v)) for v in line.split()[1:])]) if line.startswith("v") else line
            for line in CUBE.strip().splitlines()
        ]
        (tmp_path / "cube.obj").write_text("\n".join(lines))
        (cutout,) = rendered_mesh(tmp_path / "cube.obj", "drone", "a", 1, seed=0)
        # A cube covers more than half of its silhouette's box.
        assert cutout.pixels[..., 3].mean() > 128
