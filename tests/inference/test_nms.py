"""Against YOLOX's own `postprocess`, box by box."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.ops import box_iou
from yolox.utils import postprocess

from yolox_gssam.inference.nms import choose_detections, voted
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


def candidate(x: float, objectness: float, *probabilities: float, image: float = 0, side: float = 20) -> list[float]:
    return [image, x, 50, side, side, objectness, *probabilities]


def test_the_anchors_on_one_object_vote_on_its_class() -> None:
    """The surest anchor takes it for the first class, two others for the second; a third object far off has no say."""
    candidates = np.array(
        [
            candidate(50, 0.9, 0.9, 0.3), candidate(51, 0.8, 0.2, 0.8), candidate(52, 0.7, 0.3, 0.9),
            candidate(90, 1.0, 1.0, 0.0), candidate(51, 1.0, 1.0, 0.0, image=1),
        ],
        np.float32,
    )  # fmt: skip
    weights = np.array([0.9, 0.8, 0.7])
    first, second = weights @ [0.9, 0.2, 0.3] / weights.sum(), weights @ [0.3, 0.8, 0.9] / weights.sum()
    assert first < second
    alone, other = choose_detections(candidates, [1.0, 1.0], 0.05, 0.45, True)
    assert alone.labels.tolist() == [0, 0]
    assert other.labels.tolist() == [0]
    found, other = choose_detections(candidates, [1.0, 1.0], 0.05, 0.45, True, votes=True)
    assert found.labels.tolist() == [0, 1]
    np.testing.assert_allclose(found.scores, [1.0, 0.9 * second], rtol=1e-6)
    np.testing.assert_allclose(other.scores, [1.0])
    # Its box is where the three are together; NMS has compared the boxes as they were.
    left = weights @ [40, 41, 42] / weights.sum()
    np.testing.assert_allclose(found.boxes_xyxy, [[80, 40, 100, 60], [left, 40, left + 20, 60]], rtol=1e-6)
    found, _ = choose_detections(candidates, [1.0, 1.0], 0.05, 0.45, False, votes=True)
    assert found.labels.tolist() == [0, 1, 0]
    np.testing.assert_allclose(found.scores, [1.0, 0.9 * second, 0.9 * first], rtol=1e-6)


def test_votes_are_the_weighted_mean_over_every_pair_that_overlaps() -> None:
    (outputs,) = make_outputs(1, 300, seed=4)
    corners = torch.cat((outputs[:, :2] - outputs[:, 2:4] / 2, outputs[:, :2] + outputs[:, 2:4] / 2), dim=1)
    overlap = box_iou(corners, corners).numpy() > 0.45
    np.fill_diagonal(overlap, True)
    weights, probabilities = outputs[:, 4].numpy(), outputs[:, 5:].numpy()
    shares = overlap * weights
    total = shares.sum(axis=1, keepdims=True)
    expected = np.where(total > 0, shares @ probabilities / np.maximum(total, 1e-12), probabilities)
    found = voted(corners.numpy(), weights, probabilities, 0.45)
    assert (np.abs(found - probabilities) > 0.1).mean() > 0.3
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_an_anchor_alone_keeps_its_probabilities() -> None:
    candidates = np.array([candidate(50, 0.5, 0.6, 0.4), candidate(90, 0.0, 0.7, 0.2)], np.float32)
    (found,) = choose_detections(candidates, [1.0], 0.1, 0.45, False, votes=True)
    np.testing.assert_allclose(found.scores, [0.3, 0.2])
    (nothing,) = choose_detections(candidates[:0], [1.0], 0.1, 0.45, False, votes=True)
    assert len(nothing) == 0
