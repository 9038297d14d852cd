"""Training images as torch makes them, against those that OpenCV makes of the same recipes."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from yolox_gssam.data.augmentation import Augmentation, Layer, Recipe, Tile
from yolox_gssam.data.coco_reader import CocoSplit
from yolox_gssam.data.device_rendering import _bgr_to_hsv, render_batch, shift_hsv
from yolox_gssam.data.labelled import LabelledImage
from yolox_gssam.data.rendering import render
from yolox_gssam.data.rendering import shift_hsv as shift_hsv_on_cpu
from yolox_gssam.data.training_set import SampleRequest, TrainingSet

CPU = torch.device("cpu")
SIZE_HW = (128, 160)


def scenery(rng: np.random.Generator, size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """A soft coloured background, as skies are, with some noise and a few hard edges."""
    image = cv2.GaussianBlur(rng.normal(0, 1, (*size_hw, 3)), (0, 0), 6)
    image = 120 + 60 * image / image.std() + rng.normal(0, 2, image.shape)
    for _ in range(3):
        x, y = rng.integers(0, 40, 2)
        image[y : y + 12, x : x + 9] = rng.integers(0, 256, 3)
    return np.clip(image, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> CocoSplit:
    """Images of several sizes and shapes; every third one is a negative."""
    folder, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    images = []
    for i, (height, width) in enumerate([(128, 160), (160, 128), (90, 200), (64, 64), (300, 111), (128, 160)] * 2):
        cv2.imwrite(str(folder / f"{i}.png"), scenery(rng, (height, width)))
        corners = rng.uniform(0, 40, (i % 3, 2))
        boxes = np.hstack([corners, corners + rng.uniform(5, 20, (i % 3, 2))])
        images.append(LabelledImage(f"{i}.png", width, height, boxes, np.zeros(i % 3, np.int64), image_id=i + 1))
    return CocoSplit(folder / "train.json", folder, ("drone",), (1,), tuple(images))


@pytest.mark.parametrize("mosaic", [pytest.param(True, id="mosaic"), pytest.param(False, id="last epochs")])
@pytest.mark.parametrize("crop_size", [pytest.param(None, id="whole"), pytest.param((64, 96), id="crop")])
@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(Augmentation(mixup_prob=0.5, hsv_prob=0.0), id="colours as they are"),
        pytest.param(Augmentation(mixup_prob=1.0, hsv_prob=0.7), id="all"),
        pytest.param(Augmentation(hsv_gains=(0, 0, 30)), id="brightness"),
        pytest.param(Augmentation(mosaic_scale=(0.1, 2.0), translate=0.5, degrees=45.0, shear=10.0), id="wild"),
    ],
)
def test_images_are_those_of_opencv(
    split: CocoSplit, settings: Augmentation, crop_size: tuple[int, int] | None, mosaic: bool
) -> None:
    """To a fourth of a level in the mean and 2 levels for 99 of 100 values, whatever is drawn. Single values may be
    further off: OpenCV 4 rounds coordinates to 1/32 pixel, so an edge of 255 levels is off by up to 255 / 64 in x and
    in y; and where colours change, a value on the brink can tip into another hue."""
    data = TrainingSet(split, SIZE_HW, settings, seed=1, crop_size=crop_size)
    data.fill_cache(CPU)
    assert data.cache is not None
    assert not data.cache.are_grey
    recipes = [data.draw(SampleRequest(number % len(data), number, mosaic)) for number in range(20)]
    images = render_batch(recipes, data.cache.__getitem__, CPU)
    assert images.dtype == torch.uint8
    assert images.shape == (20, 3, *(crop_size or SIZE_HW))
    for image, recipe in zip(images, recipes, strict=True):
        expected = render(recipe, lambda index: data.cache[index].numpy())
        differences = np.abs(image.permute(1, 2, 0).numpy().astype(int) - expected)
        assert differences.mean() < 0.25
        assert np.percentile(differences, 99) <= 2
        if recipe.hsv_shift is None:
            assert differences.max() <= 2 * 255 / 64 + 1


def test_whole_grey_images_are_those_of_opencv_to_the_level(tmp_path: Path) -> None:
    rng, images = np.random.default_rng(0), []
    for number in range(4):
        grey = rng.integers(0, 256, SIZE_HW, dtype=np.uint8)
        cv2.imwrite(str(tmp_path / f"{number}.png"), grey)
        no_boxes, no_labels = np.zeros((0, 4)), np.zeros(0, np.int64)
        images.append(LabelledImage(f"{number}.png", *SIZE_HW[::-1], no_boxes, no_labels, image_id=number + 1))
    grey_split = CocoSplit(tmp_path / "train.json", tmp_path, ("drone",), (1,), tuple(images))
    data = TrainingSet(grey_split, SIZE_HW, Augmentation(mosaic_prob=0.0, hsv_gains=(0, 0, 30)), seed=0)
    data.fill_cache(CPU)
    assert data.cache is not None
    recipes = [data.draw(SampleRequest(number % 4, number, True)) for number in range(16)]
    assert {bool(recipe.layers[0].matrix[0, 0] < 0) for recipe in recipes} == {True, False}
    assert len({int(recipe.hsv_shift[2]) for recipe in recipes if recipe.hsv_shift is not None}) > 4
    assert data.cache.are_grey
    batch = render_batch(recipes, data.cache.__getitem__, CPU, are_grey=True)
    for image, recipe in zip(batch, recipes, strict=True):
        assert np.array_equal(image.permute(1, 2, 0).numpy(), render(recipe, lambda index: data.cache[index].numpy()))


def test_a_sample_is_the_same_in_any_batch(split: CocoSplit) -> None:
    """To a level: alone its canvas is smaller, and coordinates are rounded otherwise."""
    data = TrainingSet(split, SIZE_HW, Augmentation(hsv_prob=0.0), seed=1)
    data.fill_cache(CPU)
    assert data.cache is not None
    recipes = [data.draw(SampleRequest(number, number, mosaic=True)) for number in range(10)]
    together = render_batch(recipes, data.cache.__getitem__, CPU).int()
    for image, recipe in zip(together, recipes, strict=True):
        alone = render_batch([recipe], data.cache.__getitem__, CPU)[0].int()
        assert (image - alone).abs().max() <= 1


def test_a_half_turned_pixel_pattern() -> None:
    """A column of the result lies between two columns of the image: their mean, grey outside."""
    image = torch.arange(0, 240, 10, dtype=torch.uint8).reshape(2, 4, 3)
    matrix = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    recipe = Recipe((2, 5), (Layer((Tile(0, (2, 4)),), matrix),), np.zeros((0, 4)), np.zeros(0, np.int64))
    result = render_batch([recipe], [image].__getitem__, CPU)[0].permute(1, 2, 0).int()
    padded = torch.cat([torch.full((2, 1, 3), 114), image.int(), torch.full((2, 1, 3), 114)], dim=1)
    assert torch.equal(result, (padded[:, :-1] + padded[:, 1:]) // 2)


def colours() -> NDArray[np.uint8]:
    """(512, 512, 3): every third level of blue and green with every level of red in steps, greys among them."""
    levels = np.arange(0, 256, 4)
    grid = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1)
    return grid.reshape(512, 512, 3).astype(np.uint8)


def test_hue_saturation_and_value_are_those_of_opencv() -> None:
    image = colours()
    hsv = torch.stack(_bgr_to_hsv(torch.from_numpy(image).permute(2, 0, 1)[None]), dim=-1)[0]
    np.testing.assert_array_equal(hsv.numpy(), cv2.cvtColor(image, cv2.COLOR_BGR2HSV))


@pytest.mark.parametrize("shift", [(0, 0, 0), (5, 0, 0), (-5, 0, 0), (0, 30, -30), (4, -25, 28)])
def test_shifted_colours_are_those_of_opencv(shift: tuple[int, int, int]) -> None:
    """One level at most. OpenCV's vector code cuts to whole levels, and so does torch here; where it has none, it
    rounds."""
    image = colours()
    batch = torch.from_numpy(image).permute(2, 0, 1)[None].repeat(2, 1, 1, 1)
    shifts = torch.tensor([shift, (0, 0, 0)], dtype=torch.int32)
    result = shift_hsv(batch, shifts).permute(0, 2, 3, 1).numpy().astype(int)
    for one, by in zip(result, (shift, (0, 0, 0)), strict=True):
        assert np.abs(one - shift_hsv_on_cpu(image, np.array(by))).max() <= 1


def test_images_of_the_set_stay_as_they_are(split: CocoSplit) -> None:
    data = TrainingSet(split, SIZE_HW, Augmentation(), seed=1)
    data.fill_cache(CPU)
    assert data.cache is not None
    before = [data.cache[index].clone() for index in range(len(data))]
    recipes = [data.draw(SampleRequest(0, 0, mosaic=False)), data.draw(SampleRequest(1, 1, mosaic=True))]
    render_batch(recipes, data.cache.__getitem__, CPU).zero_()
    assert all(torch.equal(data.cache[index], image) for index, image in enumerate(before))


def test_on_a_gpu(split: CocoSplit) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    data = TrainingSet(split, SIZE_HW, Augmentation(), seed=1)
    data.fill_cache(torch.device("cuda"))
    assert data.cache is not None
    recipes = [data.draw(SampleRequest(number, number, mosaic=True)) for number in range(10)]
    images = render_batch(recipes, data.cache.__getitem__, data.cache.device).cpu().int()
    expected = render_batch(recipes, lambda index: data.cache[index].cpu(), CPU).int()
    assert (images - expected).abs().float().mean() < 0.1
