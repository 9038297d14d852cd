"""YOLOX's head with losses that several processes share rightly and that survive numbers that are not finite."""

from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist
from yolox.models import YOLOXHead
from yolox.utils import get_world_size


class DroneHead(YOLOXHead):
    """The stock head; its weights, outputs and, in one process, its losses are YOLOX's own."""

    def get_losses(
        self,
        imgs: Tensor,
        x_shifts: list[Tensor],
        y_shifts: list[Tensor],
        expanded_strides: list[Tensor],
        labels: Tensor,
        outputs: Tensor,
        origin_preds: list[Tensor],
        dtype: torch.dtype,
    ) -> tuple[Any, ...]:
        """YOLOX's (total, IoU, objectness, class, L1 loss, matched anchors an object), with two differences.

        - Outputs (B, anchors, 5 + classes) that are not finite give losses of NaN. YOLOX's matching of anchors and
          objects fails on them, on a GPU in a way that ends the process.
        - Of several processes each divides by the mean number of matched anchors over all of them, not by its own, so
          that the mean of their gradients is the gradient of the whole batch.
        """
        if not bool(torch.isfinite(outputs).all()):
            lost = (outputs * 0).sum()  # not a constant: every process must have a gradient to share
            return lost, lost, lost, lost, lost, 0.0
        losses = super().get_losses(imgs, x_shifts, y_shifts, expanded_strides, labels, outputs, origin_preds, dtype)
        if get_world_size() == 1:
            return tuple(losses)
        objects = int((labels.sum(dim=2) > 0).sum())  # as YOLOX counts them
        matched = round(float(losses[-1]) * objects)
        total = torch.tensor(float(matched), device=outputs.device)
        dist.all_reduce(total)
        factor = max(matched, 1) * get_world_size() / max(float(total), 1.0)
        return (*(loss * factor for loss in losses[:-1]), losses[-1])
