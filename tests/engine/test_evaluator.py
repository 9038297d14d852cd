"""Validation of a network that is known to be right."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from torch import nn

from yolox_gssam.data.coco_reader import CocoSplit, load_split
from yolox_gssam.engine.evaluator import DroneEvaluator

SIZE = (192, 192)


class Oracle:
    """A backend that gives the true boxes of the split's images, in its order."""

    def __init__(self, split: CocoSplit, score: float) -> None:
        self.split = split
        self.score = score
        self.given = 0

    def candidates(self, batch: NDArray[np.uint8], score_threshold: float) -> NDArray[np.float32]:
        rows = []
        for number in range(len(batch)):
            truth = self.split.images[self.given]
            self.given += 1
            boxes = truth.boxes_xyxy * min(SIZE[0] / truth.height, SIZE[1] / truth.width)
            for (left, top, right, bottom), label in zip(boxes, truth.labels, strict=True):
                box = ((left + right) / 2, (top + bottom) / 2, right - left, bottom - top)
                rows.append([number, *box, self.score, *np.eye(len(self.split.classes))[label]])
        return np.array(rows, np.float32).reshape(-1, 6 + len(self.split.classes))


@pytest.fixture
def split(tiny_dataset: Path) -> CocoSplit:
    return load_split(tiny_dataset / "annotations" / "val.json", tiny_dataset / "images")


@pytest.mark.parametrize(("score", "ap"), [pytest.param(0.9, 1.0, id="sure"), pytest.param(0.001, 0.0, id="unsure")])
def test_the_truth_is_measured_as_such(
    split: CocoSplit, score: float, ap: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("yolox_gssam.engine.evaluator.TorchBackend", lambda *arguments: Oracle(split, score))
    evaluator = DroneEvaluator(split, SIZE, score_threshold=0.01, nms_threshold=0.65, batch_size=3, workers=1)
    got, got_50, summary = evaluator.evaluate(nn.Linear(1, 1))
    assert (got, got_50) == pytest.approx((ap, ap))
    assert f"mAP50:95 {100 * ap:.2f} %" in summary
