"""The assignment of anchors to objects, against YOLOX's own and by hand."""

import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest
import torch
from torch import Tensor
from yolox.models import YOLOXHead

from yolox_gssam.models import assignment
from yolox_gssam.models.assignment import Assignment, Grid, anchor_centres, assign

CLASSES = 4
SIZE_HW = (128, 160)
GRIDS = [Grid(SIZE_HW[0] // stride, SIZE_HW[1] // stride, stride) for stride in (8, 16, 32)]
ANCHORS = sum(grid.rows * grid.columns for grid in GRIDS)
HEAD = YOLOXHead(CLASSES, width=0.125)


def random_outputs(images: int, seed: int, grids: list[Grid] = GRIDS) -> Tensor:
    """(B, A, 5 + CLASSES): boxes about their anchors, of about their stride's size, and logits."""
    generator = torch.Generator().manual_seed(seed)
    centres, strides = anchor_centres(grids, torch.device("cpu"))
    noise = torch.randn(images, len(strides), 5 + CLASSES, generator=generator)
    boxes = torch.cat((centres + strides[:, None] * noise[..., :2], strides[:, None] * (noise[..., 2:4]).exp()), dim=2)
    return torch.cat((boxes, 2 * noise[..., 4:]), dim=2)


def random_labels(images: int, most: int, sides: tuple[float, float], seed: int, margin: float = 0.0) -> Tensor:
    """(B, most, 5): 0 to `most` objects an image, sides in pixels, centres up to `margin` pixels outside of it."""
    generator = torch.Generator().manual_seed(seed)
    size_wh = torch.tensor(SIZE_HW[::-1])
    labels = torch.rand(images, most, 5, generator=generator)
    labels[..., 0] = torch.randint(CLASSES, (images, most), generator=generator)
    labels[..., 1:3] = labels[..., 1:3] * (size_wh + 2 * margin) - margin
    labels[..., 3:] = sides[0] + labels[..., 3:] * (sides[1] - sides[0])
    counts = torch.randint(most + 1, (images, 1), generator=generator)
    counts[0] = most
    return labels * (torch.arange(most) < counts)[..., None]


def objects_of_anchors(found: Assignment | None, anchors: int = ANCHORS) -> tuple[Tensor, Tensor]:
    """(B, A) int64, the row of each anchor's object, -1 without one, and (B, A), the IoU with it, 0 without one."""
    assert found is not None
    rows = torch.full((len(found.anchors), anchors + 1), -1)
    rows.scatter_(1, found.anchors, torch.where(found.is_matched, found.objects, -1))
    ious = torch.zeros(rows.shape).scatter_(1, found.anchors, found.ious * found.is_matched)
    return rows[:, :-1], ious[:, :-1]


def assign_as_yolox(
    outputs: Tensor, labels: Tensor, grids: list[Grid] = GRIDS, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor]:
    """The same by YOLOX, image by image.

    In float64, where 100,000 can be added to a cost without a loss of digits that makes ties.
    """
    outputs, labels = outputs.to(dtype), labels.to(dtype)
    centres, strides = (values.to(dtype) for values in anchor_centres(grids, torch.device("cpu")))
    shifts = centres / strides[:, None] - 0.5
    rows = torch.full(outputs.shape[:2], -1)
    ious = torch.zeros(outputs.shape[:2])
    for i, count in enumerate((labels.sum(dim=2) > 0).sum(dim=1).tolist()):
        if count:
            _, is_matched, matched_ious, matched_rows, _ = HEAD.get_assignments(
                i, count, outputs.shape[1], labels[i, :count, 1:], labels[i, :count, 0], outputs[i, :, :4],
                strides[None], shifts[None, :, 0], shifts[None, :, 1], outputs[..., 5:], outputs[..., :4],
                outputs[..., 4:5], labels, None,
            )  # fmt: skip
            rows[i, is_matched], ious[i, is_matched] = matched_rows, matched_ious.float()
    return rows, ious


@pytest.mark.parametrize(
    ("most", "sides", "margin"),
    [
        pytest.param(1, (8, 40), 0, id="at-most-one-object"),
        pytest.param(10, (8, 40), 0, id="ten-objects"),
        pytest.param(10, (1, 4), 0, id="a-few-pixels"),
        pytest.param(60, (8, 80), 0, id="anchors-are-contested"),
        pytest.param(8, (8, 40), 12, id="at-the-border"),
        pytest.param(4, (100, 300), 0, id="as-large-as-the-image"),
        pytest.param(130, (4, 60), 0, id="more-than-a-hundred-objects"),
    ],
)
def test_equals_yolox(most: int, sides: tuple[float, float], margin: float) -> None:
    for seed in range(5):
        outputs, labels = random_outputs(6, seed), random_labels(6, most, sides, seed, margin)
        rows, ious = objects_of_anchors(assign(outputs, labels, GRIDS))
        expected_rows, expected_ious = assign_as_yolox(outputs, labels)
        assert torch.equal(rows, expected_rows)
        # Float32 holds coordinates of up to 172 pixels to 1.5e-5 pixels.
        torch.testing.assert_close(ious, expected_ious, rtol=1e-5, atol=1e-5)
        assert (rows >= 0).any()


def test_good_boxes_match_many_anchors_as_in_yolox() -> None:
    labels = random_labels(6, 6, (30, 60), seed=0)
    outputs = random_outputs(6, seed=0)
    # Every box is about that of some object, so that ten IoUs sum up to as much as 8.
    boxes = labels[:, torch.arange(ANCHORS) % 6, 1:]
    outputs[..., :4] = torch.where(boxes[..., 2:3] > 0, boxes * (1 + 0.03 * outputs[..., 5:]), outputs[..., :4])
    rows, _ = objects_of_anchors(assign(outputs, labels, GRIDS))
    assert torch.equal(rows, assign_as_yolox(outputs, labels)[0])
    assert (rows == 0).sum(dim=1).max() >= 5


def test_images_taken_apart_or_together_get_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    outputs, labels = random_outputs(7, seed=1), random_labels(7, 9, (4, 40), seed=1)
    together = assign(outputs, labels, GRIDS)
    monkeypatch.setattr(assignment, "MAX_PAIRS", 2 * 9 * len(together.anchors[0]))
    in_pairs = assign(outputs, labels, GRIDS)
    monkeypatch.setattr(assignment, "MAX_PAIRS", 1)
    alone = assign(outputs, labels, GRIDS)
    for one, two, three in zip(together, in_pairs, alone, strict=True):
        assert torch.equal(one, two)
        assert torch.equal(one, three)


def test_rows_of_zeros_change_nothing() -> None:
    outputs, labels = random_outputs(3, seed=2), random_labels(3, 5, (4, 40), seed=2)
    padded = torch.cat((labels, torch.zeros(3, 4, 5)), dim=1)
    found, again = (objects_of_anchors(assign(outputs, rows, GRIDS)) for rows in (labels, padded))
    assert torch.equal(found[0], again[0])
    assert torch.equal(found[1], again[1])


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param(torch.zeros(2, 1, 5), id="no-object"),
        pytest.param(torch.zeros(2, 0, 5), id="no-row"),
        pytest.param(torch.tensor([[[0.0, -90, 50, 10, 10]], [[1.0, 80, 500, 20, 20]]]), id="objects-outside"),
    ],
)
def test_nothing_is_matched_without_a_candidate(labels: Tensor) -> None:
    found = assign(random_outputs(2, seed=0), labels, GRIDS)
    assert all(part.shape == (2, 0) for part in found)


