"""From the candidates of a batch to the detections of each image: score threshold and NMS, as YOLOX's `postprocess`."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.ops import batched_nms, nms

from yolox_gssam.detections import Detections


def choose_detections(
    candidates: Tensor, ratios: Sequence[float], score_threshold: float, nms_threshold: float, class_agnostic: bool
) -> list[Detections]:
    """Keeps, of boxes that overlap, the one with the best score.

    Args:
        candidates: (n, 6 + classes) as `yolox_gssam.models.inference.InferenceYOLOX` gives them.
        ratios: for each of the B images, the factor from its pixels to those of the network's input.
        score_threshold: least score, objectness times the probability of the best class.
        nms_threshold: of two boxes with a greater IoU, the one with the lower score goes.
        class_agnostic: compare boxes of all classes; otherwise of each class on its own.

    Returns:
        B detections, best score first, in pixels of the original images.
    """
    # A network that diverged can give a box of infinite size, which says nothing.
    rows = candidates[torch.isfinite(candidates).all(dim=1)]
    probabilities, labels = rows[:, 6:].max(dim=1)
    scores = rows[:, 5] * probabilities
    halves = rows[:, 3:5] / 2
    boxes = torch.cat((rows[:, 1:3] - halves, rows[:, 1:3] + halves), dim=1)
    reached = scores >= score_threshold
    found = []
    for number, ratio in enumerate(ratios):
        of_image = reached if len(ratios) == 1 else reached & (rows[:, 0] == number)
        image_boxes, image_scores, image_labels = boxes[of_image], scores[of_image], labels[of_image]
        if class_agnostic:
            kept = nms(image_boxes, image_scores, nms_threshold)
        else:
            kept = batched_nms(image_boxes, image_scores, image_labels, nms_threshold)
        found.append(
            Detections(
                (image_boxes[kept] / ratio).cpu().numpy(),
                image_scores[kept].cpu().numpy(),
                image_labels[kept].cpu().numpy(),
            )
        )
    return found
