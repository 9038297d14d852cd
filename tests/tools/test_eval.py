"""tools/eval.py, run as a user runs it."""

import contextlib
import importlib
import io
import json
import sys
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import torch
from conftest import ROOT, RunTool
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from yolox_gssam.cli import parser
from yolox_gssam.common.checkpoint import save_checkpoint
from yolox_gssam.common.errors import UserError
from yolox_gssam.data.coco_reader import CocoSplit
from yolox_gssam.detections import Detections
from yolox_gssam.experiment import load_exp

FILES = {"eval_test.json", "precision_recall_test.png", "confusion_test.png", "detections_test.json"}
EXP = ROOT / "exps" / "origin.py"


@pytest.fixture(scope="module")
def checkpoint(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny network with fresh weights."""
    torch.manual_seed(0)
    fields = {"data_dir": tiny_dataset, "depth": 0.33, "width": 0.125, "depthwise": True, "input_size": "(64, 96)"}
    exp = load_exp(EXP, [str(item) for pair in fields.items() for item in pair])
    path = tmp_path_factory.mktemp("run") / "best_ckpt.pth"
    state = {"model": exp.get_model().state_dict(), "class_names": list(exp.class_names)}
    save_checkpoint(path, {**state, "exp": {**exp.fields(), "num_classes": 2, "test_size": (64, 96)}})
    return path


@pytest.fixture
def tool() -> ModuleType:
    """tools/eval.py as a module, for what only a better network than a fresh one would show."""
    return importlib.import_module("yolox_gssam.cli.eval")


def detect_most(_: object, split: CocoSplit, *__: object) -> dict[int, Detections]:
    """What a fair detector finds: every object, a little shifted, and a drone on each image that is none."""
    rng = np.random.default_rng(1)
    detections = {}
    for image in split.images:
        boxes = np.vstack((image.boxes_xyxy + rng.normal(0, 0.7, image.boxes_xyxy.shape), [[3, 3, 20, 20]]))
        scores = np.append(rng.uniform(0.3, 1, len(image.labels)), 0.8)
        detections[image.image_id] = Detections(boxes, scores, np.append(image.labels, 1))
    return detections


def test_a_run_prints_tables_and_writes_its_files(
    checkpoint: Path, tiny_dataset: Path, tmp_path: Path, run_tool: RunTool
) -> None:
    arguments = ["-f", EXP, "-c", checkpoint, "--device", "cpu", "-b", 3, "--conf", 0, "--iterations", 7]
    result = run_tool("eval", *arguments, "--output-dir", tmp_path / "out", "data_dir", tiny_dataset)
    assert result.returncode == 0, result.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    titles = ("tiny, < 16 x 16 px", "truth / taken for", "one false alarm in", "AP by centre", "pre-processing", "NMS")
    for title in titles:
        assert title in result.stdout
    main_numbers, *paths = result.stdout.splitlines()[-5:]
    assert main_numbers.startswith("mAP50:95 ")
    assert main_numbers.endswith(" ms per image")
    assert {Path(line.split(": ")[1]) for line in paths} == {tmp_path / "out" / name for name in FILES}
    assert "detect: 100%" in result.stderr
    assert "time: 100%" in result.stderr
    assert cv2.imread(str(tmp_path / "out" / "precision_recall_test.png")) is not None

    report = json.loads((tmp_path / "out" / "eval_test.json").read_text())
    assert report["images"] == 4
    assert report["milliseconds"]["repeats"] == 7
    assert report["milliseconds"]["steps"]["network"]["mean"] > 0
    assert report["settings"]["score_threshold"] == 0
    assert report["provenance"]["command"].endswith(f"data_dir {tiny_dataset}")
    detections = json.loads((tmp_path / "out" / "detections_test.json").read_text())
    # Class ids as in the file, which leaves gaps; every image has boxes at a score of 0.
    assert {found["category_id"] for found in detections} <= {3, 7}
    assert {found["image_id"] for found in detections} == {1, 2, 3, 4}


def test_numbers_agree_with_pycocotools(
    checkpoint: Path, tiny_dataset: Path, tmp_path: Path, tool: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool, "predict_split", detect_most)
    arguments = ["-f", EXP, "-c", checkpoint, "--device", "cpu", "--iterations", 0, "--split", "val"]
    arguments += ["--output-dir", tmp_path, "data_dir", tiny_dataset]
    tool.main(tool.make_parser().parse_args([str(argument) for argument in arguments]))
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(tiny_dataset / "annotations" / "val.json"))
        evaluator = COCOeval(truth, truth.loadRes(str(tmp_path / "detections_val.json")), "bbox")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    report = json.loads((tmp_path / "eval_val.json").read_text())
    numbers = [-1 if number is None else number for number in report["coco"].values()]
    assert numbers == pytest.approx(evaluator.stats.tolist(), abs=1e-12)
    assert 0.1 < report["coco"]["AP50"] < 1
    assert report["milliseconds"] is None
    # The invented drone of each of the four images.
    assert report["confusion"]["counts"][2] == [0, 4, 0]
    assert {point["class_name"] for point in report["false_alarms"]} == {"drone"}


def test_output_lies_beside_the_checkpoint_and_nothing_found_is_zero(
    checkpoint: Path, tiny_dataset: Path, tmp_path: Path, run_tool: RunTool
) -> None:
    own = tmp_path / checkpoint.name
    own.write_bytes(checkpoint.read_bytes())
    options = ["--conf", 1, "--iterations", 0, "--class", "bird", "--tsize", 32, "--fp16", "--device", "cpu"]
    result = run_tool("eval", "-f", EXP, "-c", own, *options, "data_dir", tiny_dataset)
    assert result.returncode == 0, result.stderr
    assert {path.name for path in tmp_path.iterdir()} == {*FILES, own.name}
    assert result.stdout.splitlines()[-5] == "mAP50:95 0.0 %, AP50 0.0 %, AP by centre 0.0 %"
    report = json.loads((tmp_path / "eval_test.json").read_text())
    assert report["false_alarms"][0]["class_name"] == "bird"
    assert report["settings"]["input_width"] == 32
    assert json.loads((tmp_path / "detections_test.json").read_text()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(["-c", "no.pth"], "no.pth: no such checkpoint", id="checkpoint"),
        pytest.param(["-f", "no.py"], "no.py: no such exp file", id="exp"),
        pytest.param(["--tsize", "100"], "multiples of 32", id="input-size"),
        pytest.param(["--class", "balloon"], "no such class", id="class"),
        pytest.param(["--device", "abacus"], "not known", id="device"),
        pytest.param(["test_size"], "has no value", id="field-without-value"),
    ],
)
def test_faults_end_in_one_line(
    checkpoint: Path,
    tiny_dataset: Path,
    tool: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    message: str,
) -> None:
    given = ["-f", str(EXP), "-c", str(checkpoint), "--device", "cpu", *options, "data_dir", str(tiny_dataset)]
    monkeypatch.setattr(sys, "argv", ["eval.py", *given])
    with pytest.raises(SystemExit) as ended:
        parser.run_tool(tool.make_parser(), tool.main)
    assert ended.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("eval.py: error: ")
    assert message in line


def test_detections_of_a_run_score_the_same_without_its_network(
    checkpoint: Path, tiny_dataset: Path, tmp_path: Path, tool: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool, "predict_split", detect_most)
    data = ["data_dir", str(tiny_dataset)]
    common = ["--split", "val", "--f1-score", "0.4", "--draws", "20"]
    network = ["-f", str(EXP), "-c", str(checkpoint), "--device", "cpu", "--iterations", "0"]
    tool.main(tool.make_parser().parse_args([*common, *network, "--output-dir", str(tmp_path), *data]))
    found = tmp_path / "detections_val.json"
    before = found.read_bytes()
    tool.main(tool.make_parser().parse_args([*common, "--detections", str(found), *data]))

    own = json.loads((tmp_path / "eval_val.json").read_text())
    given = json.loads((tmp_path / "detections_val_eval" / "eval_val.json").read_text())
    different = {key for key in own if own[key] != given[key]}
    assert different == {"settings", "provenance"}
    assert given["milliseconds"] is None
    assert given["provenance"]["checkpoint"] is None
    assert given["provenance"]["detections"] == str(found)
    assert found.read_bytes() == before
    written = {path.name for path in (tmp_path / "detections_val_eval").iterdir()}
    assert written == {"eval_val.json", "precision_recall_val.png", "confusion_val.png"}
    # Each object is found, less than a pixel off, and a drone is invented on each of the four images.
    by_centre, at_iou = given["by_centre"]["precision_recall_f1"]
    assert (by_centre["iou_threshold"], at_iou["iou_threshold"]) == (None, 0.5)
    assert (by_centre["score_threshold"], by_centre["chosen"]) == (0.4, "given")
    assert by_centre["false_boxes"] == 4
    assert by_centre["false_boxes_per_image"] == 1
    assert 0 < given["by_centre"]["ap_by_class"]["drone"] < 1


def test_detections_from_elsewhere(tiny_dataset: Path, tmp_path: Path, run_tool: RunTool) -> None:
    """The one object of a drone or a bird found exactly, without an exp and without a checkpoint."""
    truth = json.loads((tiny_dataset / "annotations" / "test.json").read_text())["annotations"]
    results = [{key: row[key] for key in ("image_id", "category_id", "bbox")} | {"score": 0.5} for row in truth]
    (tmp_path / "mine.json").write_text(json.dumps(results))
    result = run_tool("eval", "--detections", tmp_path / "mine.json", "data_dir", tiny_dataset)
    assert result.returncode == 0, result.stderr
    assert "mAP50:95 100.0 %, AP50 100.0 %, AP by centre 100.0 %" in result.stdout
    assert "that of the best F1 here" in result.stdout
    assert "ms per image" not in result.stdout
    assert json.loads((tmp_path / "mine_eval" / "eval_test.json").read_text())["by_centre"]["ap"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("entry", "options", "message"),
    [
        pytest.param({"image_id": 99}, [], "detection number 0: image_id 99 is not among the 4 images", id="image"),
        pytest.param({"category_id": 1}, [], "3 (bird), 7 (drone)", id="category"),
        pytest.param({}, ["--fp16"], "--fp16 says how a network runs", id="network-option"),
        pytest.param({}, ["--common-classes"], "--common-classes says how a network runs", id="common-classes"),
        pytest.param({}, ["--class", "balloon"], "no such class", id="class"),
    ],
)
def test_faulty_detections_end_in_one_line_and_write_nothing(
    tiny_dataset: Path, tmp_path: Path, tool: ModuleType, entry: dict[str, int], options: list[str], message: str
) -> None:
    found = {"image_id": 1, "category_id": 7, "bbox": [1, 2, 3, 4], "score": 0.5, **entry}
    (tmp_path / "mine.json").write_text(json.dumps([found]))
    given = ["--detections", str(tmp_path / "mine.json"), *options, "data_dir", str(tiny_dataset)]
    with pytest.raises(UserError) as error:
        tool.main(tool.make_parser().parse_args(given))
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.json"]


@pytest.fixture
def planes(tiny_dataset: Path, tmp_path: Path) -> Path:
    """The same data with planes for birds."""
    folder = tmp_path / "planes"
    (folder / "annotations").mkdir(parents=True)
    (folder / "images").symlink_to(tiny_dataset / "images")
    for name in ("train.json", "test.json"):
        text = (tiny_dataset / "annotations" / name).read_text()
        (folder / "annotations" / name).write_text(text.replace('"bird"', '"plane"'))
    return folder


def test_other_classes_than_the_networks_are_refused(checkpoint: Path, planes: Path, tool: ModuleType) -> None:
    args = tool.make_parser().parse_args(["-f", str(EXP), "-c", str(checkpoint), "data_dir", str(planes)])
    with pytest.raises(UserError, match=r"\['plane', 'drone'\] are not those .* \['bird', 'drone'\]"):
        tool.main(args)


def test_classes_in_common_are_measured(
    checkpoint: Path, tiny_dataset: Path, planes: Path, tmp_path: Path, tool: ModuleType
) -> None:
    """A data set that knows no birds: its drones have the AP that they have beside the birds."""
    measured = []
    for folder, extra in ((tiny_dataset, []), (planes, ["--common-classes"])):
        out = tmp_path / f"{folder.name}_out"
        options = [*extra, "--iterations", "0", "--output-dir", str(out)]
        given = ["-f", str(EXP), "-c", str(checkpoint), "--device", "cpu", *options, "data_dir", str(folder)]
        tool.main(tool.make_parser().parse_args(given))
        measured.append(json.loads((out / "eval_test.json").read_text()))
    whole, common = measured
    assert common["settings"]["classes"] == "drone"
    assert set(common["by_class"]) == {"drone"}
    assert common["by_class"]["drone"] == whole["by_class"]["drone"]


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(["--conf", "1.5"], id="conf"),
        pytest.param(["--nms", "-1"], id="nms"),
        pytest.param(["--match-iou", "0"], id="match-iou"),
        pytest.param(["-b", "0"], id="batch"),
        pytest.param(["--split", "all"], id="split"),
        pytest.param(["--f1-score", "2"], id="f1-score"),
        pytest.param(["--detections", "x.json"], id="detections-and-checkpoint"),
    ],
)
def test_values_out_of_range(tool: ModuleType, options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        tool.make_parser().parse_args(["-c", "x.pth", *options])
    assert ended.value.code == 2
    assert options[0] in capsys.readouterr().err


def test_every_class_raises_alarms_where_there_is_no_drone(tool: ModuleType) -> None:
    def split(*classes: str) -> CocoSplit:
        return CocoSplit(Path("test.json"), Path(), classes, tuple(range(len(classes))), ())

    assert tool.choose_alarm_classes(split("BIRD", "DRONE"), None) == ("DRONE",)
    assert tool.choose_alarm_classes(split("bird", "plane"), None) == ("bird", "plane")
    assert tool.choose_alarm_classes(split("bird", "drone"), "bird") == ("bird",)


def test_a_network_that_comes_along_is_known_by_its_name(tiny_dataset: Path, tmp_path: Path, run_tool: RunTool) -> None:
    options = ["--common-classes", "--iterations", 0, "--draws", 0, "data_dir", tiny_dataset]
    result = run_tool("eval", "-c", "visible", *options, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    written = json.loads((tmp_path / "runs" / "visible" / "eval_test.json").read_text())
    assert Path(written["provenance"]["checkpoint"]) == ROOT / "weights" / "yolox_nano_visible.onnx"
