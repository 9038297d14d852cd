"""Thresholds and non-maximum suppression: the rows of YOLOX's `postprocess`, in a fraction of the time.

YOLOX turns every anchor's box into corners and looks for its best class before it drops those that saw nothing. Class
probabilities are at most 1, so anchors whose objectness alone lies below the threshold can go first: nearly all.
"""

import torch
from torch import Tensor
from torchvision.ops import batched_nms, nms


def suppress(
    outputs: Tensor, score_threshold: float, nms_threshold: float, class_agnostic: bool = False
) -> list[Tensor]:
    """The boxes of each image that remain, best score first.

    Args:
        outputs: (B, A, 5 + classes), decoded: centre x, centre y, width, height, then objectness and class
            probabilities in [0, 1]. It is left as it is.
        score_threshold: boxes with a lower score (objectness times class probability) are dropped.
        nms_threshold: of two boxes with a greater IoU, the one with the lower score is dropped.
        class_agnostic: across the classes; otherwise each class on its own.

    Returns:
        One (n, 7) tensor an image: x1, y1, x2, y2, objectness, class probability, class.
    """
    return [_suppress_image(rows, score_threshold, nms_threshold, class_agnostic) for rows in outputs]


def _suppress_image(rows: Tensor, score_threshold: float, nms_threshold: float, class_agnostic: bool) -> Tensor:
    rows = rows[rows[:, 4] >= score_threshold]
    class_scores, labels = rows[:, 5:].max(dim=1, keepdim=True)
    centres, halves = rows[:, :2], rows[:, 2:4] / 2
    rows = torch.cat((centres - halves, centres + halves, rows[:, 4:5], class_scores, labels), dim=1)
    scores = rows[:, 4] * rows[:, 5]
    keep = scores >= score_threshold
    rows, scores = rows[keep], scores[keep]
    if class_agnostic:
        return rows[nms(rows[:, :4], scores, nms_threshold)]
    return rows[batched_nms(rows[:, :4], scores, rows[:, 6], nms_threshold)]
