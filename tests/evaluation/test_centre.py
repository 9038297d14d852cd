"""Scoring by centre: cases counted by hand, and average precision against a slow reference."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from evaluation.cases import found, in_clips, make_split, moved, random_case

from yolox_gssam.data.coco_reader import CocoSplit
from yolox_gssam.detections import Detections
from yolox_gssam.evaluation.bootstrap import ClipAP, draw_clips
from yolox_gssam.evaluation.operating import (
    FalseAlarmSweep,
    recall_at_false_alarms,
    score_by_centre,
    split_by_sensor,
)

DRONE = 1
SMALL, LARGE = (100, 100, 4, 4), (200, 200, 16, 9)  # sides 4 and 12: reaches 3 and 6
FAR = (400, 300, 4, 4)


def test_average_precision_by_hand(tmp_path: Path) -> None:
    """Of three drones two are found, the second after a bird's detection and a repeated one: 34 and 33 recalls."""
    split = make_split(tmp_path, [[(7, SMALL), (3, FAR)], [(7, SMALL)], [(7, LARGE)]])
    detections = {
        1: found((DRONE, 0.9, moved(SMALL, 3, 0)), (DRONE, 0.8, FAR), (DRONE, 0.7, SMALL)),
        2: found((DRONE, 0.6, SMALL)),
    }
    drone = (34 * 1 + 33 * 2 / 4) / 101
    measure = ClipAP(split, detections, by="centre")
    by_class = dict(zip(split.classes, measure.ap_by_class(), strict=True))
    assert by_class == {"drone": pytest.approx(drone), "bird": 0, "plane": None}
    assert measure.ap() == pytest.approx(drone / 2)
    # Whatever the class: the bird is an object too, and found.
    assert ClipAP(split, detections, by="centre", one_class=True).ap() == pytest.approx((51 + 25 * 3 / 4) / 101)


def slow_ap(split: CocoSplit, detections: dict[int, Detections], label: int) -> float | None:
    """AP of one class by centre, in plain loops."""
    rows, total = [], sum(int((image.labels == label).sum()) for image in split.images)
    for image in split.images:
        boxes = [box for box, of in zip(image.boxes_xyxy.tolist(), image.labels, strict=True) if of == label]
        of_image = detections.get(image.image_id, Detections.empty())
        mine = [row for row in range(len(of_image)) if of_image.labels[row] == label]
        for row in sorted(mine, key=lambda row: -of_image.scores[row])[:100]:
            x1, y1, x2, y2 = of_image.boxes_xyxy[row].tolist()
            best, nearest = None, float("inf")
            for box in boxes:
                away = (((x1 + x2 - box[0] - box[2]) / 2) ** 2 + ((y1 + y2 - box[1] - box[3]) / 2) ** 2) ** 0.5
                reach = max(3, ((box[2] - box[0]) * (box[3] - box[1])) ** 0.5 / 2)
                if away <= reach and away < nearest:
                    best, nearest = box, away
            rows.append((float(of_image.scores[row]), best is not None))
            if best is not None:
                boxes.remove(best)
    rows.sort(key=lambda row: -row[0])
    if not total:
        return None
    hits = [sum(right for _, right in rows[: n + 1]) for n in range(len(rows))]
    curve = [(hit / total, hit / (n + 1)) for n, hit in enumerate(hits)]
    return sum(max((p for r, p in curve if r >= at), default=0) for at in np.linspace(0, 1, 101)) / 101


@pytest.mark.parametrize("seed", range(4))
def test_average_precision_agrees_with_plain_loops(tmp_path: Path, seed: int) -> None:
    split, detections = random_case(tmp_path, seed)
    detections[2] = found(*((DRONE, score, (5, 5, 9, 9)) for score in np.linspace(0.5, 0.6, 120)))  # 100 count
    expected = [slow_ap(split, detections, label) for label in range(3)]
    assert ClipAP(split, detections, by="centre").ap_by_class() == [pytest.approx(value) for value in expected]
    assert min(expected) > 0
    assert ClipAP(split, detections, by="centre").ap() == pytest.approx(np.mean(expected))


