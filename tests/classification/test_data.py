"""Labelled images and their batches."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from yolox_gssam.classification.data import EpochBatches, LabelledImages, normalised
from yolox_gssam.common.errors import UserError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for label in ("bird", "drone"):
        (tmp_path / "train" / label).mkdir(parents=True)
        for number in range(3):
            pixels = rng.integers(0, 256, (80, 100, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "train" / label / f"{number}.png")
    return tmp_path


def test_an_image_is_cut_in_the_middle(folder: Path) -> None:
    images = LabelledImages(folder, "train", 80)
    assert (images.class_names, images.labels) == (["bird", "drone"], [0, 0, 0, 1, 1, 1])
    image, label = images[0, 4]
    expected = np.asarray(Image.open(folder / "train" / "drone" / "1.png"))[:, 10:90]
    np.testing.assert_array_equal(image.numpy(), expected.transpose(2, 0, 1))
    assert label == 1


def test_augmentation_is_a_function_of_seed_and_number(folder: Path) -> None:
    """Whatever was drawn before, and without a trace in torch's own generator."""
    images, again, other = (LabelledImages(folder, "train", 64, seed) for seed in (1, 1, 2))
    state = torch.get_rng_state()
    first = images[7, 0][0]
    assert torch.equal(torch.get_rng_state(), state)
    again[3, 2]
    assert torch.equal(again[7, 0][0], first)
    assert not torch.equal(images[8, 0][0], first)
    assert not torch.equal(other[7, 0][0], first)
    assert first.shape == (3, 64, 64)


def test_epochs_hold_every_image_once_and_can_be_entered_anywhere() -> None:
    batches = EpochBatches(10, 3, seed=0)
    assert len(batches) == 3
    orders = []
    for epoch in (0, 1):
        batches.set_epoch(epoch)
        whole = list(batches)
        assert [number for batch in whole for number, _ in batch] == [10 * epoch + place for place in range(9)]
        indices = [index for batch in whole for _, index in batch]
        assert len(set(indices)) == 9
        batches.set_epoch(epoch, first_batch=2)
        assert list(batches) == whole[2:]
        orders.append(indices)
    assert orders[0] != orders[1]


def test_without_a_seed_the_order_is_that_of_the_paths() -> None:
    assert [index for batch in EpochBatches(5, 2) for _, index in batch] == [0, 1, 2, 3, 4]
    assert len(EpochBatches(2, 64, seed=0)) == 1


def test_normalised_is_torchvisions() -> None:
    image = torch.tensor([0, 128, 255], dtype=torch.uint8).view(1, 3, 1, 1)
    expected = [-0.485 / 0.229, (128 / 255 - 0.456) / 0.224, (1 - 0.406) / 0.225]
    torch.testing.assert_close(normalised(image, torch.device("cpu")).flatten(), torch.tensor(expected))


def test_other_data_has_another_hash(folder: Path) -> None:
    before = LabelledImages(folder, "train", 64).hash()
    assert LabelledImages(folder, "train", 80).hash() == before
    (folder / "train" / "bird" / "0.png").unlink()
    assert LabelledImages(folder, "train", 64).hash() != before


def test_folders_without_images_are_refused(folder: Path) -> None:
    with pytest.raises(UserError, match="needed are <split>/<class>/<image>"):
        LabelledImages(folder, "val", 64)
    (folder / "train" / "plane").mkdir()
    with pytest.raises(UserError, match="plane"):
        LabelledImages(folder, "train", 64)