def test_an_image_without_a_candidate_beside_one_with_some() -> None:
    labels = torch.tensor([[[0.0, -90, 50, 10, 10]], [[1.0, 80, 50, 20, 20]]])
    rows, _ = objects_of_anchors(assign(random_outputs(2, seed=0), labels, GRIDS))
    assert (rows >= 0).sum(dim=1).tolist() == [0, 1]


# By hand: one level of 2 x 2 anchors, every one of them near every object in the middle.
FOUR = [Grid(2, 2, 8)]


def outputs_of(boxes: list[list[float]]) -> Tensor:
    """(1, len(boxes), 5 + CLASSES), the logits all 0."""
    return torch.cat((torch.tensor(boxes), torch.zeros(len(boxes), 1 + CLASSES)), dim=1)[None]


def test_no_more_anchors_than_candidates() -> None:
    labels = torch.tensor([[[0.0, 8, 8, 16, 16]]])
    found = assign(outputs_of([[8.0, 8, 16, 16]] * 4), labels, FOUR)
    assert found.is_matched.tolist() == [[True] * 4]
    assert found.ious.tolist() == [[1.0] * 4]


def test_of_equal_costs_the_lower_index_comes_first() -> None:
    labels = torch.tensor([[[0.0, 8, 8, 16, 16]]])
    outputs = outputs_of([[8.0, 8, 4, 4]] + [[8.0, 8, 8, 16]] * 3)  # IoUs 1/16 and 1/2 three times: one anchor
    assert objects_of_anchors(assign(outputs, labels, FOUR), 4)[0].tolist() == [[-1, 0, -1, -1]]


