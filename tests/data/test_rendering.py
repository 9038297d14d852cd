"""Training images as OpenCV makes them."""

import colorsys

import numpy as np
import pytest

from yolox_gssam.common.letterbox import letterbox_ratio
from yolox_gssam.data.augmentation import place, whole
from yolox_gssam.data.rendering import render, resize, shift_hsv


def test_placed_after_resize_equals_the_letterbox_of_yolox() -> None:
    from yolox.data.data_augment import preproc

    image = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    fitted = resize(image, letterbox_ratio((90, 120), (64, 96)))
    frame = whole(0, fitted.shape[:2], np.zeros((0, 4)), np.zeros(0, np.int64))
    padded = render(place(frame, (64, 96)), [fitted].__getitem__)
    np.testing.assert_array_equal(padded.transpose(2, 0, 1), preproc(image, (64, 96))[0])


def test_resize_by_one_is_the_image_itself() -> None:
    image = np.zeros((9, 12, 3), np.uint8)
    assert resize(image, 1.0) is image


def test_images_of_the_set_stay_as_they_are() -> None:
    """They may lie in the cache."""
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    before = image.copy()
    recipe = place(whole(0, (40, 50), np.zeros((0, 4)), np.zeros(0, np.int64)), (40, 50))
    made = render(recipe, [image].__getitem__)
    made[:] = 0
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("shift", [(0, 0, 0), (5, 0, 0), (-5, 0, 0), (0, 30, -30), (4, -25, 28)])
def test_colours_are_those_of_colorsys(shift: tuple[int, int, int]) -> None:
    """Python's own conversion, with hue in steps of 2 degrees and the others of 1/255 as OpenCV has them: to within a
    step of hue, which makes up to 255 / 30 = 8.5 levels, and rounding."""
    image = np.random.default_rng(0).integers(0, 256, (12, 20, 3), dtype=np.uint8)
    result = shift_hsv(image, np.array(shift))
    for before, after in zip(image.reshape(-1, 3), result.reshape(-1, 3), strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*(before[::-1] / 255))
        h, s, v = (round(180 * hue) + shift[0]) % 180, round(255 * saturation) + shift[1], round(255 * value) + shift[2]
        rgb = colorsys.hsv_to_rgb(h / 180, min(max(s, 0), 255) / 255, min(max(v, 0), 255) / 255)
        assert np.abs(after[::-1] - 255 * np.array(rgb)).max() <= 10
