"""Augmentations, against where a painted object really lies in the image that comes out."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from yolox_gssam.common.letterbox import PAD_VALUE, letterbox_ratio
from yolox_gssam.data.augmentation import (
    Augmentation,
    Recipe,
    crop,
    flip,
    jitter_hsv,
    keep_visible,
    mixup,
    mosaic,
    place,
    scaled_size,
    whole,
)
from yolox_gssam.data.rendering import render

UPRIGHT = Augmentation(degrees=0.0, shear=0.0)
SIZE_HW = (100, 160)
Box = tuple[float, float, float, float]


def framed(*boxes_xyxy: Box, size_hw: tuple[int, int] = SIZE_HW) -> Recipe:
    """An image with these boxes."""
    return whole(0, size_hw, np.array(boxes_xyxy, float).reshape(-1, 4), np.zeros(len(boxes_xyxy), np.int64))


def made(recipe: Recipe, *frames: Recipe) -> NDArray[np.uint8]:
    """The image of a recipe whose images are black with bright boxes; a frame's index must be its place in `frames`."""
    images = []
    for frame in frames:
        images.append(np.zeros((*frame.size_hw, 3), np.uint8))
        for x1, y1, x2, y2 in frame.boxes_xyxy.astype(int):
            images[-1][y1:y2, x1:x2] = 255
    return render(recipe, images.__getitem__)


def bright_box(image: NDArray[np.uint8], above: int = 127) -> NDArray[np.float64]:
    """The upright box around the bright pixels."""
    ys, xs = np.nonzero(image[..., 0] > above)
    return np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1], float)


def test_the_scale_is_the_letterbox_of_yolox() -> None:
    from yolox.data.data_augment import preproc

    image = np.zeros((512, 640, 3), np.uint8)
    assert letterbox_ratio((512, 640), (416, 416)) == preproc(image, (416, 416))[1]


def test_flip_moves_boxes_with_the_pixels_and_twice_is_none() -> None:
    frame = framed((40, 20, 80, 50))
    recipe = place(frame, SIZE_HW)
    flipped = flip(recipe)
    np.testing.assert_array_equal(bright_box(made(flipped, frame)), flipped.boxes_xyxy[0])
    again = flip(flipped)
    np.testing.assert_array_equal(made(again, frame), made(recipe, frame))
    np.testing.assert_array_equal(again.boxes_xyxy, recipe.boxes_xyxy)


@pytest.mark.parametrize("settings", [pytest.param(UPRIGHT, id="upright"), pytest.param(Augmentation(), id="rotated")])
@pytest.mark.parametrize("position", range(4))
def test_mosaic_boxes_hold_their_pixels(settings: Augmentation, position: int) -> None:
    """The bright object of one of four images lies inside its box; an upright box touches it on all sides."""
    frames = [framed((42, 24, 57, 37), size_hw=(60, 96)), whole(1, (60, 96), np.zeros((0, 4)), np.zeros(0, np.int64))]
    four = [frames[1]] * 4
    four[position] = frames[0]
    seen = 0
    for seed in range(60):
        result = mosaic(four, (96, 96), settings, np.random.default_rng(seed))
        image = made(result, *frames)
        assert image.shape == (96, 96, 3)
        if len(result.boxes_xyxy):
            seen += 1
            truth, box = bright_box(image), result.boxes_xyxy[0]
            assert (box[:2] <= truth[:2] + 1).all()
            assert (box[2:] >= truth[2:] - 1).all()
            if settings is UPRIGHT:
                np.testing.assert_allclose(box, truth, atol=1.0)
    assert seen >= 8


