"""What finished runs amount to, on runs whose accuracy is made to order."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from evaluation.cases import make_split

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.files import sha256_of
from yolox_gssam.data.coco import CocoSplit
from yolox_gssam.evaluation.bootstrap import ClipAP
from yolox_gssam.evaluation.coco import evaluate_coco
from yolox_gssam.research.tables.report import (
    Difference,
    TableReport,
    build_report,
    load_detections,
    load_runs,
    paired_difference,
)

CLIPS, IMAGES_A_CLIP = 12, 4


@pytest.fixture
def split(tmp_path: Path) -> CocoSplit:
    """48 images of one object of 20 pixels each, in clips of 4."""
    rng = np.random.default_rng(0)
    truth = [[(3, [*rng.uniform(0, 400, 2).round(1), 20, 20])] for _ in range(CLIPS * IMAGES_A_CLIP)]
    whole = make_split(tmp_path / "data", truth)
    images = [replace(image, group=f"clip {i // IMAGES_A_CLIP}") for i, image in enumerate(whole.images)]
    return replace(whole, images=tuple(images))


def store_run(folder: Path, split: CocoSplit, row: str, seed: int, found: float) -> None:
    """A run that finds each object with a probability, exactly, and nothing else."""
    rng = np.random.default_rng([seed, round(1000 * found)])
    detections = [
        {"image_id": image.image_id, "category_id": 3, "bbox": [*(box[:2]), 20, 20], "score": float(rng.random())}
        for image in split.images
        for box in image.boxes_xyxy.tolist()
        if rng.random() < found
    ]
    run = folder / f"{row}_seed{seed}"
    run.mkdir(parents=True)
    (run / "detections_test.json").write_text(json.dumps(detections))
    hits = len(detections) / len(split.images)
    part = {"ap": hits}
    test = {
        "overall": {"ap": hits, "ap50": hits},
        "by_size": {"tiny": {"ap": None}, "small": part},
        "by_class": {"bird": part, "drone": {"ap": None}, "plane": {"ap": None}},
        "false_alarms": [
            {"class_name": name, "images_per_alarm": images, "recall": recall}
            for name, images, recall in (("bird", 10, 0.1), ("drone", 10, hits), ("drone", 100, 0.2))
        ],
        "provenance": {
            "annotations_sha256": sha256_of(split.path),
            "hardware": {"device": "cpu (2 threads)", "cpu": "a processor"},
        },
    }
    history = [{"val_ap": None if epoch % 2 else epoch * found / 4} for epoch in range(5)]
    (run / "run.json").write_text(json.dumps({"row": row, "seed": seed, "test": test, "history": history}))


@pytest.fixture
def report(tmp_path: Path, split: CocoSplit) -> TableReport:
    for seed in range(3):
        store_run(tmp_path, split, "origin", seed, 0.4)
        store_run(tmp_path, split, "gssam_sig_res_p1", seed, 0.9)
        store_run(tmp_path, split, "like_origin", seed, 0.41)
    store_run(tmp_path, split, "one_seed", 0, 0.95)
    latency = {
        name: {"steps": {"total": {"median": ms}}, "ratio": {"median": 20 / ms}}
        for name, ms in (("origin", 20.0), ("gssam_sig_res_p1", 21.0))
    }
    (tmp_path / "latency.json").write_text(json.dumps({"sides": latency}))
    return build_report(tmp_path, ["origin", "gssam_sig_res_p1", "like_origin", "one_seed", "not_run"], split)


def test_means_and_differences(report: TableReport) -> None:
    origin, gssam, like_origin, one_seed = report.rows
    assert (report.images, report.clips, report.objects, report.epochs) == (48, 12, 48, 5)
    assert origin.difference is None
    assert origin.ap.mean == pytest.approx(40, abs=10)
    assert gssam.difference is not None
    # AP at 101 recalls is a little off the share of objects found.
    assert gssam.difference.points == pytest.approx(gssam.ap.mean - origin.ap.mean, abs=1)
    low, high = gssam.difference.over_clips
    assert low < gssam.difference.points < high
    assert like_origin.difference is not None
    assert [row.difference.in_words() for row in (gssam, like_origin, one_seed) if row.difference] == [
        "better",
        "no real difference",
        "one seed: no answer",
    ]
    assert gssam.by_size["tiny"] is None
    assert (gssam.time_ms, like_origin.time_ms) == (21, None)
    assert gssam.time_ratio == pytest.approx(1.05)


def test_what_the_difference_is_made_of(report: TableReport) -> None:
    origin, gssam, *_ = report.rows
    for row in (origin, gssam):
        assert row.drone_recall is not None
        assert row.by_class["bird"] == row.ap
        assert row.drone_recall == row.ap
        assert row.by_class["drone"] is None
        # The other classes have no objects.
        assert row.one_class_ap.mean == pytest.approx(row.ap.mean, abs=1)
    for row, last in ((origin, 40), (gssam, 90)):
        np.testing.assert_allclose(row.curve, [(1, 0), (3, last / 2), (5, last)])


def test_the_deviation_is_that_of_a_sample(report: TableReport, tmp_path: Path) -> None:
    values = [100 * run.test["overall"]["ap"] for run in load_runs(tmp_path) if run.row == "origin"]
    mean = sum(values) / 3
    assert report.rows[0].ap.deviation == pytest.approx((sum((v - mean) ** 2 for v in values) / 2) ** 0.5)
    assert report.rows[-1].ap.deviation is None


def test_the_intervals_hold_as_often_as_they_say() -> None:
    """95 % of the intervals over drawn clips hold the true difference, give or take what 200 tries can tell."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(200):
        clips = rng.normal(1.0, 2.0, 30)  # each clip's difference
        drawn = rng.choice(clips, (2000, 30)).mean(axis=1)
        difference = paired_difference({0: np.array([clips.mean(), *drawn])}, {0: np.zeros(2001)}, [0])
        held += difference.over_clips[0] < 1.0 < difference.over_clips[1]
    assert 180 <= held <= 198


