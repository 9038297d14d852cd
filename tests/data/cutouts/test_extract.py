"""Objects cut out of drawn skies, whose shape and colour are known."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from yolox_gssam.data.cutouts.extract import cut_out, from_picture, scaled, sheet, shrink

COLOUR = (30, 40, 60)


def sky(noise: float = 1.0, seed: int = 0) -> NDArray[np.uint8]:
    """A gradient with noise."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:96, 0:128]
    base = np.dstack([200 + 0.2 * rows, 170 + 0.1 * columns, 150 + 0.1 * rows])
    return np.clip(base + rng.normal(0, noise, base.shape), 0, 255).astype(np.uint8)


def with_object() -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    image = sky()
    cv2.ellipse(image, (60, 40), (12, 5), 0, 0, 360, COLOUR, -1)
    return image, np.array([45.0, 33.0, 75.0, 48.0])


def test_shape_and_colour_are_those_of_the_object() -> None:
    image, box = with_object()
    bgra = cut_out(image, box)
    assert bgra is not None
    # 25 x 11 pixels, and at most one of blur on each side
    assert 11 <= bgra.shape[0] <= 13
    assert 25 <= bgra.shape[1] <= 27
    middle = bgra[bgra.shape[0] // 2, bgra.shape[1] // 2]
    assert middle[3] == 255
    np.testing.assert_allclose(middle[:3], COLOUR, atol=4)
    area = float(bgra[..., 3].sum()) / 255
    assert area == pytest.approx(np.pi * 12.5 * 5.5, rel=0.15)


@pytest.mark.parametrize(
    ("image", "why"),
    [
        pytest.param(sky(), "nothing stands out", id="empty"),
        pytest.param(np.random.default_rng(0).integers(0, 255, (96, 128, 3), dtype=np.uint8), "not calm", id="leaves"),
    ],
)
def test_nothing_is_cut_out_where(image: NDArray[np.uint8], why: str) -> None:
    assert cut_out(image, np.array([45.0, 33.0, 75.0, 48.0])) is None, why


def test_an_object_that_leaves_the_surroundings_is_left() -> None:
    image = sky()
    cv2.line(image, (0, 40), (127, 40), COLOUR, 3)
    assert cut_out(image, np.array([45.0, 33.0, 75.0, 48.0])) is None


def test_a_faint_speck_beside_a_strong_object_that_lies_mostly_elsewhere_is_none() -> None:
    image = sky(noise=0.6)
    image[34:46, 68:86] -= 40  # a part of it is in the box, and sets what counts as opaque there
    image[39:43, 55:60] -= 3
    assert cut_out(image, np.array([45.0, 33.0, 75.0, 48.0])) is None


def test_shrinking_keeps_the_colour_at_the_edge() -> None:
    bgra = np.zeros((128, 128, 4), np.uint8)
    bgra[..., :3] = (0, 255, 0)  # of transparent pixels, which must not be seen
    bgra[32:96, 30:97] = (*COLOUR, 255)
    small = shrink(bgra, 40)
    assert small.shape == (40, 40, 4)
    seen = small[small[..., 3] > 8][:, :3].astype(int)
    assert np.abs(seen - COLOUR).max() <= 2
    assert float(small[..., 3].sum()) / 255 == pytest.approx(64 * 67 * (40 / 128) ** 2, rel=0.02)


def test_small_ones_are_not_enlarged_and_sizes_are_at_least_one() -> None:
    bgra = np.full((5, 9, 4), 255, np.uint8)
    assert shrink(bgra) is bgra
    assert scaled(bgra, 0.01).shape == (1, 1, 4)


def test_a_picture_loses_its_empty_border() -> None:
    bgra = np.zeros((50, 60, 4), np.uint8)
    bgra[10:20, 30:45] = 255
    cut = from_picture(bgra)
    assert cut is not None
    assert cut.shape == (10, 15, 4)
    assert from_picture(np.zeros((5, 5, 4), np.uint8)) is None


def test_a_sheet_has_a_cell_for_each() -> None:
    assert sheet([np.full((8, 8, 4), 255, np.uint8)] * 3, columns=2, side=16).shape == (32, 32, 3)
