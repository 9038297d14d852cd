"""The report: everything in the JSON, nothing but text in the table, "-" where there is no number."""

import json
from pathlib import Path

import pytest
from evaluation.cases import found, make_split, random_case

from yolox_gssam.common.files import write_json
from yolox_gssam.data.coco_reader import CocoSplit
from yolox_gssam.detections import Detections
from yolox_gssam.evaluation.bootstrap import APInterval
from yolox_gssam.evaluation.coco_metrics import evaluate_coco
from yolox_gssam.evaluation.confusion import confusion_matrix
from yolox_gssam.evaluation.operating import recall_at_false_alarms, score_by_centre
from yolox_gssam.evaluation.provenance import Provenance
from yolox_gssam.evaluation.report import EvalReport
from yolox_gssam.evaluation.timing import InferenceTime, Milliseconds

BOX = (100, 100, 12, 12)
HARDWARE: dict[str, str | int] = {"device": "cpu (2 threads)", "cpu": "Some CPU", "cores": 2, "threads": 2}
TIME = InferenceTime(dict.fromkeys(("preprocess", "network", "nms", "total"), Milliseconds(1.5, 1.25, 2.0, 1.0)), 20, 5)


def make_report(split: CocoSplit, detections: dict[int, Detections], timing: InferenceTime | None) -> EvalReport:
    return EvalReport(
        split="test",
        images=len(split.images),
        settings={"experiment": "origin", "score": 0.01},
        coco=evaluate_coco(split, detections),
        interval=APInterval(0.125, 0.375, clips=30, draws=9),
        confusion=confusion_matrix(split, detections),
        false_alarms=recall_at_false_alarms(split, detections, "drone"),
        timing=timing,
        centre=score_by_centre(split, detections, ("drone",)),
        sensors={"infrared": score_by_centre(split, detections, ("drone",))},
        provenance=Provenance("test.json", "ab", None, "best.pth", "cd", "python eval.py", HARDWARE, {"torch": "2"}),
    )


def rows(table: str) -> dict[str, list[str]]:
    """First cell -> the other cells; cells are at least two blanks apart."""
    lines = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in table.splitlines()]
    return {cells[0]: cells[1:] for cells in lines if cells}


def test_json_holds_everything_and_survives_a_file(tmp_path: Path) -> None:
    report = make_report(*random_case(tmp_path, 0), TIME)
    write_json(tmp_path / "eval.json", report.to_json())
    content = json.loads((tmp_path / "eval.json").read_text())
    assert content == report.to_json()
    assert content["coco"] == report.coco.twelve()
    assert content["overall"]["ap50"] == report.coco.overall.ap50
    assert content["ap_interval_95"] == {"low": 0.125, "high": 0.375, "clips": 30, "draws": 9}
    assert content["by_size"]["tiny"]["objects"] == report.coco.by_size["tiny"].objects
    assert content["by_size"]["tiny"]["area_to"] == pytest.approx(256)
    assert set(content["by_class"]) == {"bird", "drone", "plane"}
    assert len(content["precision_recall_iou_50"]["precision"]["drone"]) == 101
    assert content["confusion"]["counts"] == report.confusion.counts.tolist()
    assert [point["images_per_alarm"] for point in content["false_alarms"]] == [10, 100]
    assert content["by_centre"]["ap_by_class"] == report.centre.ap_by_class
    assert [point["iou_threshold"] for point in content["by_centre"]["precision_recall_f1"]] == [None, 0.5]
    assert content["by_sensor"] == {"infrared": {k: v for k, v in content["by_centre"].items() if k != "rule"}}
    assert content["milliseconds"]["steps"]["nms"] == {"mean": 1.5, "median": 1.25, "p95": 2.0, "minimum": 1.0}
    assert content["provenance"]["checkpoint_sha256"] == "cd"


def test_table(tmp_path: Path) -> None:
    split = make_split(tmp_path, [[(7, BOX)], [(7, BOX), (3, (300, 300, 40, 40))], *[[]] * 8])
    detections = {1: found((1, 0.9, BOX)), 2: found((1, 0.8, (300, 300, 40, 40)))}
    table = rows(make_report(split, detections, TIME).table())
    assert table["tiny, < 16 x 16 px"] == ["2", "50.5", "50.5", "50.5", "50.0"]
    assert table["very tiny, < 8 x 8 px"] == ["0", "-", "-", "-", "-"]
    assert table["plane"][0] == "0"
    # Half of the drones are found before the bird that is taken for one, and no more after it.
    assert table["all"] == ["3", "25.2", "25.2", "25.2", "25.0"]
    assert table["pre-processing"] == ["1.50", "1.25", "2.00"]
    text = make_report(split, detections, TIME).table()
    # Of two drones one is found; of a bird and a drone that were detected as drones, one is right.
    assert text.count("10 images      50.0") == 2
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "all images drone by centre 0.900 100.0 50.0 66.7 0.000" in lines
    assert "infrared drone at IoU 0.5 0.900 100.0 50.0 66.7 0.000" in lines
    assert "infrared 10 25.2 0.0 50.5 -" in lines
    assert "the score is that of the best F1 here" in text
    assert "only 10 images" in text
    assert "AP of all: 12.5 to 37.5 in 95 % of 9 draws of 30 clips" in text
    assert "Some CPU" in text
    assert max(map(len, text.splitlines())) < 140


def test_table_without_time_objects_or_detections(tmp_path: Path) -> None:
    report = make_report(make_split(tmp_path, [[], []]), {}, None)
    assert rows(report.table())["all"] == ["0", "-", "-", "-", "-"]
    assert "no objects" in report.table()
    assert "ms per image" not in report.table()
    assert report.to_json()["milliseconds"] is None
    write_json(tmp_path / "eval.json", report.to_json())