@pytest.mark.parametrize(
    ("over_clips", "over_both", "seeds", "words"),
    [
        ((0.1, 2.0), (0.1, 2.5), 2, "better"),
        ((-2.0, -0.1), (-2.5, -0.1), 3, "worse"),
        ((0.1, 2.0), (-0.1, 2.5), 3, "no real difference"),
        ((0.1, 2.0), (0.1, 2.0), 1, "one seed: no answer"),
    ],
)
def test_words(over_clips: tuple[float, float], over_both: tuple[float, float], seeds: int, words: str) -> None:
    assert Difference(sum(over_clips) / 2, over_clips, over_both, seeds).in_words() == words


def test_files(report: TableReport, tmp_path: Path) -> None:
    text = report.markdown()
    cells = [[cell.strip() for cell in line.split("|")[1:5]] for line in text.splitlines() if line.startswith("| `")]
    # Each table begins with the network that the others are compared with.
    assert [row[0] for row in cells[:7]] == [
        f"`{name}`"
        for name in ("origin", "gssam_sig_res_p1", "origin", "gssam_sig_res_p1", "origin", "like_origin", "one_seed")
    ]
    assert (cells[1][1:], cells[3][1:]) == (["sigmoid", "yes", "1"], ["GSSAM", "yes", "1"])
    assert [line for line in text.splitlines() if line.startswith("**")] == [
        "**Table 2**",
        "**Table 3**",
        "**Further networks**",
    ]
    paper = [[cell.strip() for cell in line.split("|")[-4:-1]] for line in text.splitlines() if "61.44" in line]
    assert paper == [["61.44", "+2.77", "22.31"]] * 2
    assert "`like_origin`: no real difference" in text
    assert "drones found at one false alarm in 10 images, %" in text
    assert {"ap_bird", "ap_one_class", "drone_recall"} <= set(report.csv_rows()[0])
    assert [row["network"] for row in report.csv_rows()] == ["origin", "gssam_sig_res_p1", "like_origin", "one_seed"]
    untimed = replace(report, rows=tuple(replace(row, time_ms=None) for row in report.rows))
    for name, shown in (("tables", report), ("untimed", untimed)):
        shown.plot(tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000


def test_another_network_may_stand_first(report: TableReport) -> None:
    """It stands in every table, with its settings, once; `origin` then is one of the further networks."""
    origin, gssam, *others = report.rows
    text = replace(report, rows=(gssam, origin, *others)).markdown().split("\n\nAgainst")[0]
    tables = [[line.split("|")[1].strip() for line in table.splitlines()[2:]] for table in text.split("\n\n")[1::2]]
    assert tables == [["`gssam_sig_res_p1`", "`origin`", "`like_origin`", "`one_seed`"]]
    conv = replace(origin, name="conv_p1")
    tables = replace(report, rows=(gssam, conv)).markdown().split("\n\n")
    assert tables[0] == "**Table 3**"
    rows = [[cell.strip() for cell in line.split("|")[1:5]] for line in tables[1].splitlines()[2:]]
    assert rows == [["`gssam_sig_res_p1`", "GSSAM", "yes", "1"], ["`conv_p1`", "Conv", "no", "1"]]


def test_ap_of_the_stored_detections_is_that_of_the_evaluation(tmp_path: Path, split: CocoSplit) -> None:
    store_run(tmp_path, split, "origin", 0, 0.5)
    found = load_detections(load_runs(tmp_path)[0], split)
    assert ClipAP(split, found).ap() == pytest.approx(evaluate_coco(split, found).overall.ap, abs=1e-12)


def test_faults(tmp_path: Path, split: CocoSplit) -> None:
    with pytest.raises(UserError, match="no finished run"):
        build_report(tmp_path, ["origin"], split)
    store_run(tmp_path, split, "conv_p1", 0, 0.5)
    with pytest.raises(UserError, match="no finished run of origin, which the others are compared with"):
        build_report(tmp_path, ["origin", "conv_p1"], split)
    split.path.write_text(split.path.read_text() + "\n")
    with pytest.raises(UserError, match="was tested on other annotations"):
        build_report(tmp_path, ["conv_p1"], split)
    (tmp_path / "conv_p1_seed0" / "run.json").write_text("{}")
    with pytest.raises(UserError, match="not the result of a run"):
        load_runs(tmp_path)
