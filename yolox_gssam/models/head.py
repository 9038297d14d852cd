"""YOLOX's head with losses of the whole batch at once, which several processes share rightly and which survive numbers
that are not finite."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch import distributed as dist
from yolox.models import YOLOXHead
from yolox.utils import get_world_size

from yolox_gssam.models.assignment import Assignment, Grid, anchor_centres, assign, take_anchors

IOU_LOSS_WEIGHT = 5.0


class DroneHead(YOLOXHead):
    """The stock head: weights and outputs are YOLOX's own, and in one process, but for rounding, so are the losses.

    Attributes:
        static_shapes: train with all anchors as candidates, so that no shape depends on the values and nothing waits
            for the device. The losses are the same; outputs that are not finite show in them alone.
    """

    static_shapes = False

    def forward(self, xin: Sequence[Tensor], labels: Tensor | None = None, imgs: Tensor | None = None) -> Any:
        """YOLOX's: losses as `get_losses` in training, decoded outputs (B, A, 5 + classes) otherwise.

        Args:
            xin: the neck's features (B, C, H, W), one for each of `strides`.
            labels: (B, n, 5), in training.
            imgs: the images; not used.
        """
        if not self.training or labels is None:
            return super().forward(xin, labels, imgs)
        outputs, raw_boxes, grids = [], [], []
        for level, (features, stride) in enumerate(zip(xin, self.strides, strict=True)):
            features = self.stems[level](features)
            of_boxes = self.reg_convs[level](features)
            parts = (
                self.reg_preds[level](of_boxes),
                self.obj_preds[level](of_boxes),
                self.cls_preds[level](self.cls_convs[level](features)),
            )
            raw = torch.cat(parts, dim=1).flatten(2).mT  # (B, H W, 5 + classes)
            grids.append(Grid(features.shape[2], features.shape[3], stride))
            raw_boxes.append(raw[..., :4])
            outputs.append(_decode(raw, grids[-1]))
        return self.get_losses(torch.cat(outputs, dim=1), labels, torch.cat(raw_boxes, dim=1), grids)

    def get_losses(self, outputs: Tensor, labels: Tensor, raw_boxes: Tensor, grids: Sequence[Grid]) -> tuple[Any, ...]:
        """YOLOX's (total, IoU, objectness, class, L1 loss, matched anchors an object), with three differences.

        - Outputs (B, anchors, 5 + classes) that are not finite give losses of NaN. YOLOX's matching of anchors and
          objects fails on them, on a GPU in a way that ends the process.
        - Of several processes each divides by the mean number of matched anchors over all of them, not by its own, so
          that the mean of their gradients is the gradient of the whole batch.
        - Whatever the type of the outputs, it computes in float32.

        Args:
            outputs: (B, A, 5 + classes), boxes decoded to pixels, the rest logits.
            labels: (B, n, 5), rows without an object are zero.
            raw_boxes: (B, A, 4), the boxes before they are decoded.
            grids: the levels, A anchors in all.
        """
        assignment = assign(outputs, labels, grids, static_shapes=self.static_shapes)
        if assignment is None:
            _mean_over_processes(outputs.new_zeros(()))  # the others wait for it
            lost = (outputs * 0).sum()  # not a constant: every process must have a gradient to share
            return lost, lost, lost, lost, lost, 0.0
        with torch.autocast(outputs.device.type, enabled=False):
            outputs, labels = outputs.float(), labels.float()
            losses = self._sum_losses(outputs, labels, assignment, raw_boxes.float() if self.use_l1 else None, grids)
            matched = assignment.is_matched.sum()
            objects = (labels.sum(dim=2) > 0).sum()
            iou, objectness, classes, l1 = losses / _mean_over_processes(matched)
            total = iou + objectness + classes + l1
        return total, iou, objectness, classes, l1, matched.clamp(min=1) / objects.clamp(min=1)

    def _sum_losses(
        self, outputs: Tensor, labels: Tensor, assignment: Assignment, raw_boxes: Tensor | None, grids: Sequence[Grid]
    ) -> Tensor:
        """(4,): the IoU loss with its weight, objectness, class and L1 loss, each summed over the batch.

        Args:
            raw_boxes: (B, anchors, 4), the boxes as the network gives them; None for an L1 loss of 0.
        """
        size = outputs.shape[1]
        anchors, is_matched = assignment.anchors, assignment.is_matched[..., None]
        objectness = outputs.new_zeros(len(outputs), size + 1).scatter_(1, anchors, assignment.is_matched.float())
        loss_objectness = F.binary_cross_entropy_with_logits(outputs[..., 4], objectness[:, :size], reduction="sum")

        indices = anchors.clamp(max=size - 1)
        # What is not matched is a box and logits of 1 here and left out of the sums: no gradient passes there, not even
        # one that is not finite.
        candidates = torch.where(is_matched, take_anchors(outputs, indices), 1.0)
        targets = labels.gather(1, assignment.objects[..., None].expand(-1, -1, 5))  # (B, C, 5)
        boxes, classes = targets[..., 1:], targets[..., :1]

        def total(losses: Tensor) -> Tensor:
            return torch.where(is_matched, losses, 0.0).sum()

        loss_iou = total(_iou_losses(candidates[..., :4], boxes)[..., None])
        is_class = classes == torch.arange(self.num_classes, device=classes.device)
        loss_class = total(
            F.binary_cross_entropy_with_logits(
                candidates[..., 5:], is_class * assignment.ious[..., None], reduction="none"
            )
        )
        loss_l1 = torch.zeros_like(loss_iou)
        if raw_boxes is not None:
            centres, strides = anchor_centres(grids, outputs.device)
            strides = strides[indices][..., None]  # (B, C, 1)
            shifts = centres[indices] / strides - 0.5
            wanted = torch.cat((boxes[..., :2] / strides - shifts, (boxes[..., 2:] / strides + 1e-8).log()), dim=2)
            loss_l1 = total(self.l1_loss(take_anchors(raw_boxes, indices), wanted))
        return torch.stack((IOU_LOSS_WEIGHT * loss_iou, loss_objectness, loss_class, loss_l1))


def _iou_losses(boxes_cxcywh: Tensor, targets_cxcywh: Tensor) -> Tensor:
    """(B, C, 4) each -> (B, C), YOLOX's 1 - IoU^2. Its own takes products by `prod`, whose gradient waits for the
    device."""
    overlap = torch.ones((), device=boxes_cxcywh.device)
    for axis in (0, 1):
        middle, side = boxes_cxcywh[..., axis], boxes_cxcywh[..., 2 + axis] / 2
        target_middle, target_side = targets_cxcywh[..., axis], targets_cxcywh[..., 2 + axis] / 2
        low = torch.maximum(middle - side, target_middle - target_side)
        overlap = overlap * (torch.minimum(middle + side, target_middle + target_side) - low).clamp(min=0)
    areas = (part[..., 2] * part[..., 3] for part in (boxes_cxcywh, targets_cxcywh))
    return 1 - (overlap / (sum(areas) - overlap + 1e-16)) ** 2


def _decode(raw: Tensor, grid: Grid) -> Tensor:
    """(B, H W, 5 + classes) of one level -> the same with boxes as centre x, centre y, width, height in pixels."""
    y, x = torch.meshgrid(*(torch.arange(n, device=raw.device) for n in grid[:2]), indexing="ij")
    cells = torch.stack((x, y), dim=2).view(-1, 2).to(raw.dtype)
    centres = (raw[..., :2] + cells) * grid.stride
    return torch.cat((centres, raw[..., 2:4].exp() * grid.stride, raw[..., 4:]), dim=2)


def _mean_over_processes(count: Tensor) -> Tensor:
    """The mean over all processes of a count, float32; of a sum of 0 as if it were 1."""
    total = count.float()
    if get_world_size() > 1:
        dist.all_reduce(total)
    return total.clamp(min=1) / get_world_size()
