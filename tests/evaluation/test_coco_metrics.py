"""COCO's numbers: by hand, against pycocotools used directly, and against YOLOX's own evaluator."""

import contextlib
import io
import json
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from evaluation.cases import CLASSES, HEIGHT, WIDTH, Box, found, make_split, random_case
from loguru import logger
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from yolox.evaluators import COCOEvaluator

from yolox_gssam.data.coco_reader import CocoSplit, load_split
from yolox_gssam.data.labelled import AREAS
from yolox_gssam.detections import Detections
from yolox_gssam.evaluation import coco_metrics
from yolox_gssam.evaluation.coco_metrics import coco_annotations, coco_results, evaluate_coco

BOX = (100, 100, 20, 20)
OTHER = (300, 300, 20, 20)
BIRD, DRONE, PLANE = 0, 1, 2


@pytest.fixture
def without_hotcoco(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if hotcoco were not installed."""
    monkeypatch.setitem(sys.modules, "hotcoco", None)
    coco_metrics._evaluator_classes.cache_clear()
    yield
    coco_metrics._evaluator_classes.cache_clear()


def by_pycocotools(annotations: Path, results: list[dict]) -> list[float | None]:
    """COCO's twelve numbers by pycocotools, as its documentation uses it; it says -1 where there is no true object."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(annotations))
        evaluator = COCOeval(truth, truth.loadRes(results), "bbox")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return [None if number == -1 else number for number in evaluator.stats.tolist()]


@pytest.mark.parametrize(
    ("truth", "detections", "ap", "ap50"),
    [
        pytest.param([BOX], [(0.9, BOX)], 1, 1, id="found"),
        pytest.param([BOX], [], 0, 0, id="nothing-found"),
        pytest.param([BOX], [(0.9, OTHER)], 0, 0, id="elsewhere"),
        # Recall reaches 1/2: 51 of the 101 recalls 0, 0.01, ... 1 have precision 1.
        pytest.param([BOX, OTHER], [(0.9, BOX)], 51 / 101, 51 / 101, id="one-of-two"),
        pytest.param([BOX], [(0.9, BOX), (0.8, BOX)], 1, 1, id="repeated-after-all-are-found"),
        # The repetition stands before the second find: precision 2/3 from recall 0.51 on.
        pytest.param(
            [BOX, OTHER],
            [(0.9, BOX), (0.8, BOX), (0.7, OTHER)],
            (51 + 50 * 2 / 3) / 101,
            (51 + 50 * 2 / 3) / 101,
            id="repeated-between",
        ),
        pytest.param([BOX], [(0.9, OTHER), (0.8, BOX)], 1 / 2, 1 / 2, id="false-alarm-first"),
        # Half a box wider: IoU 2/3 passes 0.50, 0.55, 0.60 and 0.65 of the ten thresholds.
        pytest.param([BOX], [(0.9, (100, 100, 30, 20))], 0.4, 1, id="iou-two-thirds"),
    ],
)
def test_numbers_worked_out_by_hand(
    tmp_path: Path, truth: list[Box], detections: list[tuple[float, Box]], ap: float, ap50: float
) -> None:
    split = make_split(tmp_path, [[(7, box) for box in truth]])
    metrics = evaluate_coco(split, {1: found(*((DRONE, score, box) for score, box in detections))})
    assert metrics.overall.ap == pytest.approx(ap, abs=1e-12)
    assert metrics.overall.ap50 == pytest.approx(ap50, abs=1e-12)
    assert metrics.by_class["drone"] == metrics.overall
    assert metrics.by_class["bird"].ap is None
    assert metrics.by_class["bird"].objects == 0
    assert metrics.precision_50["bird"] is None
    assert np.mean(metrics.precision_50["drone"]) == pytest.approx(ap50, abs=1e-12)


@pytest.mark.parametrize(
    ("side", "sizes"),
    [
        pytest.param(7.99, {"very tiny", "tiny", "small"}, id="below-8"),
        pytest.param(8, {"tiny", "small"}, id="8"),
        pytest.param(15.99, {"tiny", "small"}, id="below-16"),
        pytest.param(16, {"small"}, id="16"),
        pytest.param(31.99, {"small"}, id="below-32"),
        pytest.param(32, {"small", "medium"}, id="32-counts-twice-as-in-COCO"),
        pytest.param(32.01, {"medium"}, id="above-32"),
        pytest.param(96, {"medium", "large"}, id="96-counts-twice-as-in-COCO"),
        pytest.param(96.01, {"large"}, id="above-96"),
    ],
)
def test_edges_of_the_sizes(tmp_path: Path, side: float, sizes: set[str]) -> None:
    split = make_split(tmp_path, [[(7, (10, 10, side, side))]])
    metrics = evaluate_coco(split, {1: found((DRONE, 0.9, (10, 10, side, side)))})
    assert {name for name, group in metrics.by_size.items() if group.objects == 1} == sizes
    for name, group in metrics.by_size.items():
        measured = (group.ap, group.ap50, group.ap75, group.ar)
        assert measured == pytest.approx((1.0,) * 4, abs=1e-12) if name in sizes else measured == (None,) * 4


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_pycocotools(tmp_path: Path, seed: int) -> None:
    split, detections = random_case(tmp_path, seed)
    expected = by_pycocotools(split.path, coco_results(split, detections))
    twelve = evaluate_coco(split, detections).twelve()
    assert list(twelve) == ["AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"]
    assert list(twelve.values()) == pytest.approx(expected, abs=1e-12)
    assert 0 < twelve["AP"] < 1


@pytest.mark.usefixtures("without_hotcoco")
def test_the_sizes_of_our_own_agree_with_pycocotools(tmp_path: Path) -> None:
    """COCO's "small" of an annotation file whose larger objects are marked to be ignored is its "tiny"."""
    split, detections = random_case(tmp_path, 3, images=60)
    metrics = evaluate_coco(split, detections)
    assert metrics.evaluator == "pycocotools"
    for name, side in (("very tiny", 8), ("tiny", 16)):
        with contextlib.redirect_stdout(io.StringIO()):
            truth = COCO(str(split.path))
            evaluator = COCOeval(truth, truth.loadRes(coco_results(split, detections)), "bbox")
            # No area of the random objects is exactly a bound, so it does not matter whether the bound belongs.
            evaluator.params.areaRng[1] = [0, side**2]
            evaluator.evaluate()
            evaluator.accumulate()
            evaluator.summarize()
        assert metrics.by_size[name].objects > 5
        assert metrics.by_size[name].ap == pytest.approx(evaluator.stats[3], abs=1e-12)
        assert metrics.by_size[name].ar == pytest.approx(evaluator.stats[9], abs=1e-12)


@pytest.mark.parametrize("seed", [4, 5])
def test_agrees_with_the_evaluator_of_yolox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """From the rows that NMS leaves, in the network's pixels, to the numbers."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # YOLOX leaves a file there
    split, detections = random_case(tmp_path, seed)
    input_size, ratio = (416, 416), min(416 / HEIGHT, 416 / WIDTH)
    rows, ours = [], {}
    for image in split.images:
        row, ours[image.image_id] = nms_rows(detections.get(image.image_id, Detections.empty()), ratio)
        rows.append(row)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(split.path))
    loader = SimpleNamespace(dataset=SimpleNamespace(coco=truth, class_ids=sorted(truth.getCatIds())), batch_size=1)
    stock = COCOEvaluator(loader, input_size, 0.01, 0.65, num_classes=3, per_class_AP=True)
    sizes = [[HEIGHT] * len(rows), [WIDTH] * len(rows)]
    results = stock.convert_to_coco_format(rows, sizes, [image.image_id for image in split.images])
    ap, ap50, text = stock.evaluate_prediction(results, torch.ones(3))

    metrics = evaluate_coco(split, ours)
    assert coco_results(split, ours) == [{k: v for k, v in r.items() if k != "segmentation"} for r in results]
    assert metrics.overall.ap == pytest.approx(ap, abs=1e-12)
    assert metrics.overall.ap50 == pytest.approx(ap50, abs=1e-12)
    printed = [float(number) for number in re.findall(r"\] = (-?\d\.\d+)", text)]
    assert list(metrics.twelve().values()) == pytest.approx(printed, abs=6e-4)
    of_class = dict(re.findall(r"(bird|drone|plane) +\| (\d+\.\d+)", text))
    assert {name: float(value) for name, value in of_class.items()} == pytest.approx(
        {name: 100 * group.ap for name, group in metrics.by_class.items()}, abs=6e-4
    )


def nms_rows(detections: Detections, ratio: float) -> tuple[torch.Tensor | None, Detections]:
    """What NMS would have returned for them (None for none), and what Predictor makes of that."""
    if not len(detections):
        return None, detections
    boxes = torch.from_numpy(detections.boxes_xyxy) * ratio
    scores = torch.from_numpy(detections.scores)[:, None]
    rows = torch.cat((boxes, scores.sqrt(), scores.sqrt(), torch.from_numpy(detections.labels)[:, None]), dim=1)
    back = Detections((rows[:, :4] / ratio).numpy(), (rows[:, 4] * rows[:, 5]).numpy(), detections.labels)
    return rows, back


def hard_case(folder: Path, seed: int) -> tuple[CocoSplit, dict[int, Detections]]:
    """A random case with crowds, areas that are not those of the boxes, more than 100 detections of a class on an
    image, no object of one class, ids that are negative, zero and out of order."""
    split, detections = random_case(folder, seed, images=40)
    rng = np.random.default_rng(seed)
    document = json.loads(split.path.read_text())
    annotations = [annotation for annotation in document["annotations"] if annotation["category_id"] != 3]
    for annotation in annotations:
        annotation["iscrowd"] = int(rng.random() < 0.15)
        annotation["area"] *= rng.choice([1, 1, 0.6])
    renamed = {image_id: 37 * image_id % 41 - 5 for image_id in range(1, 41)}
    for entry in annotations:
        entry["image_id"] = renamed[entry["image_id"]]
    for image in document["images"]:
        image["id"] = renamed[image["id"]]
    split.path.write_text(json.dumps({**document, "annotations": annotations}))
    boxes = rng.uniform(5, 300, (130, 4))
    scores = rng.random(130).round(1)
    detections[2] = found(*((DRONE, score, box) for score, box in zip(scores, boxes, strict=True)))
    return load_split(split.path, split.image_dir), {renamed[key]: rows for key, rows in detections.items()}


@pytest.mark.parametrize("seed", range(6, 12))
def test_hotcoco_and_pycocotools_give_the_same(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    pytest.importorskip("hotcoco")
    split, detections = hard_case(tmp_path, seed)
    metrics = evaluate_coco(split, detections)
    with monkeypatch.context() as patch:
        patch.setattr(coco_metrics, "_metrics", lambda split, annotations, evaluator: evaluator.eval)
        arrays = evaluate_coco(split, detections)
        request.getfixturevalue("without_hotcoco")
        expected_arrays = evaluate_coco(split, detections)
    expected = evaluate_coco(split, detections)
    assert (metrics.evaluator, expected.evaluator) == ("hotcoco", "pycocotools")
    assert arrays["precision"].shape == (10, 101, 3, 6, 3)
    for name in ("precision", "recall"):
        np.testing.assert_allclose(arrays[name], expected_arrays[name], rtol=0, atol=1e-9)
        assert len(np.unique(arrays[name])) > 20
    assert metrics.twelve() == pytest.approx(expected.twelve(), abs=1e-9)
    for groups, groups_expected in ((metrics.by_size, expected.by_size), (metrics.by_class, expected.by_class)):
        for name, group in groups.items():
            assert vars(group) == pytest.approx(vars(groups_expected[name]), abs=1e-9)
    assert metrics.by_class["bird"].ap is None


@pytest.mark.usefixtures("without_hotcoco")
def test_without_hotcoco_one_line_says_so(tmp_path: Path) -> None:
    split, detections = random_case(tmp_path, 7, images=3)
    lines: list[str] = []
    sink = logger.add(lines.append, format="{message}")
    evaluate_coco(split, detections)
    evaluate_coco(split, detections)
    logger.remove(sink)
    assert len(lines) == 1
    assert "by pycocotools" in lines[0]


def test_missing_images_count_as_images_without_detections(tmp_path: Path) -> None:
    split = make_split(tmp_path, [[(7, BOX)], [(7, BOX)], []])
    metrics = evaluate_coco(split, {2: found((DRONE, 0.9, BOX))})
    assert metrics == evaluate_coco(split, {1: Detections.empty(), 2: found((DRONE, 0.9, BOX)), 3: Detections.empty()})
    assert metrics.overall.ap == pytest.approx(51 / 101)


def test_no_detections_at_all_give_zeros(tmp_path: Path) -> None:
    metrics = evaluate_coco(make_split(tmp_path, [[(7, BOX)], []]), {})
    assert {name: value for name, value in metrics.twelve().items() if value is not None} == dict.fromkeys(
        ("AP", "AP50", "AP75", "APs", "AR1", "AR10", "AR100", "ARs"), 0.0
    )
    assert metrics.precision_50["drone"] == (0.0,) * 101


def test_no_objects_at_all_give_none(tmp_path: Path) -> None:
    metrics = evaluate_coco(make_split(tmp_path, [[], []]), {1: found((DRONE, 0.9, BOX))})
    assert set(metrics.twelve().values()) == {None}


def test_a_detection_in_a_crowd_is_not_counted(tmp_path: Path) -> None:
    split = make_split(tmp_path, [[(7, BOX), (7, (200, 200, 200, 200))]])
    document = json.loads(split.path.read_text())
    document["annotations"][1]["iscrowd"] = 1
    split.path.write_text(json.dumps(document))
    split = load_split(split.path, split.image_dir)
    metrics = evaluate_coco(split, {1: found((DRONE, 0.9, (220, 220, 10, 10)), (DRONE, 0.8, BOX))})
    assert metrics.overall.objects == 1
    assert metrics.overall.ap == pytest.approx(1, abs=1e-12)


def test_negative_ids_which_the_evaluators_take_for_no_match(tmp_path: Path) -> None:
    split = make_split(tmp_path, [[(7, BOX)]], id=-4)
    assert evaluate_coco(split, {1: found((DRONE, 0.9, BOX))}).overall.ap == pytest.approx(1, abs=1e-12)


def test_true_objects_as_annotations(tmp_path: Path) -> None:
    """What overhangs the image is cut off, as for training; crowd regions come last; areas are the file's."""
    split = make_split(tmp_path, [[(7, (600, 500, 50, 20))], [(3, (5, 6, 7, 8)), (9, (1, 2, 3, 4))]], area=11.5)
    document = json.loads(split.path.read_text())
    document["annotations"][1] |= {"iscrowd": 1}
    del document["annotations"][2]["area"], document["annotations"][2]["iscrowd"]
    split.path.write_text(json.dumps(document))
    split = load_split(split.path, split.image_dir)
    first, second, crowd = coco_annotations(split)
    assert first == {"image_id": 1, "category_id": 7, "bbox": [600, 500, 40, 12], "area": 11.5, "iscrowd": 0}
    assert second == {"image_id": 2, "category_id": 9, "bbox": [1, 2, 3, 4], "area": 12, "iscrowd": 0}
    assert (crowd["image_id"], crowd["category_id"], crowd["bbox"], crowd["iscrowd"]) == (2, 3, [5, 6, 7, 8], 1)
    assert [own["image_id"] for own in coco_annotations(replace(split, images=split.images[1:]))] == [2, 2]


def test_the_file_says_what_the_area_is(tmp_path: Path) -> None:
    metrics = evaluate_coco(make_split(tmp_path, [[(7, BOX)]], area=50.0), {})
    assert metrics.by_size["very tiny"].objects == 1
    metrics = evaluate_coco(make_split(tmp_path, [[(7, BOX)]], area=None), {})
    assert [name for name, group in metrics.by_size.items() if group.objects] == ["small"]


def test_classes_of_one_name_are_told_apart(tmp_path: Path) -> None:
    split = make_split(tmp_path, [[(7, BOX)]])
    split.path.write_text(split.path.read_text().replace('"bird"', '"drone"'))
    metrics = evaluate_coco(
        type(split)(split.path, split.image_dir, ("drone", "drone", "plane"), (3, 7, 9), split.images), {}
    )
    assert {name: group.objects for name, group in metrics.by_class.items()} == {
        "drone (3)": 0,
        "drone (7)": 1,
        "plane": 0,
    }


def test_results_hold_the_category_ids_of_the_file(tmp_path: Path) -> None:
    split = make_split(tmp_path, [[]])
    results = coco_results(split, {1: found((PLANE, 0.5, BOX), (BIRD, 0.25, OTHER))})
    assert results == [
        {"image_id": 1, "category_id": 9, "bbox": list(BOX), "score": 0.5},
        {"image_id": 1, "category_id": 3, "bbox": list(OTHER), "score": 0.25},
    ]
    assert list(CLASSES) == list(split.category_ids)


@pytest.mark.parametrize(
    ("detections", "message"),
    [
        pytest.param({5: found((DRONE, 0.9, BOX))}, "id 5", id="image"),
        pytest.param({1: found((3, 0.9, BOX))}, "3 classes", id="class"),
    ],
)
def test_detections_that_do_not_belong_to_the_split(
    tmp_path: Path, detections: dict[int, Detections], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate_coco(make_split(tmp_path, [[(7, BOX)]]), detections)


def test_prints_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate_coco(*random_case(tmp_path, 8, images=3))
    assert capsys.readouterr() == ("", "")


def test_the_sizes_of_coco_are_cocos() -> None:
    params = COCOeval(iouType="bbox").params
    ranges = dict(zip(params.areaRngLbl, params.areaRng, strict=True))
    assert {name: list(AREAS[name]) for name in ("small", "medium", "large")} == {
        name: ranges[name] for name in ("small", "medium", "large")
    }
