"""What an experiment is trained and validated on, as it was when the run began."""

from typing import Any, cast

import torch
from loguru import logger

from yolox_gssam.common.errors import UserError
from yolox_gssam.data.cache import CacheKind
from yolox_gssam.data.coco_reader import CocoSplit
from yolox_gssam.data.snapshot import Snapshot
from yolox_gssam.data.training_set import TrainingSet
from yolox_gssam.engine.identity import joint_hash
from yolox_gssam.engine.protocol import Experiment


class TrainingData:
    """Batches of the training split and the evaluator of the validation split.

    Args:
        batch_size: images per step over all processes.
        cache: "ram" or "gpu"; True, as YOLOX's own tool says it, is "ram"; None or False for none.

    Attributes:
        loader: batches of the epoch chosen.
        evaluator: of `exp.get_evaluator`.

    Raises:
        UserError: an evaluator of the exp file's own, data that cannot be read, or no training image has an object.
    """

    def __init__(self, exp: Experiment, batch_size: int, cache: str | bool | None, device: torch.device) -> None:
        kind = cast(CacheKind | None, "ram" if cache is True else cache or None)
        self.loader, self.sampler = exp.get_training_data(batch_size, kind, device)
        self.evaluator: Any = exp.get_evaluator(batch_size, torch.distributed.is_initialized())
        if not hasattr(self.evaluator, "split"):
            raise UserError(
                f"{exp.exp_name}: get_evaluator gives a {type(self.evaluator).__name__}; give a DroneEvaluator (of "
                f"yolox_gssam.engine.evaluator), or leave get_evaluator out"
            )
        self.training_set = cast(TrainingSet, self.loader.dataset)
        self.snapshots = [Snapshot(split) for split in (self.training_set.split, self.evaluator.split)]
        self.training_set.snapshot = self.snapshots[0]
        _describe(self.training_set.split)

    def hash(self) -> str:
        return joint_hash(snapshot.hash() for snapshot in self.snapshots)

    def begin_epoch(self, epoch: int, *, mosaic: bool, first_batch: int) -> None:
        """Chooses what `loader` gives next.

        Raises:
            UserError: an annotation file is no longer as it was when the run began.
        """
        for snapshot in self.snapshots:
            snapshot.check_annotations()
        self.sampler.set_epoch(epoch, mosaic=mosaic, first_batch=first_batch)

    def image_names(self, batch: int) -> list[str]:
        """File names of all images of this process's share of a batch of the epoch, from 0."""
        requests = self.sampler.batch(batch)
        return sorted({name for request in requests for name in self.training_set.image_names(request)})


def _describe(split: CocoSplit) -> None:
    """Says before the first epoch what of the data will surprise later; images without any object are refused."""
    counts = [0] * len(split.classes)
    for image in split.images:
        for label in image.labels:
            counts[int(label)] += 1
    if not sum(counts):
        raise UserError(f"{split.path}: not one of its {len(split.images)} images has an object; label some")
    empty = sum(not len(image.labels) for image in split.images)
    logger.info(f"{len(split.images)} training images with {sum(counts)} objects, {empty} without any (negatives)")
    missing = [name for name, count in zip(split.classes, counts, strict=True) if not count]
    if missing:
        logger.warning(f"{split.path}: no object of class {', '.join(missing)}: the network cannot learn it")
