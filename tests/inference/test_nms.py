"""Against YOLOX's own `postprocess`, box by box."""

import numpy as np
import pytest
import torch
from torch import Tensor
from yolox.utils import postprocess

from yolox_gssam.inference.nms import choose_detections
from yolox_gssam.models.inference import choose_candidates

CLASSES = 4


def make_outputs(images: int, anchors: int, seed: int, classes: int = CLASSES) -> Tensor:
    """Boxes in heaps, so that many overlap; most anchors saw nothing; scores of one digit, so that equal ones occur."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randint(1, 6, (images, anchors, 2), generator=generator) * 60
    centres = centres + torch.randn(images, anchors, 2, generator=generator) * 4
    sides = torch.rand(images, anchors, 2, generator=generator) * 20 + 10
    scores = torch.rand(images, anchors, 1 + classes, generator=generator)
    scores[..., 0] *= scores[..., 0]
    return torch.cat((centres, sides, scores.mul(10).round().div(10)), dim=2)


def stock(outputs: Tensor, score: float, iou: float, class_agnostic: bool) -> list[Tensor]:
    """YOLOX's rows; it changes its input and says None for no rows."""
    rows = postprocess(outputs.clone(), outputs.shape[2] - 5, score, iou, class_agnostic)
    return [torch.zeros(0, 7) if of_image is None else of_image for of_image in rows]


def suppress(outputs: Tensor, score: float, iou: float, class_agnostic: bool = False) -> list[Tensor]:
    """Ours as rows x1, y1, x2, y2, score, class."""
    candidates = choose_candidates(outputs, score).numpy()
    found = choose_detections(candidates, [1.0] * len(outputs), score, iou, class_agnostic)
    return [
        torch.from_numpy(np.column_stack((one.boxes_xyxy, one.scores, one.labels.astype(np.float32)))) for one in found
    ]


def as_ours(rows: Tensor) -> Tensor:
    return torch.cat((rows[:, :4], rows[:, 4:5] * rows[:, 5:6], rows[:, 6:]), dim=1)


def in_one_order(rows: Tensor) -> Tensor:
    """By score, then place: torchvision leaves open which of two equal scores comes first."""
    return rows[np.lexsort(rows.numpy().T[[3, 2, 1, 0, 4]]).copy()]


@pytest.mark.parametrize("class_agnostic", [False, True], ids=["per-class", "agnostic"])
@pytest.mark.parametrize(("score", "iou"), [(0.25, 0.45), (0.01, 0.65), (0.3, 0.5), (0.0, 0.1), (0.95, 0.5)])
@pytest.mark.parametrize("anchors", [300, 1500])  # beyond 1000 boxes torchvision goes another way
def test_the_rows_of_yolox(anchors: int, score: float, iou: float, class_agnostic: bool) -> None:
    outputs = make_outputs(3, anchors, seed=anchors)
    expected = stock(outputs, score, iou, class_agnostic)
    found = suppress(outputs, score, iou, class_agnostic)
    assert sum(map(len, expected)) > (0 if score > 0.9 else 20)
    assert all(len(rows) < anchors for rows in expected)
    assert len(found) == len(expected) == 3
    for rows, rows_expected in zip(found, expected, strict=True):
        assert (rows[:-1, 4] >= rows[1:, 4]).all()
        assert torch.equal(in_one_order(rows), in_one_order(as_ours(rows_expected)))


def test_one_class() -> None:
    outputs = make_outputs(1, 200, seed=1, classes=1)
    (found,), (expected,) = suppress(outputs, 0.2, 0.5), stock(outputs, 0.2, 0.5, False)
    assert 5 < len(found) < 200
    assert torch.equal(found, as_ours(expected))


def test_the_score_may_equal_the_threshold() -> None:
    outputs = torch.tensor([[[50.0, 50, 20, 20, 0.5, 1, 0], [90.0, 90, 20, 20, 1, 0, 0.5]]])
    assert len(suppress(outputs, 0.5, 0.5)[0]) == 2
    assert len(suppress(outputs, 0.5001, 0.5)[0]) == 0


def test_numbers_that_are_none_are_no_boxes() -> None:
    outputs = torch.tensor([[[50.0, 50, 20, 20, torch.nan, 1, 0], [90, 90, 20, 20, 1, torch.nan, 0.5]]])
    assert suppress(outputs, 0.1, 0.5)[0].shape == (0, 6)
    assert len(stock(outputs, 0.1, 0.5, False)[0]) == 0


@pytest.mark.parametrize("class_agnostic", [False, True], ids=["per-class", "agnostic"])
def test_nothing_in(class_agnostic: bool) -> None:
    (rows,) = suppress(torch.zeros(1, 0, 9), 0.5, 0.5, class_agnostic)
    assert rows.shape == (0, 6)


def test_boxes_are_those_of_the_original_image_and_candidates_stay() -> None:
    candidates = torch.tensor([[1.0, 50, 60, 20, 10, 0.9, 0.1, 1.0]])
    before = candidates.clone()
    nothing, found = choose_detections(candidates.numpy(), [1.0, 0.5], 0.5, 0.5, False)
    assert len(nothing) == 0
    np.testing.assert_allclose(found.boxes_xyxy, [[80, 110, 120, 130]])
    assert found.labels.tolist() == [1]
    assert torch.equal(candidates, before)
