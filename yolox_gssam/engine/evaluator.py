"""Average precision of a network on one split of a data set, with the hooks of YOLOX's `COCOEvaluator`."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import distributed as dist
from yolox.models import YOLOX

from yolox_gssam.data.coco_reader import CocoSplit
from yolox_gssam.evaluation.coco_metrics import evaluate_coco
from yolox_gssam.evaluation.prediction import predict_split
from yolox_gssam.inference.backends.pytorch import TorchBackend
from yolox_gssam.inference.predictor import Predictor


@dataclass(eq=False)
class DroneEvaluator:
    """Runs a network over a split and measures AP, on any device.

    Several processes share the batches that one process would make, so that each image is seen once and the numbers are
    those of one process.

    Args:
        test_size, score_threshold, nms_threshold: see `Predictor`; keep the score low (0.01), AP needs the tail.
        batch_size, workers: see `predict_split`.
    """

    split: CocoSplit
    test_size: tuple[int, int]
    score_threshold: float
    nms_threshold: float
    batch_size: int
    workers: int

    def evaluate(
        self,
        model: YOLOX,
        distributed: bool = False,
        half: bool = False,
        trt_file: None = None,
        decoder: None = None,
        test_size: Any = None,
    ) -> tuple[float, float, str]:
        """Returns mAP50:95, AP50 (both in [0, 1]) and a line for people. TensorRT is not supported here.

        Where `distributed`, all processes call this, and the first one's result is the one that counts.
        """
        device = next(model.parameters()).device
        predictor = Predictor(
            TorchBackend(model, torch.device(device), half),
            self.split.classes,
            test_size or self.test_size,
            self.score_threshold,
            self.nms_threshold,
        )
        share = share_of_split(self.split, self.batch_size) if distributed else self.split
        detections = predict_split(predictor, share, self.batch_size, self.workers)
        if distributed:
            gathered: list[Any] | None = [None] * dist.get_world_size() if dist.get_rank() == 0 else None
            dist.gather_object(detections, gathered)
            if gathered is None:
                return 0.0, 0.0, "measured by the first process"
            detections = {image_id: found for share in gathered for image_id, found in share.items()}
        accuracy = evaluate_coco(self.split, detections).overall
        ap, ap50 = accuracy.ap or 0.0, accuracy.ap50 or 0.0
        return ap, ap50, f"mAP50:95 {100 * ap:.2f} %, AP50 {100 * ap50:.2f} %"


def share_of_split(split: CocoSplit, batch_size: int) -> CocoSplit:
    """The images of every n-th batch, where n processes share a split: each image is in the share of one of them."""
    turns = [(index // batch_size) % dist.get_world_size() for index in range(len(split.images))]
    rank = dist.get_rank()
    return replace(split, images=tuple(i for i, turn in zip(split.images, turns, strict=True) if turn == rank))
