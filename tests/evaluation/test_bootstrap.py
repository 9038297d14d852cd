"""Average precision on drawn clips, against pycocotools on a data set that holds the clips as often."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from evaluation.cases import found, in_clips, make_split, random_case

from yolox_gssam.data.coco_reader import CocoSplit, load_split
from yolox_gssam.detections import Detections
from yolox_gssam.evaluation.bootstrap import ClipAP, ap_interval, draw_clips, interval
from yolox_gssam.evaluation.coco_metrics import evaluate_coco


def without_ties(detections: dict[int, Detections]) -> dict[int, Detections]:
    """No two scores alike."""
    return {
        image_id: replace(found, scores=0.99 * found.scores + (index + np.linspace(0, 0.9, len(found))) * 1e-6)
        for index, (image_id, found) in enumerate(detections.items())
    }


def copied(split: CocoSplit, detections: dict[int, Detections], weights: list[int], folder: Path) -> float | None:
    """AP by `evaluate_coco` of a set that holds each clip as often as its weight says."""
    document = json.loads(split.path.read_text())
    clips = list(dict.fromkeys(image.group for image in split.images))
    images, annotations, copies = [], [], {}
    for image in split.images:
        for _ in range(weights[clips.index(image.group)]):
            number = len(images) + 1
            images.append({"id": number, "file_name": f"{number}.jpg", "width": image.width, "height": image.height})
            if image.image_id in detections:
                copies[number] = detections[image.image_id]
            annotations += [
                {**annotation, "id": len(annotations) + position, "image_id": number}
                for position, annotation in enumerate(
                    (a for a in document["annotations"] if a["image_id"] == image.image_id), start=1
                )
            ]
    path = folder / "copied.json"
    path.write_text(json.dumps({**document, "images": images, "annotations": annotations}))
    return evaluate_coco(load_split(path, folder), copies).overall.ap


@pytest.mark.parametrize("seed", range(4))
def test_every_clip_once_is_the_plain_number(tmp_path: Path, seed: int) -> None:
    split, detections = random_case(tmp_path, seed)
    expected = evaluate_coco(split, detections).overall.ap
    assert ClipAP(in_clips(split, 4), detections).ap() == pytest.approx(expected, abs=1e-12)
    assert ClipAP(split, detections).ap() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_weights_are_copies_of_the_clips(tmp_path: Path, seed: int) -> None:
    split, detections = random_case(tmp_path, seed)
    # Copies of an image would stand in another order among equal scores.
    detections = without_ties(detections)
    split = in_clips(split, 5)
    clip_ap = ClipAP(split, detections)
    for weights in draw_clips(len(clip_ap.clips), 5, seed):
        assert clip_ap.ap(weights) == pytest.approx(copied(split, detections, weights.tolist(), tmp_path), abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_one_class_is_the_evaluation_of_relabelled_objects(tmp_path: Path, seed: int) -> None:
    split, detections = random_case(tmp_path, seed)
    detections = without_ties(detections)
    document = json.loads(split.path.read_text())
    for annotation in document["annotations"]:
        annotation["category_id"] = split.category_ids[0]
    path = tmp_path / "relabelled.json"
    path.write_text(json.dumps(document))
    relabelled = {key: replace(found, labels=np.zeros_like(found.labels)) for key, found in detections.items()}
    expected = evaluate_coco(load_split(path, tmp_path), relabelled).overall.ap
    assert ClipAP(split, detections, one_class=True).ap() == pytest.approx(expected, abs=1e-12)
    assert expected > ClipAP(split, detections).ap()


def test_a_crowd_counts_for_nothing(tmp_path: Path) -> None:
    split = make_split(tmp_path, [[(3, [10, 10, 50, 50])], [(3, [10, 10, 50, 50])]], iscrowd=1)
    assert ClipAP(split, {1: found((0, 0.9, (20, 20, 10, 10)))}).ap() is None


def test_without_objects_or_detections(tmp_path: Path) -> None:
    split = make_split(tmp_path, [[(3, [10, 10, 50, 50])], []])
    clip_ap = ClipAP(split, {})
    assert clip_ap.clips == ("image 1", "image 2")
    assert clip_ap.ap() == 0
    assert clip_ap.ap([0, 2]) is None


def test_draws() -> None:
    draws = draw_clips(7, 1000, seed=0)
    assert draws.shape == (1000, 7)
    assert (draws.sum(axis=1) == 7).all()
    assert np.allclose(draws.mean(axis=0), 1, atol=0.1)
    assert (draws == draw_clips(7, 1000, seed=0)).all()


def test_interval() -> None:
    assert interval(np.arange(1001.0)) == pytest.approx((25, 975))


def test_ap_interval(tmp_path: Path) -> None:
    """Holds the plain number, and is the same again."""
    split, detections = random_case(tmp_path, 0)
    ap = evaluate_coco(split, detections).overall.ap
    drawn = ap_interval(split, detections, draws=100)
    assert drawn is not None
    assert ap is not None
    assert drawn.low < ap < drawn.high
    assert (drawn.clips, drawn.draws) == (len(split.images), 100)
    assert ap_interval(split, detections, draws=100) == drawn
    one = replace(split, images=tuple(replace(image, group=None) for image in split.images[:1]))
    assert ap_interval(one, {}, draws=100) is None
    assert ap_interval(split, detections, draws=0) is None


def test_ap_interval_of_equal_clips(tmp_path: Path) -> None:
    box = (100.0, 100.0, 20.0, 20.0)
    split = make_split(tmp_path, [[(7, box)]] * 4)
    drawn = ap_interval(split, {image.image_id: found((1, 0.9, box)) for image in split.images}, draws=20)
    assert drawn is not None
    assert (drawn.low, drawn.high) == (pytest.approx(1), pytest.approx(1))
