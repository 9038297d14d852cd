"""What finished runs amount to, on runs whose accuracy is made to order."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from yolox_gssam.common.errors import UserError
from yolox_gssam.data.builder import build_dataset
from yolox_gssam.data.coco_reader import CocoSplit, load_split
from yolox_gssam.data.synthetic import SYNTHETIC_CLASSES, synthetic_records
from yolox_gssam.detections import Detections
from yolox_gssam.evaluation.coco_metrics import evaluate_coco
from yolox_gssam.research.tables.cells import Cell, annotations_digest, pack_detections, save_cell
from yolox_gssam.research.tables.measures import ONE_CLASS, read_cells, splits_of
from yolox_gssam.research.tables.table_report import TableReport, build_report, read_times

ROWS = ("origin", "gssam_sig_res_p1", "like_origin", "one_seed")


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> CocoSplit:
    """The test split of 120 drawn images."""
    root = tmp_path_factory.mktemp("data") / "drawn"
    build_dataset(root, SYNTHETIC_CLASSES, synthetic_records(120, 0, (64, 96), 1), source="drawn", command="", seed=0)
    return load_split(root / "annotations" / "test.json", root / "images")


def found_in(split: CocoSplit, share: float, seed: int) -> dict[int, Detections]:
    """The boxes of each object with a probability, to the thirty-second of a pixel, and nothing else."""
    rng = np.random.default_rng([seed, round(1000 * share)])
    found = {}
    for image in split.images:
        kept = rng.random(len(image.labels)) < share
        boxes = np.rint(32 * image.boxes_xyxy[kept]) / 32
        found[image.image_id] = Detections(boxes, np.full(kept.sum(), 0.9), image.labels[kept])
    return found


def store(folder: Path, split: CocoSplit, row: str, seed: int, share: float) -> None:
    history = [{"val_ap": None if epoch % 2 else epoch * share / 4} for epoch in range(5)]
    description = {
        "row": row, "fold": None, "seed": seed, "device": "cpu (2 threads)", "hardware": {"cpu": "a processor"},
        "annotations_sha256": dict.fromkeys(("val", "test"), annotations_digest(split.path)), "history": history,
        "fields": {
            "data_dir": str(split.path.parents[1]), "fold": None, "val_ann": "test.json", "test_ann": "test.json"
        },
    }  # fmt: skip
    found = found_in(split, share, seed)
    arrays = pack_detections(found, "val") | pack_detections(found, "test")
    folder.mkdir(exist_ok=True)
    save_cell(Cell(seed, None, row).path(folder), description, arrays)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, split: CocoSplit) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for seed in range(3):
        for row, share in zip(ROWS, (0.4, 0.9, 0.4), strict=False):
            store(folder, split, row, seed, share)
    store(folder, split, "one_seed", 0, 0.95)
    latency = {
        name: {"steps": {"total": {"median": ms}}, "ratio": {"median": 20 / ms}}
        for name, ms in (("origin", 20.0), ("gssam_sig_res_p1", 21.0))
    }
    (folder / "latency.json").write_text(json.dumps({"variants": latency}))
    return folder


@pytest.fixture(scope="module")
def report(folder: Path) -> TableReport:
    cells = read_cells([folder])
    return build_report(
        cells, splits_of(cells, None), splits_of(cells, None, "val"), [*ROWS, "not_run"], 100, read_times(folder)
    )


def test_means_and_differences(report: TableReport, split: CocoSplit) -> None:
    origin, gssam, like_origin, one_seed = report.rows
    assert (report.images, report.folds, report.incomplete) == (len(split.images), 1, ())
    assert origin.gaps == {}
    expected = [evaluate_coco(split, found_in(split, 0.4, seed)) for seed in range(3)]
    assert origin.values["mAP50:95"] == pytest.approx([100 * (found.overall.ap or 0) for found in expected])
    assert origin.values["AP50"] == pytest.approx([100 * (found.overall.ap50 or 0) for found in expected])
    assert origin.values["drones AP"] == pytest.approx([100 * (found.by_class["drone"].ap or 0) for found in expected])
    gap = gssam.gaps["mAP50:95"]
    means = [np.mean(np.array(row.values["mAP50:95"], float)) for row in (origin, gssam)]
    assert gap.points == pytest.approx(means[1] - means[0])
    assert gap.over_clips[0] < gap.points < gap.over_clips[1]
    assert gap.in_words() == "real gain"
    assert like_origin.gaps["mAP50:95"].points == 0
    assert one_seed.gaps["mAP50:95"].runs == 1
    assert [value is None for value in gssam.values[ONE_CLASS]] == [False] * 3
    assert (gssam.time_ms, like_origin.time_ms) == (21, None)
    assert gssam.time_ratio == pytest.approx(1.05)
    for row, last in ((origin, 40), (gssam, 90)):
        np.testing.assert_allclose(row.curve, [(1, 0), (3, last / 2), (5, last)])


def test_files(report: TableReport, tmp_path: Path) -> None:
    text = report.markdown()
    cells = [[cell.strip() for cell in line.split("|")[1:5]] for line in text.splitlines() if line.startswith("| `")]
    # Each table begins with the network that the others are compared with.
    assert [row[0] for row in cells[:7]] == [
        f"`{name}`" for name in (*ROWS[:2], *ROWS[:2], "origin", "like_origin", "one_seed")
    ]
    assert (cells[1][1:], cells[3][1:]) == (["sigmoid", "yes", "1"], ["GSSAM", "yes", "1"])
    assert [line for line in text.splitlines() if line.startswith("**")] == [
        "**Table 2**",
        "**Table 3**",
        "**Further networks**",
    ]
    paper = [[cell.strip() for cell in line.split("|")[-4:-1]] for line in text.splitlines() if "61.44" in line]
    assert paper == [["61.44", "+2.77", "22.31"]] * 2
    assert "drones found at 1 in 10" in text
    deviation = np.std(np.array(report.rows[0].values["mAP50:95"], float), ddof=1)
    assert f" {np.mean(report.rows[0].values['mAP50:95']):.1f} ± {deviation:.1f} |" in text
    untimed = replace(report, rows=tuple(replace(row, time_ms=None) for row in report.rows))
    for name, shown in (("timed", report), ("untimed", untimed)):
        written = shown.write(tmp_path / name)
        assert {path.name for path in written} == {"tables.md", "tables.json", "tables.png"}
        assert (tmp_path / name / "tables.png").stat().st_size > 10_000
    assert json.loads((tmp_path / "timed" / "tables.json").read_text())["draws"] == 100
    assert "ms per image" not in (tmp_path / "untimed" / "tables.md").read_text()


def test_another_network_may_stand_first(report: TableReport) -> None:
    """It stands in every table, with its settings, once; `origin` then is one of the further networks."""
    origin, gssam, *others = report.rows
    tables = replace(report, rows=(gssam, origin, *others)).markdown().split("\n\n")
    assert tables[0] == "**Further networks**"
    names = [line.split("|")[1].strip() for line in tables[1].splitlines()[2:]]
    assert names == ["`gssam_sig_res_p1`", "`origin`", "`like_origin`", "`one_seed`"]
    tables = replace(report, rows=(gssam, replace(origin, name="conv_p1"))).markdown().split("\n\n")
    assert tables[0] == "**Table 3**"
    rows = [[cell.strip() for cell in line.split("|")[1:5]] for line in tables[1].splitlines()[2:]]
    assert rows == [["`gssam_sig_res_p1`", "GSSAM", "yes", "1"], ["`conv_p1`", "Conv", "no", "1"]]


def test_faults(folder: Path, split: CocoSplit, tmp_path: Path) -> None:
    cells = read_cells([folder])
    with pytest.raises(UserError, match="no run of conv_p1 is complete, which the others are compared with"):
        build_report(cells, [split], [split], ["conv_p1"], 10, {})
    with pytest.raises(UserError, match=r"no cells of a table; make some with tables.py run"):
        read_cells([tmp_path / "none"])
