import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from yolox_gssam.common.bit_depth import to_eight_bits
from yolox_gssam.common.images import has_more_than_eight_bits, read_image


def thermal(height: int = 60, width: int = 80) -> NDArray[np.uint16]:
    """A sky of 14-bit values with a little noise, and a warm object of 3 x 3 pixels."""
    values = np.random.default_rng(0).normal(7300, 8, (height, width))
    values[20:23, 40:43] = 7480
    return values.astype(np.uint16)


def grey(values: NDArray[np.generic]) -> NDArray[np.generic]:
    return np.repeat(values[..., None], 3, axis=-1)


def test_a_thermal_image_keeps_its_levels_and_its_object() -> None:
    values = thermal()
    image = to_eight_bits(grey(values))
    assert image.shape == (60, 80, 3)
    assert image.dtype == np.uint8
    assert len(np.unique(values >> 8)) <= 2  # what plain division leaves
    assert len(np.unique(image)) >= 0.9 * len(np.unique(values[values < 7400]))
    assert (image[20:23, 40:43] == 255).all()
    assert np.delete(image[..., 0].ravel(), np.flatnonzero(values == 7480)).max() < 255 * 0.75


def test_dead_pixels_leave_the_rest_a_third_of_the_grey_levels() -> None:
    values = thermal()
    values[0, 0], values[0, 1] = 0, 65_535
    low, high = np.percentile(to_eight_bits(grey(values)), (1, 99))
    assert 255 / 3 - 1 <= high - low <= 255 / 3 + 1


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(np.arange(64 * 256).reshape(128, 128) * 4, id="the whole depth"),
        pytest.param(np.arange(60, 184).repeat(100).reshape(100, 124) * 257, id="8-bit values times 257"),
        pytest.param(np.arange(60, 70).repeat(100).reshape(100, 10) * 256, id="few 8-bit values times 256"),
        pytest.param(np.full((40, 40), 9000), id="all the same, which says nothing of its depth"),
    ],
)
def test_what_plain_division_reads_well_stays_as_opencv_reads_it(tmp_path: Path, values: NDArray[np.int64]) -> None:
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), values.astype(np.uint16))
    if len(np.unique(values)) > 1:
        np.testing.assert_array_equal(read_image(path), cv2.imread(str(path), cv2.IMREAD_COLOR))
    else:
        assert len(np.unique(read_image(path))) == 1


def test_a_dark_photo_in_colour_stays_dark_and_keeps_its_colours(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    photo = np.random.default_rng(0).integers(0, 18_000, (50, 50, 3)).astype(np.uint16)
    cv2.imwrite(str(path), photo)
    np.testing.assert_array_equal(read_image(path), cv2.imread(str(path), cv2.IMREAD_COLOR))
    few_bits = photo // 5  # below 4096: a sensor of 12 bit, 14 grey levels by division
    image = to_eight_bits(few_bits).astype(float)
    slopes = [np.polyfit(few_bits[..., channel].ravel(), image[..., channel].ravel(), 1)[0] for channel in range(3)]
    assert len(np.unique(image)) > 200
    np.testing.assert_allclose(slopes, slopes[0], rtol=0.01)


@pytest.mark.parametrize("dtype", ["uint16", "int16", "int32", "float32"])
def test_the_same_picture_of_every_kind_of_value(tmp_path: Path, dtype: str) -> None:
    path = tmp_path / "a.tif"
    values = thermal().astype(dtype)
    if dtype == "int16":
        cv2.imwrite(str(path), values)
    else:
        Image.fromarray(values).save(path)
    assert has_more_than_eight_bits(path.read_bytes(), path)
    np.testing.assert_array_equal(read_image(path), to_eight_bits(grey(thermal())))


def test_a_range_is_kept_whatever_the_image_holds(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    cv2.imwrite(str(path), np.array([[6999, 7000, 7255, 7510, 7600]], np.uint16))
    assert read_image(path, (7000, 7510))[0, :, 0].tolist() == [0, 0, 128, 255, 255]
    cv2.imwrite(str(path), np.array([[10, 20, 30]], np.uint8))
    assert read_image(path, (7000, 7510))[0, :, 0].tolist() == [10, 20, 30]  # 8 bit stay as they are


def test_values_that_are_no_numbers() -> None:
    values = np.array([[np.nan, 1, 2, np.inf, -np.inf, 3]], np.float32)
    assert to_eight_bits(grey(values))[0, :, 0].tolist() == [0, 0, 128, 255, 0, 255]
    assert not to_eight_bits(grey(np.full((2, 2), np.nan, np.float32))).any()


@pytest.mark.parametrize(("mode", "deep"), [("L", False), ("RGB", False), ("1", False), ("P", False), ("I;16", True)])
@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_depth_is_told_from_the_head(mode: str, deep: bool, suffix: str) -> None:
    stream = io.BytesIO()
    image = Image.fromarray(thermal()) if deep else Image.new(mode, (8, 8))
    image.save(stream, suffix)
    assert has_more_than_eight_bits(stream.getvalue(), "a") == deep
