"""Augmentations, against where a painted object really lies in the image that comes out."""

import numpy as np
import pytest
from numpy.typing import NDArray

from yolox_gssam.data.augmentation import (
    PAD_VALUE,
    Augmentation,
    Sample,
    crop,
    fit_scale,
    flip,
    jitter_hsv,
    keep_visible,
    mixup,
    mosaic,
    pad,
    resize,
)

UPRIGHT = Augmentation(degrees=0.0, shear=0.0)


def painted(box_xyxy: tuple[int, int, int, int], size_hw: tuple[int, int] = (100, 160), value: int = 255) -> Sample:
    """A black image with one bright box, and that box as its truth."""
    image = np.zeros((*size_hw, 3), np.uint8)
    x1, y1, x2, y2 = box_xyxy
    image[y1:y2, x1:x2] = value
    return Sample(image, np.array([box_xyxy], float), np.array([0]))


def bright_box(image: NDArray[np.uint8], above: int = 160) -> NDArray[np.float64]:
    """The upright box around the bright pixels."""
    ys, xs = np.nonzero(image[..., 0] > above)
    return np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1], float)


def test_fit_scale_is_the_letterbox_of_yolox() -> None:
    from yolox.data.data_augment import preproc

    image = np.zeros((512, 640, 3), np.uint8)
    assert fit_scale((512, 640), (416, 416)) == preproc(image, (416, 416))[1]


def test_pad_after_resize_equals_the_letterbox_of_yolox() -> None:
    from yolox.data.data_augment import preproc

    image = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    sample = Sample(image, np.zeros((0, 4)), np.zeros(0, np.int64))
    padded = pad(resize(sample, fit_scale((90, 120), (64, 96))), (64, 96))
    assert np.array_equal(padded.image.transpose(2, 0, 1), preproc(image, (64, 96))[0])


@pytest.mark.parametrize("scale", [pytest.param(s, id=f"x{s}") for s in (0.5, 1.0, 1.7)])
def test_resize_moves_boxes_with_the_pixels(scale: float) -> None:
    sample = resize(painted((40, 20, 80, 50)), scale)
    np.testing.assert_allclose(bright_box(sample.image, 127), sample.boxes_xyxy[0], atol=1.0)


def test_flip_moves_boxes_with_the_pixels_and_twice_is_none() -> None:
    sample = painted((40, 20, 80, 50))
    flipped = flip(sample)
    np.testing.assert_array_equal(bright_box(flipped.image), flipped.boxes_xyxy[0])
    again = flip(flipped)
    np.testing.assert_array_equal(again.image, sample.image)
    np.testing.assert_array_equal(again.boxes_xyxy, sample.boxes_xyxy)


@pytest.mark.parametrize("settings", [pytest.param(UPRIGHT, id="upright"), pytest.param(Augmentation(), id="rotated")])
@pytest.mark.parametrize("position", range(4))
def test_mosaic_boxes_hold_their_pixels(settings: Augmentation, position: int) -> None:
    """The bright object of one of four images lies inside its box; an upright box touches it on all sides."""
    empty = Sample(np.zeros((100, 160, 3), np.uint8), np.zeros((0, 4)), np.zeros(0, np.int64))
    samples = [empty] * 4
    samples[position] = painted((70, 40, 95, 62))
    seen = 0
    for seed in range(60):
        result = mosaic(samples, (96, 96), settings, np.random.default_rng(seed))
        assert result.image.shape == (96, 96, 3)
        if len(result.boxes_xyxy):
            seen += 1
            truth, box = bright_box(result.image), result.boxes_xyxy[0]
            assert (box[:2] <= truth[:2] + 1.5).all()
            assert (box[2:] >= truth[2:] - 1.5).all()
            if settings is UPRIGHT:
                np.testing.assert_allclose(box, truth, atol=1.5)
    assert seen >= 8


