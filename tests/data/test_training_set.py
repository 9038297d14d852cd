"""Training batches: what is asked for is what comes, whoever loads it."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from yolox_gssam.common.errors import UserError
from yolox_gssam.data.augmentation import Augmentation
from yolox_gssam.data.coco_reader import CocoSplit
from yolox_gssam.data.labelled import LabelledImage
from yolox_gssam.data.training_set import SampleRequest, TrainingSampler, TrainingSet, collate

PLAIN = Augmentation(mosaic_prob=0.0, hsv_prob=0.0, flip_prob=0.0)


@pytest.fixture
def split(tmp_path: Path) -> CocoSplit:
    """Ten noisy images of 60 x 80; image i has i boxes."""
    rng = np.random.default_rng(0)
    images = []
    for i in range(10):
        cv2.imwrite(str(tmp_path / f"{i}.png"), rng.integers(0, 256, (60, 80, 3), dtype=np.uint8))
        corners = rng.uniform(0, 40, (i, 2))
        boxes = np.hstack([corners, corners + rng.uniform(5, 20, (i, 2))])
        images.append(LabelledImage(f"{i}.png", 80, 60, boxes, rng.integers(0, 2, i), image_id=i + 1))
    return CocoSplit(tmp_path / "train.json", tmp_path, ("bird", "drone"), (1, 2), tuple(images))


def test_sampler_gives_every_image_once_an_epoch_in_another_order() -> None:
    sampler = TrainingSampler(12, batch_size=4, seed=7)
    orders = []
    for epoch in range(2):
        sampler.set_epoch(epoch, mosaic=True)
        batches = list(sampler)
        assert [len(batch) for batch in batches] == [4, 4, 4]
        orders.append([request.image_index for batch in batches for request in batch])
        assert sorted(orders[-1]) == list(range(12))
        assert [r.number for batch in batches for r in batch] == list(range(12 * epoch, 12 * epoch + 12))
    assert orders[0] != orders[1]


def test_sampler_repeats_a_set_smaller_than_a_batch() -> None:
    (batch,) = TrainingSampler(3, batch_size=8, seed=0)
    assert len(batch) == 8
    assert {request.image_index for request in batch} == {0, 1, 2}


def test_two_processes_together_see_what_one_sees() -> None:
    whole = list(TrainingSampler(13, batch_size=6, seed=1))
    shares = [list(TrainingSampler(13, batch_size=6, seed=1, rank=rank, world_size=2)) for rank in range(2)]
    assert [first + second for first, second in zip(*shares, strict=True)] == whole


def test_batch_that_cannot_be_shared_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple of the number of processes"):
        TrainingSampler(10, batch_size=5, seed=0, world_size=2)


def test_plain_sample_is_the_letterboxed_image_and_its_boxes(split: CocoSplit) -> None:
    from yolox.data.data_augment import preproc

    image, targets = TrainingSet(split, (64, 96), PLAIN, seed=0)[SampleRequest(3, 0, mosaic=False)]
    expected, scale = preproc(cv2.imread(str(split.image_dir / "3.png")), (64, 96))
    np.testing.assert_array_equal(image, expected)
    boxes = split.images[3].boxes_xyxy * scale
    np.testing.assert_array_equal(targets[:, 0], split.images[3].labels)
    np.testing.assert_allclose(targets[:, 1:3] - targets[:, 3:] / 2, boxes[:, :2], rtol=1e-5)
    np.testing.assert_allclose(targets[:, 1:3] + targets[:, 3:] / 2, boxes[:, 2:], rtol=1e-5)


@pytest.mark.parametrize("mosaic", [pytest.param(True, id="mosaic"), pytest.param(False, id="plain")])
def test_sample_depends_on_seed_and_number_only(split: CocoSplit, mosaic: bool) -> None:
    def image_of(seed: int, number: int) -> np.ndarray:
        return TrainingSet(split, (64, 96), Augmentation(), seed)[SampleRequest(3, number, mosaic)][0]

    np.testing.assert_array_equal(image_of(0, 5), image_of(0, 5))
    # Several, since a draw may well leave an image as it is.
    assert any((image_of(0, 5) != image_of(0, number)).any() for number in range(6, 12))
    assert any((image_of(0, 5) != image_of(seed, 5)).any() for seed in range(1, 6))


def test_crops_have_their_size_and_an_object(split: CocoSplit) -> None:
    data = TrainingSet(split, (64, 96), Augmentation(mosaic_prob=0.0), seed=0, crop_size=(32, 64))
    for number in range(20):
        image, targets = data[SampleRequest(number % 10, number, mosaic=True)]
        assert image.shape == (3, 32, 64)
        assert len(targets) > 0 or number % 10 == 0


def test_cache_changes_nothing(split: CocoSplit) -> None:
    read = TrainingSet(split, (64, 96), Augmentation(), seed=0)
    cached = TrainingSet(split, (64, 96), Augmentation(), seed=0)
    cached.fill_cache(torch.device("cpu"))
    for number in range(10):
        request = SampleRequest(number, number, mosaic=True)
        for from_disk, from_memory in zip(read[request], cached[request], strict=True):
            np.testing.assert_array_equal(from_disk, from_memory)


@pytest.mark.parametrize("cache", [pytest.param(False, id="read"), pytest.param(True, id="cached")])
def test_workers_change_nothing(split: CocoSplit, cache: bool) -> None:
    data = TrainingSet(split, (64, 96), Augmentation(), seed=0)
    if cache:
        data.fill_cache(torch.device("cpu"))
    loaders = [
        DataLoader(data, batch_sampler=TrainingSampler(10, 4, 0), num_workers=workers, collate_fn=collate)
        for workers in (0, 2)
    ]
    for one, two in zip(*loaders, strict=True):
        assert torch.equal(one[0], two[0])
        assert torch.equal(one[1], two[1])


def test_an_image_of_another_size_than_stated_is_refused(split: CocoSplit) -> None:
    cv2.imwrite(str(split.image_dir / "3.png"), np.zeros((60, 79, 3), np.uint8))
    with pytest.raises(UserError, match=r"3\.png: is 79 x 60, stated are 80 x 60"):
        TrainingSet(split, (64, 96), PLAIN, seed=0)[SampleRequest(3, 0, mosaic=False)]


def test_collate_drops_no_box(split: CocoSplit) -> None:
    data = TrainingSet(split, (64, 96), PLAIN, seed=0)
    samples = [data[SampleRequest(index, 0, mosaic=False)] for index in (0, 9, 2)]
    images, targets = collate(samples)
    assert images.shape == (3, 3, 64, 96)
    assert images.dtype == torch.uint8
    assert images.is_contiguous(memory_format=torch.channels_last)
    for image, (expected, _) in zip(images, samples, strict=True):
        np.testing.assert_array_equal(image, expected)
    assert targets.shape == (3, 9, 5)
    assert [(row[:, 3] > 0).sum().item() for row in targets] == [0, 9, 2]


def test_collate_of_images_without_objects() -> None:
    images, targets = collate([(np.zeros((3, 8, 8), np.uint8), np.zeros((0, 5), np.float32))] * 2)
    assert images.shape == (2, 3, 8, 8)
    assert torch.equal(targets, torch.zeros(2, 1, 5))
