"""SimOTA: which anchors learn which objects, for a whole batch at once.

Ge et al. 2021 (YOLOX, arXiv 2107.08430), section 2.1, with the numbers of YOLOX 0.3.0. An anchor is a cell of the
output grids. The candidates of an image are its anchors whose centre lies in one of its objects, or within 2.5 strides
of an object's centre along both axes. A candidate costs an object

    cost = BCE(sqrt(class probability * objectness), class) - 3 ln(IoU of its box and the object's),

and one that is both in that object and near its centre comes before all that are not. Each object claims its k cheapest
candidates, where k is the whole part of the sum of its ten largest IoUs, at least 1. An anchor that several claim goes
to the object of its image that it costs least.

YOLOX goes image by image and object by object, and waits for the device several times for each. Here it is waited for
once a batch, for the number of candidates of the image that has the most.

Where YOLOX leaves the choice open it is made here: of equal costs the anchor of the lower index, or the object of the
lower row, comes first. YOLOX puts candidates last by adding 100,000 to their cost, which cuts off its digits below
0.004 and so makes ties; here the order is by two keys, and they keep their digits. Where an image has objects and no
candidate, at which YOLOX fails, nothing is matched.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

# Half the side of the square around an object's centre, in strides.
CENTRE_RADIUS = 2.5
MOST_MATCHES = 10
IOU_WEIGHT = 3.0
# Most pairs of an object and a candidate that are compared at once, about 100 bytes each.
MAX_PAIRS = 2**21

_LAST = torch.iinfo(torch.int64).max


class Grid(NamedTuple):
    """The anchors of one level: rows x columns cells, each `stride` pixels wide and high."""

    rows: int
    columns: int
    stride: int


class Assignment(NamedTuple):
    """What the anchors of B images learn; C is the largest number of candidates that an image has.

    Attributes:
        anchors: (B, C) int64, index of each candidate among the A anchors of its image, ascending; A in the places that
            an image with fewer candidates leaves.
        is_matched: (B, C) bool, which of them have an object.
        objects: (B, C) int64, its row; any row where there is none.
        ious: (B, C) float32, the IoU with it.
    """

    anchors: Tensor
    is_matched: Tensor
    objects: Tensor
    ious: Tensor


@torch.no_grad()
def assign(outputs: Tensor, labels: Tensor, grids: Sequence[Grid], *, static_shapes: bool = False) -> Assignment | None:
    """Assigns the anchors of a batch to its objects, in float32 whatever the types are.

    Returns None if an output is not finite; with `static_shapes` any assignment then.

    Beside a few tensors of A anchors or C candidates an image, it takes 200 MB for `MAX_PAIRS` pairs of an object and a
    candidate: images are taken together as long as they have no more. An image with more is taken alone; 100 objects
    have at most 840,000 at 640 x 640 pixels, 3,400,000 with a level at stride 4.

    Args:
        outputs: (B, A, 5 + K): boxes as centre x, centre y, width, height in pixels of the network's input, then logits
            of the objectness and of K classes; anchors level by level, row by row.
        labels: (B, n, 5): class and box of each object. Rows without an object are zero and come last.
        grids: the levels, A anchors in all.
        static_shapes: C is A, so that the shapes depend on those of the arguments alone and the device is not waited
            for.
    """
    with torch.autocast(outputs.device.type, enabled=False):
        labels = labels.float()
        count = (labels.sum(dim=2) > 0).sum(dim=1, keepdim=True)  # as YOLOX counts them
        is_object = torch.arange(labels.shape[1], device=labels.device) < count  # (B, n)
        anchors = _candidates(labels[..., 1:], is_object, grids)  # (B, A)
        most = anchors.shape[1] if static_shapes else _most_candidates(outputs, anchors)
        if most is None:
            return None
        anchors = anchors[:, :most]
        if not most:
            return Assignment(anchors, anchors > 0, anchors, anchors.float())
        images = max(MAX_PAIRS // (labels.shape[1] * most), 1)
        parts = []
        for first in range(0, len(outputs), images):
            part = slice(first, first + images)
            parts.append(_match(outputs[part], labels[part], is_object[part], anchors[part], grids))
        is_matched, objects, ious = (torch.cat(values) for values in zip(*parts, strict=True))
    return Assignment(anchors, is_matched, objects, ious)


def _most_candidates(outputs: Tensor, anchors: Tensor) -> int | None:
    """How many candidates the image with the most has; None if an output is not finite. Waits for the device once."""
    number = (anchors < anchors.shape[1]).sum(dim=1).amax()
    # 0 * x is 0 for every finite x alone; isfinite takes five passes over them.
    most = int(torch.where((outputs * 0).sum() == 0, number, -1))
    return None if most < 0 else most


def _candidates(boxes_cxcywh: Tensor, is_object: Tensor, grids: Sequence[Grid]) -> Tensor:
    """(B, n, 4) boxes, (B, n) which of them count -> (B, A), the indices of each image's candidates, then A's."""
    centres, sides = boxes_cxcywh.split(2, dim=2)
    near = []
    for rows, columns, stride in grids:
        reach = torch.cat((0.5 * sides, torch.full_like(sides, CENTRE_RADIUS * stride)), dim=1)
        low, high = centres.repeat(1, 2, 1) - reach, centres.repeat(1, 2, 1) + reach  # (B, 2n, 2): boxes, squares
        inside = []
        for axis, length in enumerate((columns, rows)):
            middles = stride * (torch.arange(length, device=low.device) + 0.5)
            inside.append((middles > low[..., axis : axis + 1]) & (middles < high[..., axis : axis + 1]))
        # A cell is in a rectangle if its column and its row are; the product counts the rectangles it is in.
        in_columns, in_rows = inside[0].float(), (inside[1] & is_object.repeat(1, 2)[..., None]).float()
        near.append((in_rows.mT @ in_columns).flatten(1) > 0)
    is_near = torch.cat(near, dim=1)
    size = is_near.shape[1]
    indices = torch.arange(size, device=is_near.device).expand_as(is_near)
    places = torch.where(is_near, is_near.cumsum(dim=1) - 1, size)
    packed = indices.new_full((len(indices), size + 1), size).scatter_(1, places, indices)
    return packed[:, :size] if size else packed


def _match(
    outputs: Tensor, labels: Tensor, is_object: Tensor, anchors: Tensor, grids: Sequence[Grid]
) -> tuple[Tensor, Tensor, Tensor]:
    """Outputs (b, A, 5 + K), labels (b, n, 5), (b, n) which of them count, candidates (b, C) as in `Assignment` -> its
    is_matched, objects and ious for these images."""
    device = outputs.device
    is_pair = is_object[..., None] & (anchors < outputs.shape[1])[:, None]  # (b, n, C)
    indices = anchors.clamp(max=outputs.shape[1] - 1)
    outputs = take_anchors(outputs, indices).float()  # (b, C, 5 + K)
    ious = _pairwise_iou(labels[..., 1:], outputs[..., :4]) * is_pair
    # log(iou + 1e-8) is above 0 where rounding makes an IoU larger than 1.
    costs = (_class_costs(labels[..., 0], outputs[..., 4:]) - IOU_WEIGHT * (ious + 1e-8).log()).clamp_(min=0)

    # One number a pair, in the order of its three parts; the bits of floats from 0 on are ordered as the floats are.
    keys = costs.view(torch.int32).long() * 2**31 + torch.arange(anchors.shape[1], device=device)
    keys += ~_is_within(labels[..., 1:], indices, grids) * 2**62
    keys.masked_fill_(~is_pair, _LAST)
    most = min(MOST_MATCHES, anchors.shape[1])
    best = keys.topk(most, dim=2, largest=False)
    number = ious.topk(most, dim=2).values.sum(dim=2, keepdim=True).int().clamp(min=1)  # (b, n, 1)
    is_claim = (torch.arange(most, device=device) < number) & (best.values < _LAST)
    is_claimed = torch.zeros_like(is_pair).scatter_(2, best.indices, is_claim)
    is_contested = is_claimed.sum(dim=1, keepdim=True) > 1
    is_match = torch.where(is_contested, keys == keys.amin(dim=1, keepdim=True), is_claimed)  # (b, n, C)
    # The first row of those that match. Not argmax, which is slow along this axis.
    rows = torch.arange(len(labels[0]), 0, -1, device=device)[:, None]  # n to 1
    last = (is_match * rows).amax(dim=1)  # (b, C), 0 where none does
    objects = (len(labels[0]) - last).clamp(max=len(labels[0]) - 1)
    return last > 0, objects, ious.gather(1, objects[:, None]).squeeze(1)


def take_anchors(values: Tensor, indices: Tensor) -> Tensor:
    """(B, A, F) values, (B, C) indices of anchors -> (B, C, F)."""
    first = torch.arange(len(values), device=values.device)[:, None] * values.shape[1]
    return values.flatten(0, 1).index_select(0, (first + indices).flatten()).view(*indices.shape, values.shape[2])


def _pairwise_iou(objects_cxcywh: Tensor, boxes_cxcywh: Tensor) -> Tensor:
    """(b, n, 4), (b, C, 4) -> (b, n, C), 0 for two boxes without area."""
    overlap = torch.ones((), device=boxes_cxcywh.device)
    for axis in (0, 1):
        middle, side = objects_cxcywh[..., axis, None], objects_cxcywh[..., 2 + axis, None] / 2
        box_middle, box_side = boxes_cxcywh[:, None, :, axis], boxes_cxcywh[:, None, :, 2 + axis] / 2
        low = torch.maximum(middle - side, box_middle - box_side)
        overlap = overlap * (torch.minimum(middle + side, box_middle + box_side) - low).clamp_(min=0)
    union = objects_cxcywh[..., 2:].prod(dim=2)[..., None] + boxes_cxcywh[..., 2:].prod(dim=2)[:, None] - overlap
    return overlap / union.clamp_(min=torch.finfo(union.dtype).tiny)


def _class_costs(classes: Tensor, logits: Tensor) -> Tensor:
    """Classes (b, n), logits of objectness and K classes (b, C, 1 + K) -> (b, n, C), binary cross entropies summed."""
    scores = logits.sigmoid()
    scores = (scores[..., 1:] * scores[..., :1]).sqrt()
    # YOLOX's limit: torch's binary_cross_entropy cuts logarithms at -100.
    if_present, if_absent = scores.log().clamp(min=-100), (-scores).log1p().clamp(min=-100)
    is_class = (classes[..., None] == torch.arange(scores.shape[2], device=classes.device)).float()  # (b, n, K)
    return -(is_class @ if_present.mT + (1 - is_class) @ if_absent.mT)


def _is_within(boxes_cxcywh: Tensor, indices: Tensor, grids: Sequence[Grid]) -> Tensor:
    """Boxes (b, n, 4), anchors (b, C) -> (b, n, C), whether the anchor is both in the box and near its centre."""
    centres, strides = anchor_centres(grids, indices.device)
    radius = CENTRE_RADIUS * strides[indices][:, None]  # (b, 1, C)
    is_within = torch.ones((), dtype=torch.bool, device=indices.device)
    for axis in (0, 1):
        middles = centres[:, axis][indices][:, None]  # (b, 1, C)
        middle, reach = boxes_cxcywh[..., axis, None], 0.5 * boxes_cxcywh[..., 2 + axis, None]
        is_within = is_within & (middles > middle - reach) & (middles < middle + reach)
        is_within = is_within & (middles > middle - radius) & (middles < middle + radius)
    return is_within


def anchor_centres(grids: Sequence[Grid], device: torch.device) -> tuple[Tensor, Tensor]:
    """The anchors' centres (A, 2), x and y in pixels, and strides (A,), both float32, level by level, row by row."""
    centres, strides = [], []
    for rows, columns, stride in grids:
        x = (torch.arange(columns, device=device) + 0.5).repeat(rows)
        y = (torch.arange(rows, device=device) + 0.5).repeat_interleave(columns)
        centres.append(stride * torch.stack((x, y), dim=1))
        strides.append(torch.full_like(x, stride))
    return torch.cat(centres), torch.cat(strides)