def test_of_equal_objects_the_lower_row_wins() -> None:
    labels = torch.tensor([[[0.0, 8, 8, 16, 16], [0.0, 8, 8, 16, 16]]])
    outputs = outputs_of([[8.0, 8, 4, 4]] + [[8.0, 8, 8, 16]] * 3)
    assert objects_of_anchors(assign(outputs, labels, FOUR), 4)[0].tolist() == [[-1, 0, -1, -1]]


def test_candidates_outside_the_object_are_ordered_by_their_cost() -> None:
    # No anchor's centre, at 4 and 12, is in the object. The IoUs sum up to 3.99; adding 100,000 to the costs would take
    # off the digits that tell them apart.
    labels = torch.tensor([[[0.0, 8, 8, 2, 2]]])
    outputs = outputs_of([[8.0, 8, 2, 2.004], [8.0, 8, 2, 2.002], [8.0, 8, 2, 2.003], [8.0, 8, 2, 2.001]])
    assert objects_of_anchors(assign(outputs, labels, FOUR), 4)[0].tolist() == [[-1, 0, 0, 0]]


def test_candidates_in_the_object_come_before_cheaper_ones_outside() -> None:
    labels = torch.tensor([[[0.0, 11, 11, 4, 4]]])  # holds the centre of the last anchor, at 12
    outputs = outputs_of([[11.0, 11, 4, 4]] * 2 + [[11.0, 11, 4, 3.5], [90.0, 90, 4, 4]])  # k is 2
    assert objects_of_anchors(assign(outputs, labels, FOUR), 4)[0].tolist() == [[0, -1, -1, 0]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_are_compared_in_float32(dtype: torch.dtype) -> None:
    outputs, labels = random_outputs(4, seed=3).to(dtype), random_labels(4, 6, (4, 40), seed=3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = assign(outputs, labels, GRIDS)
    assert found.ious.dtype == torch.float32
    assert torch.equal(objects_of_anchors(found)[0], assign_as_yolox(outputs, labels)[0])


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_outputs_that_are_not_finite(value: float) -> None:
    outputs = random_outputs(2, seed=0)
    outputs[1, 5, 2] = value
    assert assign(outputs, random_labels(2, 3, (4, 40), seed=0), GRIDS) is None


def test_arguments_stay_as_they_are() -> None:
    outputs, labels = random_outputs(2, seed=0), random_labels(2, 3, (4, 40), seed=0)
    before = outputs.clone(), labels.clone()
    assign(outputs, labels, GRIDS)
    assert torch.equal(outputs, before[0])
    assert torch.equal(labels, before[1])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_cuda_equals_the_cpu_and_is_waited_for_once() -> None:
    outputs, labels = random_outputs(4, seed=4), random_labels(4, 6, (4, 40), seed=4)
    expected = assign(outputs, labels, GRIDS)
    outputs, labels = outputs.cuda(), labels.cuda()
    assign(outputs, labels, GRIDS)
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with pytest.warns(UserWarning, match="synchronizing") as waits:
            found = assign(outputs, labels, GRIDS)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len(waits) == 1
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one.cpu(), two)


# What it costs: 16 images of 416 x 416 with up to 5 objects.

Work = Callable[[Tensor, Tensor, list[Grid]], object]


@pytest.fixture
def batch() -> Iterator[tuple[Tensor, Tensor, list[Grid]]]:
    """One thread, so that other processes do not hold up half of an operation."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    grids = [Grid(416 // stride, 416 // stride, stride) for stride in (8, 16, 32)]
    yield random_outputs(16, 0, grids), random_labels(16, 5, (8, 60), seed=0), grids
    torch.set_num_threads(threads)


def median_speedup(batch: tuple[Tensor, Tensor, list[Grid]]) -> float:
    """Time of YOLOX over ours: medians of the processor's time, the two in turn."""
    yolox = partial(assign_as_yolox, dtype=torch.float32)
    seconds: dict[Work, list[float]] = {yolox: [], assign: []}
    for _ in range(5):
        for work in (yolox, assign, assign):
            start = time.process_time()
            work(*batch)
            seconds[work].append(time.process_time() - start)
    return statistics.median(seconds[yolox]) / statistics.median(seconds[assign])


@pytest.mark.alone
def test_takes_at_most_half_of_yoloxs_time(batch: tuple[Tensor, Tensor, list[Grid]]) -> None:
    assign(*batch)
    speedups: list[float] = []
    # A busy machine can spoil one measurement, a slow implementation spoils all of them.
    while len(speedups) < 4 and max(speedups, default=0.0) < 2:
        speedups.append(median_speedup(batch))
    assert max(speedups) >= 2, speedups
