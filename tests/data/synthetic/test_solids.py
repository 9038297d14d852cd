"""Solids, against geometry known on paper."""

import numpy as np
import pytest

from yolox_gssam.data.synthetic.solids import Disc, Paint, Plate, Solid, Tube, View, draw_solids, outline_bounds
from yolox_gssam.data.synthetic.solids import view_rotation as rotation

PAINT = Paint(np.full((3, 3), 200.0), relief=0.0, light=np.array([0.0, 0.0, -1.0]))
LEVEL = rotation(0, 0, 0, 0)
BELOW = rotation(0, 0, 0, np.pi / 2)


@pytest.mark.parametrize(
    ("matrix", "forward", "left", "up"),
    [
        pytest.param(LEVEL, (1, 0, 0), (0, 0, 1), (0, -1, 0), id="from the side: up is up, left is away"),
        pytest.param(BELOW, (1, 0, 0), (0, 1, 0), (0, 0, 1), id="from below: up is away"),
        pytest.param(rotation(np.pi / 2, 0, 0, 0), (0, 0, 1), (-1, 0, 0), (0, -1, 0), id="yaw: nose turns left"),
        pytest.param(rotation(0, np.pi / 2, 0, 0), (0, -1, 0), (0, 0, 1), (-1, 0, 0), id="pitch: nose goes up"),
        pytest.param(rotation(0, 0, np.pi / 2, 0), (1, 0, 0), (0, -1, 0), (0, 0, -1), id="roll: left wing goes up"),
    ],
)
def test_view_rotation(matrix: np.ndarray, forward: tuple, left: tuple, up: tuple) -> None:
    np.testing.assert_allclose(matrix, np.array([forward, left, up]).T, atol=1e-12)


@pytest.mark.parametrize(
    ("solid", "matrix", "area"),
    [
        pytest.param(Tube([[0, 0, 0]], [1.0]), LEVEL, np.pi, id="sphere"),
        pytest.param(Tube([[-1, 0, 0], [1, 0, 0]], [0.5, 0.5]), LEVEL, 2 + np.pi / 4, id="tube from the side"),
        pytest.param(Tube([[-1, 0, 0], [1, 0, 0]], [0.5, 0.5]), rotation(np.pi / 2, 0, 0, 0), np.pi / 4, id="end on"),
        pytest.param(Plate([[-1, -0.5, 0], [1, -0.5, 0], [1, 0.5, 0], [-1, 0.5, 0]]), BELOW, 2.0, id="plate"),
        pytest.param(
            Plate([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]),
            rotation(0, 0, 0, np.pi / 6),
            2.0,
            id="plate at 30°",
        ),
        pytest.param(Disc([0, 0, 0], (0, 0, 2), 1.0, 1.0), BELOW, np.pi, id="disc"),
        pytest.param(Disc([0, 0, 0], (0, 1, 0), 1.0, 0.5), LEVEL, np.pi / 2, id="half opaque disc"),
    ],
)
def test_drawn_area_is_the_projected_area(solid: Solid, matrix: np.ndarray, area: float) -> None:
    drawn = draw_solids([solid], View(matrix, 60.0, (100.0, 100.0)), PAINT, 200)
    assert drawn[..., 3].sum() / 255 / 60**2 == pytest.approx(area, rel=0.04)
    rows, columns = np.nonzero(drawn[..., 3])
    bounds = outline_bounds([solid], matrix) * 60 + 100
    np.testing.assert_allclose([columns.min(), rows.min(), columns.max(), rows.max()], bounds, atol=2)


def test_near_solids_hide_far_ones() -> None:
    paint = Paint(np.array([[10.0] * 3, [90.0] * 3, [200.0] * 3]), relief=0.0, light=np.array([0.0, 0.0, -1.0]))
    near, far = Tube([[0, -3, 0]], [1.0], tone=0), Tube([[0, 3, 0]], [1.0], tone=2)
    for solids in ([near, far], [far, near]):
        assert draw_solids(solids, View(LEVEL, 20.0, (30.0, 30.0)), paint, 60)[30, 30].tolist() == [10, 10, 10, 255]


def test_a_rotor_in_front_lets_the_body_through_and_one_behind_does_not_touch_it() -> None:
    paint = Paint(np.array([[100.0] * 3] * 2 + [[0.0] * 3]), relief=0.0, light=np.array([0.0, 0.0, -1.0]))
    body = Tube([[0, 0, 0]], [0.5], tone=2)
    pictures = [
        draw_solids([body, Disc([0, y, 0], (0, 1, 0), 1.0, 0.5)], View(LEVEL, 20.0, (30.0, 30.0)), paint, 60)
        for y in (-1, 1)
    ]
    assert [picture[30, 30].tolist() for picture in pictures] == [[50, 50, 50, 255], [0, 0, 0, 255]]
    assert [picture[30, 46, 3] for picture in pictures] == [128, 128]
