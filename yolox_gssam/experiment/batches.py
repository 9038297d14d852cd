"""Where an experiment's data lie, and the batches made of them."""

import os
from pathlib import Path
from typing import Any

import cv2
import torch
from torch.utils.data import DataLoader
from yolox.utils import get_world_size, synchronize

from yolox_gssam.common.errors import UserError
from yolox_gssam.data.cache import CacheKind, choose_cache
from yolox_gssam.data.coco_reader import CocoSplit, load_split
from yolox_gssam.data.device_loader import DeviceLoader
from yolox_gssam.data.training_set import TrainingSampler, TrainingSet, collate


def find_split(root: Path, name: str, file_name: str, fold: int | None) -> CocoSplit:
    """The split "train", "val" or "test" of a data set, from annotations/ or the folder of a fold in it."""
    if not root.is_dir():
        raise UserError(f"{root}: no such data set; make one with tools/prepare_dataset.py or set data_dir")
    annotations = root / "annotations"
    if fold is not None:
        annotations = annotations / f"fold{fold}"
        if not annotations.is_dir():
            found = len(list(root.glob("annotations/fold*")))
            has = f"has {found}: set fold to 0 to {found - 1}" if found else "has none: make it with --folds 5"
            raise UserError(f"{root}: no fold {fold}; the data set {has}, or fold to None for its own splits")
    images = root / "images"
    if not images.is_dir() and (root / f"{name}2017").is_dir():
        images = root / f"{name}2017"  # as COCO itself and YOLOX have it
    return load_split(annotations / file_name, images)


def make_batches(
    dataset: TrainingSet, sampler: TrainingSampler, cache: CacheKind | None, device: torch.device, workers: int
) -> DataLoader[Any] | DeviceLoader:
    """Batches of a training set, images (B, 3, H, W) uint8 and targets (B, n, 5), see `collate`.

    Args:
        cache: where the decoded images are kept, if there is room for them: "ram" or, on the device, "gpu", where the
            batches are then made as well.
        workers: processes that load images; 0: this one.
    """
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", get_world_size()))
    cache = choose_cache(cache, len(dataset), dataset.cache_bytes(), device, processes)
    synchronize()  # no process fills its cache before the others have seen how much is free
    if cache is not None:
        dataset.fill_cache(device if cache == "gpu" else torch.device("cpu"))
    if cache == "gpu":
        return DeviceLoader(dataset, sampler)
    return DataLoader(
        dataset,
        batch_sampler=sampler,
        num_workers=workers,
        persistent_workers=workers > 0,
        worker_init_fn=_prepare_loader_process,
        collate_fn=collate,
        pin_memory=torch.cuda.is_available(),
        # Its own: beginning an epoch draws from it, which a run resumed within an epoch does once more.
        generator=torch.Generator().manual_seed(dataset.seed),
    )


def _prepare_loader_process(worker_id: int) -> None:
    """One thread per loader process: they are as many as the cores already.

    It leaves the group of processes that Ctrl-C and `kill` of a whole group reach: the training process saves first,
    and ends its loaders then.
    """
    if hasattr(os, "setpgrp"):
        os.setpgrp()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