def test_mosaic_never_makes_a_10_pixel_drone_smaller_than_8() -> None:
    """At the default scales, unless the border cuts it."""
    samples = [painted((70, 40, 80, 50))] * 4
    for seed in range(100):
        result = mosaic(samples, (100, 160), UPRIGHT, np.random.default_rng(seed))
        boxes = result.boxes_xyxy
        inside = (boxes[:, :2] > 0).all(axis=1) & (boxes[:, 2:] < (160, 100)).all(axis=1)
        assert ((boxes[:, 2:] - boxes[:, :2])[inside] >= 8 - 1e-6).all()


def test_mixup_keeps_the_boxes_of_both() -> None:
    first, second = painted((10, 10, 30, 30)), painted((100, 60, 140, 90))
    rng = np.random.default_rng(0)
    mixed = [mixup(first, second, Augmentation(mixup_scale=(1.0, 1.0)), rng) for _ in range(6)]
    for sample in mixed:
        np.testing.assert_array_equal(sample.boxes_xyxy[0], first.boxes_xyxy[0])
        x1, y1, x2, y2 = sample.boxes_xyxy[1].astype(int)
        assert sample.image[y1:y2, x1:x2].min() >= 127
    # Mirrored by chance: both ways occur.
    assert {tuple(sample.boxes_xyxy[1]) for sample in mixed} == {(100, 60, 140, 90), (20, 60, 60, 90)}


@pytest.mark.parametrize("box", [(0, 0, 12, 10), (70, 40, 95, 62), (150, 90, 160, 100)])
@pytest.mark.parametrize("size_hw", [pytest.param((48, 64), id="smaller"), pytest.param((128, 192), id="larger")])
def test_crop_holds_its_object_at_its_own_size(box: tuple[int, int, int, int], size_hw: tuple[int, int]) -> None:
    for seed in range(20):
        result = crop(painted(box), size_hw, Augmentation(min_visible=0.0), np.random.default_rng(seed))
        assert result.image.shape[:2] == size_hw
        np.testing.assert_array_equal(result.boxes_xyxy[0], bright_box(result.image))


def test_crop_of_an_empty_image() -> None:
    empty = Sample(np.zeros((100, 160, 3), np.uint8), np.zeros((0, 4)), np.zeros(0, np.int64))
    result = crop(empty, (48, 64), Augmentation(), np.random.default_rng(0))
    assert result.image.shape == (48, 64, 3)
    assert (result.image == 0).all()


def test_jitter_leaves_boxes_and_shape_and_changes_colours() -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    sample = Sample(image, np.array([[1.0, 2, 3, 4]]), np.array([1]))
    changed = [jitter_hsv(sample, np.random.default_rng(seed)) for seed in range(10)]
    assert any((result.image != image).mean() > 0.5 for result in changed)
    assert all(result.boxes_xyxy is sample.boxes_xyxy for result in changed)


@pytest.mark.parametrize(
    ("box", "kept"),
    [
        pytest.param((10, 10, 20, 20), (10, 10, 20, 20), id="inside"),
        pytest.param((-5, 10, 5, 20), (0, 10, 5, 20), id="half-left"),
        pytest.param((-8, 10, 2, 20), None, id="a fifth left"),
        pytest.param((-50, 10, 150, 12), (0, 10, 100, 12), id="half of a long one"),
        pytest.param((10, 10, 30, 11.5), None, id="thinner than two pixels"),
        pytest.param((200, 10, 220, 20), None, id="outside"),
    ],
)
def test_keep_visible(box: tuple[float, ...], kept: tuple[float, ...] | None) -> None:
    sample = Sample(np.zeros((50, 100, 3), np.uint8), np.array([box], float), np.array([3]))
    result = keep_visible(sample, Augmentation())
    np.testing.assert_array_equal(result.boxes_xyxy, np.array([kept] if kept else np.zeros((0, 4)), float))
    assert len(result.labels) == len(result.boxes_xyxy)


def test_no_objects_anywhere() -> None:
    empty = Sample(np.full((40, 40, 3), PAD_VALUE, np.uint8), np.zeros((0, 4)), np.zeros(0, np.int64))
    rng = np.random.default_rng(0)
    result = mixup(mosaic([empty] * 4, (64, 64), Augmentation(), rng), empty, Augmentation(), rng)
    assert result.boxes_xyxy.shape == (0, 4)
    assert result.labels.shape == (0,)