@pytest.mark.parametrize("scale", [pytest.param(s, id=f"x{s}") for s in (0.5, 1.0, 1.6)])
def test_zoomed_boxes_are_centred_on_their_pixels(scale: float) -> None:
    """Pixels and boxes are scaled about the same point: a soft light in the middle of its box stays there."""
    settings = Augmentation(degrees=0.0, shear=0.0, mosaic_scale=(scale, scale), mixup_scale=(scale, scale))
    frame, empty = framed((61, 35, 91, 64)), whole(1, SIZE_HW, np.zeros((0, 4)), np.zeros(0, np.int64))
    ys, xs = np.mgrid[: SIZE_HW[0], : SIZE_HW[1]] + 0.5
    images = np.full((2, *SIZE_HW, 3), PAD_VALUE, np.uint8)
    images[0] += np.rint(140 * np.exp(-((xs - 76) ** 2 + (ys - 49.5) ** 2) / 18)).astype(np.uint8)[..., None]
    seen = 0
    for seed in range(40):
        blend = mixup(place(empty, SIZE_HW), frame, settings, np.random.default_rng(seed))
        for result in (
            mosaic([frame, empty, empty, empty], SIZE_HW, settings, np.random.default_rng(seed)),
            replace(blend, layers=blend.layers[1:]),
        ):
            box = result.boxes_xyxy[0] if len(result.boxes_xyxy) else np.zeros(4)
            if (box[:2] > 1).all() and (box[2:] < np.array(SIZE_HW[::-1]) - 1).all():
                seen += 1
                light = render(result, images.__getitem__)[..., 0].astype(float) - PAD_VALUE
                centre = np.array([(light * xs).sum(), (light * ys).sum()]) / light.sum()
                np.testing.assert_allclose(centre, (box[:2] + box[2:]) / 2, atol=0.05)
    assert seen >= 8


def test_mosaic_never_makes_a_10_pixel_drone_smaller_than_8() -> None:
    """At the default scales, unless the border cuts it."""
    frames = [framed((70, 40, 80, 50))] * 4
    for seed in range(100):
        boxes = mosaic(frames, SIZE_HW, UPRIGHT, np.random.default_rng(seed)).boxes_xyxy
        inside = (boxes[:, :2] > 0).all(axis=1) & (boxes[:, 2:] < (160, 100)).all(axis=1)
        assert ((boxes[:, 2:] - boxes[:, :2])[inside] >= 8 - 1e-6).all()


def test_mixup_keeps_the_boxes_of_both() -> None:
    first, second = framed((10, 10, 30, 30)), whole(1, SIZE_HW, np.array([[100.0, 60, 140, 90]]), np.zeros(1, np.int64))
    rng = np.random.default_rng(0)
    mixed = [mixup(place(first, SIZE_HW), second, Augmentation(mixup_scale=(1.0, 1.0)), rng) for _ in range(6)]
    for recipe in mixed:
        np.testing.assert_array_equal(recipe.boxes_xyxy[0], first.boxes_xyxy[0])
        x1, y1, x2, y2 = recipe.boxes_xyxy[1].astype(int)
        assert made(recipe, first, second)[y1:y2, x1:x2].min() >= 127
    # Mirrored by chance: both ways occur.
    assert {tuple(recipe.boxes_xyxy[1]) for recipe in mixed} == {(100, 60, 140, 90), (20, 60, 60, 90)}


@pytest.mark.parametrize("box", [(0, 0, 12, 10), (70, 40, 95, 62), (150, 90, 160, 100)])
@pytest.mark.parametrize("size_hw", [pytest.param((48, 64), id="smaller"), pytest.param((128, 192), id="larger")])
def test_crop_holds_its_object_at_its_own_size(box: Box, size_hw: tuple[int, int]) -> None:
    frame = framed(box)
    for seed in range(20):
        result = crop(place(frame, SIZE_HW), size_hw, Augmentation(min_visible=0.0), np.random.default_rng(seed))
        image = made(result, frame)
        assert image.shape[:2] == size_hw
        np.testing.assert_array_equal(result.boxes_xyxy[0], bright_box(image))


def test_crop_of_an_empty_image() -> None:
    empty = framed()
    image = made(crop(place(empty, SIZE_HW), (48, 64), Augmentation(), np.random.default_rng(0)), empty)
    assert image.shape == (48, 64, 3)
    assert (image == 0).all()