@pytest.mark.parametrize("by", ["iou", "centre"])
def test_weights_count_clips_as_often(tmp_path: Path, by: str) -> None:
    """AP and recall of drawn clips are those of a split that holds the drawn images alone, or as they are for ones."""
    split, detections = random_case(tmp_path, 1, images=40)
    split, rule = in_clips(split, 4), 0.5 if by == "iou" else "centre"
    ap, sweep = (
        ClipAP(split, detections, by=by),
        FalseAlarmSweep(split, detections, "drone", rule),
    )
    assert ap.clips == sweep.clips
    assert ap.ap(np.ones(10, int)) == ap.ap()
    assert sweep.point(10, np.ones(10, int)) == sweep.point(10)
    for seed in range(3):
        weights = np.random.default_rng(seed).integers(0, 2, 10)
        drawn = replace(split, images=tuple(i for i in split.images if weights[ap.clips.index(i.group)]))
        inside = {image.image_id: detections[image.image_id] for image in drawn.images if image.image_id in detections}
        assert ap.ap(weights) == pytest.approx(ClipAP(drawn, inside, by=by).ap(), abs=1e-12)
        assert sweep.point(5, weights) == FalseAlarmSweep(drawn, inside, "drone", rule).point(5)
        # Every drawn clip twice: as many false alarms an image, and the same order.
        assert sweep.point(5, 2 * weights).recall == sweep.point(5, weights).recall
    assert len({ap.ap(weights) for weights in draw_clips(10, 5, 0)}) > 1
    assert sweep.point(5, np.zeros(10, int)).recall is None


def test_a_repeated_detection_is_a_false_alarm_by_centre_alone(tmp_path: Path) -> None:
    split = make_split(tmp_path, [[(7, SMALL), (7, FAR)], *[[]] * 9])
    detections = {1: found(*((DRONE, score, SMALL) for score in (0.9, 0.8, 0.7)), (DRONE, 0.6, FAR))}
    (by_iou,) = recall_at_false_alarms(split, detections, "drone", (10,))
    (by_centre,) = recall_at_false_alarms(split, detections, "drone", (10,), "centre")
    assert (by_iou.recall, by_iou.false_alarms, by_iou.iou_threshold) == (1, 0, 0.5)
    assert (by_centre.recall, by_centre.false_alarms, by_centre.iou_threshold) == (0.5, 0, None)


def test_without_detections(tmp_path: Path) -> None:
    split = make_split(tmp_path, [[(7, SMALL)], []])
    scores = score_by_centre(split, {}, ("drone", "plane"))
    assert scores.ap == 0
    assert scores.ap_by_class == {"bird": None, "drone": 0, "plane": None}
    assert len(scores.points) == 4


def test_sensors_by_name(tmp_path: Path) -> None:
    split = make_split(tmp_path, [[(7, SMALL)], [(7, FAR)], []])
    assert split_by_sensor(split) == {}
    groups = ("V_DRONE_001", "IR_DRONE_001", "V_BIRD_001")
    named = replace(split, images=tuple(replace(i, group=g) for i, g in zip(split.images, groups, strict=True)))
    parts = split_by_sensor(named)
    assert {name: [i.image_id for i in part.images] for name, part in parts.items()} == {
        "visible": [1, 3],
        "infrared": [2],
    }
    files = ("a/V_1.jpg", "b/IR_1.jpg", "b/V_2.jpg")
    by_file = replace(split, images=tuple(replace(i, file_name=f) for i, f in zip(split.images, files, strict=True)))
    assert [len(part.images) for part in split_by_sensor(by_file).values()] == [2, 1]
    one = replace(named, images=named.images[:1])
    assert split_by_sensor(one) == {}
    detections = {1: found((DRONE, 0.5, SMALL)), 2: found((DRONE, 0.9, SMALL))}
    scores = score_by_centre(parts["visible"], detections, ("drone",))
    assert (scores.images, scores.ap, scores.points[0].false_boxes) == (2, 1, 0)
