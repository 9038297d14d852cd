import numpy as np
import pytest
from yolox.data.data_augment import preproc

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.letterbox import letterbox, letterbox_ratio


def make_image(width: int, height: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("width", "height", "input_size"),
    [
        pytest.param(640, 512, (416, 416), id="bars-below"),
        pytest.param(512, 640, (416, 416), id="bars-to-the-right"),
        pytest.param(640, 512, (352, 416), id="wide-input"),
        pytest.param(416, 416, (416, 416), id="same"),
        pytest.param(97, 61, (160, 160), id="enlarged-odd-size"),
        pytest.param(1, 1, (32, 64), id="one-pixel"),
        pytest.param(300, 1, (320, 320), id="one-row"),
    ],
)
def test_equals_yolox_to_the_bit(width: int, height: int, input_size: tuple[int, int]) -> None:
    image = make_image(width, height)
    expected, ratio = preproc(image, input_size)
    batch = letterbox([image], input_size)
    assert batch.dtype == np.uint8
    np.testing.assert_array_equal(batch.transpose(0, 3, 1, 2), expected[None])
    assert letterbox_ratio((height, width), input_size) == ratio


def test_a_batch_holds_each_image_at_its_own_scale() -> None:
    images = [make_image(640, 512, 1), make_image(120, 300, 2), make_image(333, 77, 3)]
    batch = letterbox(images, (96, 128))
    np.testing.assert_array_equal(batch.transpose(0, 3, 1, 2), [preproc(image, (96, 128))[0] for image in images])


def test_a_part_of_a_larger_image() -> None:
    """Rows that do not lie side by side in memory."""
    whole = make_image(200, 150)
    part = whole[10:130:2, 20:180]
    np.testing.assert_array_equal(letterbox([part], (96, 96)), letterbox([part.copy()], (96, 96)))


@pytest.mark.parametrize(
    ("sizes_wh", "canvas_hw"),
    [
        pytest.param([(640, 512)], (352, 416), id="landscape"),
        pytest.param([(512, 640)], (416, 352), id="portrait"),
        pytest.param([(640, 512), (512, 640)], (416, 416), id="both"),
        pytest.param([(1000, 10)], (32, 416), id="flat"),
        pytest.param([(416, 416)], (416, 416), id="nothing-to-leave-out"),
    ],
)
def test_tight_leaves_out_grey_and_nothing_else(sizes_wh: list[tuple[int, int]], canvas_hw: tuple[int, int]) -> None:
    images = [make_image(*size_wh) for size_wh in sizes_wh]
    square, tight = (letterbox(images, (416, 416), tight) for tight in (False, True))
    assert tight.shape[1:3] == canvas_hw
    np.testing.assert_array_equal(tight, square[:, : canvas_hw[0], : canvas_hw[1]])
    assert (square[:, canvas_hw[0] :] == 114).all()
    assert (square[:, :, canvas_hw[1] :] == 114).all()


def test_the_image_is_left_alone() -> None:
    image = make_image(64, 48)
    before = image.copy()
    letterbox([image], (48, 64))[:] = 0
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize(("width", "height"), [(2000, 3), (3, 2000)])
def test_an_image_that_would_vanish(width: int, height: int) -> None:
    with pytest.raises(UserError, match=f"{width} x {height} pixels is too narrow"):
        letterbox([make_image(width, height)], (160, 160))


def test_ratio() -> None:
    assert letterbox_ratio((512, 640), (416, 416)) == 0.65
    assert letterbox_ratio((100, 50), (416, 832)) == 4.16
