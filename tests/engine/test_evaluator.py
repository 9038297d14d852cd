"""Validation of a network that is known to be right."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from yolox_gssam.data.coco import CocoSplit, load_split
from yolox_gssam.engine.evaluator import DroneEvaluator

SIZE = (192, 192)


ANCHORS = 8


class Oracle(nn.Module):
    """Gives the true boxes of the split's images, in its order, as YOLOX's head does before decoding: one row of
    anchors one pixel apart."""

    def __init__(self, split: CocoSplit, score: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.split = split
        self.score = score
        self.given = 0
        self.head = SimpleNamespace(
            num_classes=len(split.classes), decode_in_inference=True, hw=[(1, ANCHORS)], strides=[1]
        )

    def forward(self, images: Tensor) -> Tensor:
        outputs = torch.zeros(len(images), ANCHORS, 5 + len(self.split.classes))
        for row in outputs:
            truth = self.split.images[self.given]
            self.given += 1
            scale = min(SIZE[0] / truth.height, SIZE[1] / truth.width)
            boxes = torch.from_numpy(truth.boxes_xyxy * scale).float()
            count = len(boxes)
            row[:count, :2] = (boxes[:, :2] + boxes[:, 2:]) / 2
            row[:count, 0] -= torch.arange(count)
            row[:count, 2:4] = (boxes[:, 2:] - boxes[:, :2]).log()
            row[:count, 4] = self.score
            row[range(count), 5 + torch.from_numpy(truth.labels)] = 1
        return outputs


@pytest.fixture
def split(tiny_dataset: Path) -> CocoSplit:
    return load_split(tiny_dataset / "annotations" / "val.json", tiny_dataset / "images")


@pytest.mark.parametrize(("score", "ap"), [pytest.param(0.9, 1.0, id="sure"), pytest.param(0.001, 0.0, id="unsure")])
def test_the_truth_is_measured_as_such(split: CocoSplit, score: float, ap: float) -> None:
    evaluator = DroneEvaluator(split, SIZE, score_threshold=0.01, nms_threshold=0.65, batch_size=3, workers=1)
    got, got_50, summary = evaluator.evaluate(Oracle(split, score))
    assert (got, got_50) == pytest.approx((ap, ap))
    assert f"mAP50:95 {100 * ap:.2f} %" in summary