def test_crop_of_a_mosaic_is_a_part_of_it() -> None:
    """Mosaic, mixup, crop and flip together: the pixels are those of the whole image. Of noise, which is off by up to
    255 / 64 in x and in y where OpenCV 4 rounds coordinates to 1/32 pixel."""
    rng = np.random.default_rng(3)
    images = [rng.integers(0, 256, (100, 160, 3), dtype=np.uint8) for _ in range(5)]
    frames = [whole(i, SIZE_HW, np.array([[70.0, 40, 80, 50]]), np.zeros(1, np.int64)) for i in range(5)]
    settings = Augmentation()
    blend = mixup(mosaic(frames[:4], SIZE_HW, settings, rng), frames[4], settings, rng)
    part = flip(crop(blend, (48, 64), settings, rng))
    whole_image, image = render(blend, images.__getitem__).astype(int), render(part, images.__getitem__)
    left, top = (round(blend.layers[0].matrix[i, 2] - flip(part).layers[0].matrix[i, 2]) for i in range(2))
    expected = whole_image[top : top + 48, left : left + 64][:, ::-1]
    assert image.shape == expected.shape
    assert np.abs(image - expected).max() <= 2 * 255 / 64 + 1


def test_jitter_shifts_each_channel_by_its_limit_at_most() -> None:
    recipe = place(framed((1, 2, 3, 4)), SIZE_HW)
    changed = [jitter_hsv(recipe, Augmentation(), np.random.default_rng(seed)) for seed in range(100)]
    shifts = np.array([result.hsv_shift for result in changed])
    assert (np.abs(shifts) <= (5, 30, 30)).all()
    # Each channel is left alone about every second time, and goes both ways otherwise.
    assert ((shifts == 0).mean(axis=0) > 0.3).all()
    assert (shifts > 0).any(axis=0).all()
    assert (shifts < 0).any(axis=0).all()
    assert all(result.boxes_xyxy is recipe.boxes_xyxy for result in changed)


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
def test_keep_visible(box: Box, kept: Box | None) -> None:
    recipe = place(framed(box), (50, 100))
    result = keep_visible(recipe, Augmentation())
    np.testing.assert_array_equal(result.boxes_xyxy, np.array([kept] if kept else np.zeros((0, 4)), float))
    assert len(result.labels) == len(result.boxes_xyxy)


def test_no_objects_anywhere() -> None:
    empty = framed(size_hw=(40, 40))
    rng = np.random.default_rng(0)
    result = mixup(mosaic([empty] * 4, (64, 64), Augmentation(), rng), empty, Augmentation(), rng)
    assert result.boxes_xyxy.shape == (0, 4)
    assert result.labels.shape == (0,)


@pytest.mark.parametrize("scale", [0.001, 0.1, 1.0, 30.0])
def test_what_is_looked_at_lies_by_the_tiles(scale: float) -> None:
    """However far the window reaches: at most the tiles and a rim of a pixel, at least one pixel."""
    settings = Augmentation(mosaic_scale=(scale, scale), translate=3.0)
    for seed in range(20):
        layer = mosaic([framed()] * 4, SIZE_HW, settings, np.random.default_rng(seed)).layers[0]
        area = layer.needed(SIZE_HW)
        assert -1 <= area.left < area.right <= 321
        assert -1 <= area.top < area.bottom <= 201


@pytest.mark.parametrize("size_hw", [(512, 640), (333, 500), (1, 7)])
def test_scaled_size_is_that_of_yolox_letterbox(size_hw: tuple[int, int]) -> None:
    from yolox.data.data_augment import preproc

    scale = letterbox_ratio(size_hw, (64, 96))
    padded = preproc(np.zeros((*size_hw, 3), np.uint8), (64, 96))[0]
    height, width = scaled_size(size_hw, scale)
    assert (padded[:, :height, :width] == 0).all()
    assert (padded == 0).sum() == 3 * height * width
