"""Silhouettes, against geometry known on paper."""

import numpy as np
import pytest
from numpy.typing import NDArray

from yolox_gssam.data.synthetic.silhouettes import BASE, BUILDERS, DETAIL, Part, in_pose, sample_pose
from yolox_gssam.data.synthetic.sprites import draw_sprite

SQUARE = np.array([(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)])
TONES = np.array([[200.0] * 3, [100.0] * 3, [10.0] * 3])
SHARP = 0.3  # pixels of blur, the least that is drawn with


def opacity(
    parts: list[Part], side: float = 40.0, centre_uv: tuple[float, float] = (30.0, 30.0)
) -> NDArray[np.float32]:
    return draw_sprite(parts, side, centre_uv, TONES, SHARP).layer[..., 3]


@pytest.mark.parametrize(
    ("angle", "aspect_uv", "expected"),
    [
        pytest.param(0.0, (1.0, 1.0), (2.0, 1.0), id="as it is"),
        pytest.param(np.pi / 2, (1.0, 1.0), (-1.0, 2.0), id="a quarter clockwise: right goes down"),
        pytest.param(0.0, (-0.5, 1.0), (-1.0, 1.0), id="mirrored and half as wide"),
        pytest.param(np.pi / 2, (1.0, 0.5), (-0.5, 2.0), id="the aspect comes before the turn"),
    ],
)
def test_pose(angle: float, aspect_uv: tuple[float, float], expected: tuple[float, float]) -> None:
    (part,) = in_pose([Part(np.array([(2.0, 1.0)]), DETAIL, 0.5)], angle, aspect_uv)
    np.testing.assert_allclose(part.points_uv, [expected], atol=1e-12)
    assert (part.tone, part.opacity) == (DETAIL, 0.5)


@pytest.mark.parametrize(
    ("points", "area"),
    [
        pytest.param(SQUARE, 40 * 40, id="square"),
        pytest.param(SQUARE[:3], 40 * 40 / 2, id="triangle"),
        pytest.param(SQUARE * (1, 0.25), 40 * 10, id="bar"),
    ],
)
def test_the_drawn_area_is_that_of_the_polygon(points: NDArray[np.float64], area: float) -> None:
    assert opacity([Part(points)]).sum() == pytest.approx(area, rel=0.02)


@pytest.mark.parametrize("centre_uv", [(30.0, 30.0), (30.5, 29.25)])
def test_the_box_is_where_the_square_is(centre_uv: tuple[float, float]) -> None:
    sprite = draw_sprite([Part(SQUARE)], 20.0, centre_uv, TONES, SHARP)
    exact = np.array([*np.subtract(centre_uv, 10), *np.add(centre_uv, 10)])
    assert np.abs(sprite.box_xyxy - exact).max() <= 1
    assert sprite.longer_side >= 20


def test_later_parts_hide_earlier_ones_and_a_rotor_lets_them_through() -> None:
    def middle(parts: list[Part]) -> list[float]:
        layer = draw_sprite(parts, 40.0, (30.0, 30.0), TONES, SHARP).layer
        return [float(value) for value in layer[len(layer) // 2, len(layer) // 2, [0, 3]]]

    dark, bright = Part(SQUARE, DETAIL), Part(SQUARE, BASE)
    assert middle([dark, bright]) == pytest.approx([200, 1], abs=0.5)
    assert middle([dark, Part(SQUARE, BASE, 0.5)]) == pytest.approx([105, 1], abs=0.5)
    assert middle([Part(SQUARE, BASE, 0.5)]) == pytest.approx([100, 0.5], abs=0.5)


@pytest.mark.parametrize("name", BUILDERS)
def test_the_same_generator_is_the_same_object_and_another_phase_moves_only_a_part_of_it(name: str) -> None:
    first, again, later = (BUILDERS[name](np.random.default_rng(5), phase) for phase in (0.1, 0.1, 0.3))
    assert len(first) == len(later)
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.points_uv, two.points_uv)
    moved = [not np.array_equal(one.points_uv, two.points_uv) for one, two in zip(first, later, strict=True)]
    assert any(moved) == (name in ("bird", "helicopter"))
    assert not all(moved)


@pytest.mark.parametrize("name", BUILDERS)
def test_objects_of_a_class_differ_and_fill_a_good_part_of_their_box(name: str) -> None:
    pictures, fills = set(), []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        angle, aspect_uv = sample_pose(rng, name)
        seen = opacity(in_pose(BUILDERS[name](rng, rng.random()), angle, aspect_uv))
        pictures.add(seen.tobytes())
        fills.append(seen.sum() / 40**2)
    assert len(pictures) == 12
    assert min(fills) > 0.02
    assert max(fills) < 0.9
