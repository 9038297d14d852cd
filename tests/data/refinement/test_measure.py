import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from yolox_gssam.data.refinement.measure import SURE_SIGMAS, measure_box

LOOSE = (40.0, 30.0, 40.0, 30.0)


def sky(noise: float = 2.0, slope: float = 0.5, seed: int = 0) -> NDArray[np.float64]:
    """A grey picture of 120 x 90 that grows brighter to the right, with noise."""
    ramp = 100 + slope * np.arange(120)[None, :] + np.zeros((90, 1))
    return ramp + np.random.default_rng(seed).normal(0, noise, ramp.shape)


def picture(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.clip(values.round(), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("contrast", [60, -60, 25])
@pytest.mark.parametrize("box", [(55, 40, 60, 44), (45, 36, 61, 52), (50, 33, 74, 38)])
def test_finds_an_object_on_a_gradient(box: tuple[int, int, int, int], contrast: float, colour: bool) -> None:
    values = sky()
    left, top, right, bottom = box
    values[top:bottom, left:right] += contrast
    image = picture(values)
    if colour:
        image = np.asarray(cv2.merge([image, image, image // 4 * 4]), np.uint8)
    best = measure_box(image, LOOSE)[0]
    assert best.sigmas > SURE_SIGMAS
    assert not best.torn
    np.testing.assert_allclose(best.box_xyxy, box, atol=1.3)


def test_edges_lie_between_pixels() -> None:
    """A blurred object moved by half a pixel is found half a pixel further."""
    across, down = np.arange(120)[None, :], np.arange(90)[:, None]
    lefts = []
    for shift in (0.0, 0.5):
        blob = 80 * np.exp(-((across - 60 - shift) ** 2 + (down - 45) ** 2) / 4.5)
        lefts.append(measure_box(picture(100 + blob), LOOSE)[0].box_xyxy)
    np.testing.assert_allclose(np.subtract(lefts[1], lefts[0]), [0.5, 0, 0.5, 0], atol=0.15)


def test_a_roof_beside_the_object_is_not_taken_for_it() -> None:
    values = sky()
    values[58:] += 90  # reaches into the loose box
    values[40:45, 56:64] += 40
    np.testing.assert_allclose(measure_box(picture(values), LOOSE)[0].box_xyxy, (56, 40, 64, 45), atol=1.3)


def test_a_faint_object_is_found_in_noise() -> None:
    values = sky(noise=8)
    values[40:48, 55:63] += 28
    np.testing.assert_allclose(measure_box(picture(values), LOOSE)[0].box_xyxy, (55, 40, 63, 48), atol=2.5)


@pytest.mark.parametrize("seed", range(5))
def test_nothing_stands_out_in_noise(seed: int) -> None:
    assert [c for c in measure_box(picture(sky(seed=seed)), LOOSE) if c.sigmas >= SURE_SIGMAS] == []


def test_a_trail_through_the_box_is_torn() -> None:
    image = picture(sky(noise=1))
    cv2.line(image, (0, 44), (70, 46), 230, 2)
    assert measure_box(image, LOOSE)[0].torn


@pytest.mark.parametrize("box", [(-30, -30, 20, 20), (119.5, 40, 30, 10), (0, 0, 0.2, 0.2), (-5, -5, 200, 200)])
def test_boxes_at_and_beyond_the_border(box: tuple[float, float, float, float]) -> None:
    for candidate in measure_box(picture(sky()), box):
        left, top, right, bottom = candidate.box_xyxy
        assert left < right
        assert top < bottom
