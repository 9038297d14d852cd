"""Recall at few false alarms: exact cases, and against trying every threshold."""

from pathlib import Path

import numpy as np
import pytest
from evaluation.cases import Box, found, make_split, random_case

from yolox_gssam.data.coco_reader import CocoSplit
from yolox_gssam.detections import Detections
from yolox_gssam.evaluation.operating import recall_at_false_alarms

BOX, OTHER, THIRD = (100, 100, 20, 20), (300, 300, 20, 20), (400, 100, 20, 20)
BIRD, DRONE, PLANE = range(3)


def ten_images(tmp_path: Path, objects: list[tuple[int, Box]]) -> CocoSplit:
    """One image with the objects and nine empty ones: one false alarm is allowed at one in ten."""
    return make_split(tmp_path, [objects, *[[]] * 9])


@pytest.mark.parametrize(
    ("detections", "recall", "threshold", "alarms"),
    [
        pytest.param([], 0, None, 0, id="nothing-found"),
        pytest.param([(DRONE, 0.9, BOX), (DRONE, 0.5, OTHER)], 1, 0.5, 0, id="all-found"),
        pytest.param([(DRONE, 0.9, BOX), (DRONE, 0.7, THIRD), (DRONE, 0.5, OTHER)], 1, 0.5, 1, id="one-alarm-allowed"),
        pytest.param(
            [(DRONE, 0.9, BOX), (DRONE, 0.7, THIRD), (DRONE, 0.6, (0, 0, 9, 9)), (DRONE, 0.5, OTHER)],
            0.5,
            0.9,
            0,
            id="two-alarms-are-not",
        ),
        pytest.param(
            [(DRONE, 0.9, THIRD), (DRONE, 0.9, (0, 0, 9, 9)), (DRONE, 0.8, BOX)], 0, None, 0, id="alarms-first"
        ),
        pytest.param(
            [(DRONE, 0.9, BOX), (DRONE, 0.5, OTHER), (DRONE, 0.5, THIRD), (DRONE, 0.5, (0, 0, 9, 9))],
            0.5,
            0.9,
            0,
            id="equal-scores-pass-together",
        ),
        pytest.param([(DRONE, 0.9, BOX), (DRONE, 0.8, BOX), (DRONE, 0.7, BOX)], 0.5, 0.9, 0, id="repeated-is-no-alarm"),
        pytest.param([(DRONE, 0.9, BOX), (BIRD, 0.8, THIRD), (BIRD, 0.7, OTHER)], 0.5, 0.9, 0, id="other-class"),
        pytest.param([(DRONE, 0.9, BOX), (DRONE, 0.8, THIRD)], 0.5, 0.9, 0, id="highest-threshold-with-that-recall"),
    ],
)
def test_exact_cases(
    tmp_path: Path, detections: list[tuple[int, float, Box]], recall: float, threshold: float | None, alarms: int
) -> None:
    split = ten_images(tmp_path, [(7, BOX), (7, OTHER)])
    (point,) = recall_at_false_alarms(split, {1: found(*detections)}, "drone", (10,))
    assert (point.images, point.objects, point.images_per_alarm) == (10, 2, 10)
    assert point.recall == recall
    assert point.score_threshold == (None if threshold is None else pytest.approx(threshold))
    assert point.false_alarms == alarms


def test_a_bird_taken_for_a_drone_is_a_false_alarm(tmp_path: Path) -> None:
    split = ten_images(tmp_path, [(7, BOX), (3, OTHER), (3, THIRD)])
    detections = {1: found((DRONE, 0.9, OTHER), (DRONE, 0.8, THIRD), (DRONE, 0.7, BOX))}
    assert recall_at_false_alarms(split, detections, "drone")[0].recall == 0


def test_too_few_images_or_no_objects_give_none(tmp_path: Path) -> None:
    split = ten_images(tmp_path, [(7, BOX)])
    in_ten, in_hundred = recall_at_false_alarms(split, {1: found((DRONE, 0.9, BOX))}, "drone")
    assert in_ten.recall == 1
    assert (in_hundred.recall, in_hundred.score_threshold, in_hundred.false_alarms) == (None, None, None)
    assert recall_at_false_alarms(split, {}, "plane")[0].recall is None
    with pytest.raises(ValueError, match="not in tuple"):
        recall_at_false_alarms(split, {}, "balloon")


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("label", [BIRD, DRONE, PLANE])
def test_agrees_with_trying_every_threshold(tmp_path: Path, seed: int, label: int) -> None:
    split, detections = random_case(tmp_path, seed, images=45)
    name = split.classes[label]
    points = recall_at_false_alarms(split, detections, name, (1, 3, 10))
    for point, allowed in zip(points, (45, 15, 4), strict=True):
        found_most, threshold, alarms = try_every_threshold(split, detections, label, allowed)
        assert point.recall == pytest.approx(found_most / point.objects)
        assert (point.score_threshold, point.false_alarms) == (threshold, alarms)
    assert points[0].recall > points[2].recall


def try_every_threshold(
    split: CocoSplit, detections: dict[int, Detections], label: int, allowed: int
) -> tuple[int, float | None, int]:
    """Finds, threshold, false alarms: each threshold is applied first and its detections are matched afterwards."""
    best = (0, None, 0)
    for threshold in sorted(
        {float(score) for of_image in detections.values() for score in of_image.scores}, reverse=True
    ):
        finds, alarms = 0, 0
        for image in split.images:
            truth = [tuple(box) for box, of in zip(image.boxes_xyxy, image.labels, strict=True) if of == label]
            of_image = detections.get(image.image_id, Detections.empty())
            taken: set[int] = set()
            for row in sorted(range(len(of_image)), key=lambda row: -of_image.scores[row]):
                if of_image.labels[row] == label and of_image.scores[row] >= threshold:
                    overlaps = [iou(of_image.boxes_xyxy[row].astype(float), box) for box in truth]
                    free = [i for i, value in enumerate(overlaps) if value >= 0.5 and i not in taken]
                    if free:
                        taken.add(max(free, key=lambda i: overlaps[i]))
                    elif max(overlaps, default=0) < 0.5:
                        alarms += 1
            finds += len(taken)
        if alarms <= allowed and finds > best[0]:
            best = (finds, threshold, alarms)
    return best


def iou(a: np.ndarray, b: tuple[float, ...]) -> float:
    shared = max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)
