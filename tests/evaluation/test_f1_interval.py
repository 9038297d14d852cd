"""Intervals against counting image by image, and thresholds that come from other images."""

import json
from pathlib import Path

import numpy as np
import pytest

from yolox_gssam.data.coco_reader import CocoSplit, parse_coco
from yolox_gssam.data.faults import raise_fatal
from yolox_gssam.detections import Detections
from yolox_gssam.evaluation.f1_interval import f1_interval, f1_points, table_lines


def make(tmp_path: Path, name: str, seed: int, images: int = 30) -> tuple[CocoSplit, dict[int, Detections]]:
    """Images of one object each, of which two thirds are found, a third twice, with false boxes beside."""
    rng = np.random.default_rng(seed)
    entries = [{"id": n, "file_name": f"{n}.png", "width": 100, "height": 100} for n in range(1, images + 1)]
    boxes = [{"id": n, "image_id": n, "category_id": 1, "bbox": [20, 20, 10, 10]} for n in range(1, images + 1)]
    document = {"images": entries, "annotations": boxes, "categories": [{"id": 1, "name": "drone"}]}
    path = tmp_path / f"{name}.json"
    path.write_text(json.dumps(document))
    split = parse_coco(document, path, tmp_path, raise_fatal)
    detections = {}
    for n in range(1, images + 1):
        rows = [[20, 20, 30, 30]] * (n % 3) + [[60, 60, 70, 70]] * int(rng.random() < 0.3)
        scores = rng.uniform(0.2, 0.9, len(rows)).astype(np.float32)
        detections[n] = Detections(np.array(rows, np.float32).reshape(-1, 4), scores, np.zeros(len(rows), np.int64))
    return split, detections


def counted(detections: dict[int, Detections], drawn: list[int], threshold: float) -> tuple[float, float, float]:
    """Precision, recall and F1 of a draw of images, by walking through them."""
    found = false = 0
    for number in drawn:
        of_image = detections[number]
        kept = of_image.scores >= np.float32(threshold)
        on_object = int((kept & (of_image.boxes_xyxy[:, 0] == 20)).sum())
        found += min(on_object, 1)
        false += int(kept.sum()) - min(on_object, 1)  # a second detection of the object is a false one
    return found / (found + false), found / len(drawn), 2 * found / (found + false + len(drawn))


def test_intervals_are_those_of_images_drawn_anew(tmp_path: Path) -> None:
    split, detections = make(tmp_path, "test", 0)
    rng = np.random.default_rng(5)
    draws = [counted(detections, rng.integers(1, 31, 30).tolist(), 0.4) for _ in range(4000)]
    expected = np.quantile(draws, [0.025, 0.975], axis=0)
    spread = f1_interval(split, detections, "drone", 0.5, 0.4, draws=4000)
    assert spread is not None
    for own, (low, high) in zip((spread.precision, spread.recall, spread.f1), expected.T, strict=True):
        assert own == pytest.approx((low, high), abs=0.015)
    assert (spread.clips, spread.draws) == (30, 4000)


def test_the_threshold_comes_from_the_validation_split(tmp_path: Path) -> None:
    split, detections = make(tmp_path, "test", 0)
    validation = make(tmp_path, "val", 1)
    by_iou, by_centre = f1_points(split, detections, validation, "drone", draws=50)
    best_on_val = max(
        sorted({float(score) for found in validation[1].values() for score in found.scores}, reverse=True),
        key=lambda score: counted(validation[1], list(range(1, 31)), score)[2],
    )
    assert by_iou.at_given is not None
    assert by_iou.at_given.score_threshold == pytest.approx(best_on_val)
    assert by_iou.at_given.f1 == pytest.approx(counted(detections, list(range(1, 31)), best_on_val)[2])
    assert by_iou.at_best.f1 is not None
    assert by_iou.at_best.f1 >= by_iou.at_given.f1
    assert by_iou.interval is not None
    assert by_iou.interval.score_threshold == by_iou.at_given.score_threshold
    lines = table_lines({"drone": (by_iou, by_centre)}, "val")
    assert f"F1 of drone at IoU 0.5: {by_iou.at_given.f1:.3f} (" in lines[0]
    assert "at the threshold of val" in lines[1]


def test_without_a_threshold_or_anything_to_draw(tmp_path: Path) -> None:
    split, detections = make(tmp_path, "test", 0)
    by_iou, _ = f1_points(split, detections, (split, {}), "drone", draws=10)
    assert by_iou.at_given is None
    assert by_iou.interval is not None
    nothing, _ = f1_points(split, {}, (split, {}), "drone", draws=10)
    assert nothing.interval is None
    one, found = make(tmp_path, "one", 2, images=1)
    assert f1_interval(one, found, "drone", 0.5, 0.1) is None
