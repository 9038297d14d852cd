"""Decoded images in memory: whether there is room, and that processes share them."""

import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from loguru import logger
from torch.utils.data import DataLoader

from yolox_gssam.data import cache as caching
from yolox_gssam.data.augmentation import Augmentation
from yolox_gssam.data.cache import ImageCache, choose_cache
from yolox_gssam.data.coco_reader import CocoSplit
from yolox_gssam.data.labelled import LabelledImage
from yolox_gssam.data.training_set import SampleRequest, TrainingSet, collate

CPU = torch.device("cpu")
GPU = torch.device("cuda", 0)
GIB = 2**30


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What is logged, each line with its level."""
    lines: list[str] = []
    handler = logger.add(lambda message: lines.append(str(message).strip()), format="{level} {message}")
    yield lines
    logger.remove(handler)


def test_images_come_back_as_they_were_read() -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in ((4, 5), (1, 1), (7, 2))]
    cache = ImageCache([image.shape[:2] for image in images], CPU)
    cache.fill(images.__getitem__)
    assert len(cache) == 3
    for index, image in enumerate(images):
        np.testing.assert_array_equal(cache[index], image)


def test_an_image_that_cannot_be_read_ends_the_reading() -> None:
    read = []

    def fail(index: int) -> np.ndarray:
        read.append(index)
        raise ValueError("damaged")

    with pytest.raises(ValueError, match="damaged"):
        ImageCache([(1, 1)] * 10_000, CPU).fill(fail)
    assert len(read) <= (os.cpu_count() or 1)


@pytest.mark.parametrize(
    ("kind", "device", "free", "expected", "warnings"),
    [
        pytest.param(None, CPU, {"cpu": 0}, None, [], id="not asked for"),
        pytest.param("ram", CPU, {"cpu": 4 * GIB}, "ram", [], id="room"),
        pytest.param("ram", CPU, {"cpu": None}, "ram", [], id="nobody knows"),
        pytest.param(
            "ram",
            CPU,
            {"cpu": 3.9 * GIB},
            None,
            [
                "--cache ram: 1,234 decoded images take 3.00 GiB, more than 75% of the 3.90 GiB free on cpu: they are "
                "read anew each time"
            ],
            id="no room",
        ),
        pytest.param("gpu", GPU, {"cuda": 6 * GIB, "cpu": 0}, "gpu", [], id="room on the device"),
        pytest.param(
            "gpu",
            GPU,
            {"cuda": 5.9 * GIB, "cpu": 9 * GIB},
            "ram",
            [
                "--cache gpu: 1,234 decoded images take 3.00 GiB, more than 50% of the 5.90 GiB free on cuda:0: main "
                "memory is tried"
            ],
            id="no room on the device",
        ),
    ],
)
def test_where_the_images_are_kept(
    kind: caching.CacheKind | None,
    device: torch.device,
    free: dict[str, float | None],
    expected: str | None,
    warnings: list[str],
    said: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(caching, "free_bytes", lambda where: free[where.type])
    assert choose_cache(kind, 1234, 3 * GIB, device) == expected
    assert [line for line in said if line.startswith("WARNING")] == [f"WARNING {line}" for line in warnings]
    kept = [line for line in said if line.startswith("INFO")]
    assert len(kept) == (expected is not None)
    assert all(line.startswith("INFO keeping 1,234 decoded images on ") and "3.00 GiB of" in line for line in kept)


def test_each_process_of_a_run_takes_its_part(said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caching, "free_bytes", lambda where: 4 * GIB)
    assert choose_cache("ram", 10, 2 * GIB, CPU, processes=2) is None
    assert "10 decoded images in each of 2 processes take 4.00 GiB" in said[0]


def test_memory_is_shared_where_processes_are_not_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not ImageCache([(2, 2)], CPU)[0].is_shared()
    monkeypatch.setattr(caching.multiprocessing, "get_start_method", lambda: "spawn")
    assert ImageCache([(2, 2)], CPU)[0].is_shared()


def test_spawned_loaders_read_the_same_memory(tmp_path: Path) -> None:
    """What is written here after they have started is what they give."""
    cv2.imwrite(str(tmp_path / "0.png"), np.zeros((32, 32, 3), np.uint8))
    image = LabelledImage("0.png", 32, 32, np.zeros((0, 4)), np.zeros(0, np.int64), image_id=1)
    split = CocoSplit(tmp_path / "train.json", tmp_path, ("drone",), (1,), (image,))
    data = TrainingSet(split, (32, 32), Augmentation(mosaic_prob=0.0, hsv_prob=0.0, flip_prob=0.0), seed=0)
    data.fill_cache(CPU)
    assert data.cache is not None
    batches = [[SampleRequest(0, number, mosaic=False)] for number in range(4)]
    loader = DataLoader(
        data,
        batch_sampler=batches,
        num_workers=1,
        prefetch_factor=1,
        collate_fn=collate,
        multiprocessing_context="spawn",
    )
    values = []
    for images, _ in loader:
        values.append(int(images.max()))
        data.cache[0].fill_(200)
    assert values[0] == 0
    assert values[-1] == 200
