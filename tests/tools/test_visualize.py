"""tools/visualize.py, run as a user runs it."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from conftest import ROOT, RunTool

from yolox_gssam.classification.networks import build_classifier
from yolox_gssam.common.checkpoint import save_checkpoint
from yolox_gssam.experiment import load_exp


def write_checkpoint(exp_name: str, data: Path, path: Path) -> Path:
    """A tiny network whose fresh weights find something at a threshold of 0."""
    torch.manual_seed(0)
    fields = {"data_dir": data, "depth": 0.33, "width": 0.125, "depthwise": True, "input_size": "(64, 96)"}
    exp = load_exp(ROOT / "exps" / f"{exp_name}.py", [str(item) for pair in fields.items() for item in pair])
    model = exp.get_model()
    for conv in model.head.reg_preds:
        torch.nn.init.constant_(conv.bias, 2)  # large boxes, of which few stay: each takes time
    state = {"model": model.state_dict(), "class_names": list(exp.class_names)}
    save_checkpoint(path, {**state, "exp": {**exp.fields(), "num_classes": 2, "test_size": (64, 96)}})
    return path


@pytest.fixture(scope="module")
def runs(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    for exp_name in ("origin", "gssam_sig_res_p1"):
        (root / exp_name).mkdir()
        write_checkpoint(exp_name, tiny_dataset, root / exp_name / "best_ckpt.pth")
    return root


def test_detections_of_a_folder(runs: Path, tmp_path: Path, run_tool: RunTool) -> None:
    photos = tmp_path / "photos"
    for name in ("a/same.png", "b/same.png", "out/older.png"):
        (photos / name).parent.mkdir(parents=True)
        cv2.imwrite(str(photos / name), np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8))
    checkpoint = runs / "gssam_sig_res_p1" / "best_ckpt.pth"
    # The results lie in the folder that is read; what is there already is no photo.
    out = photos / "out"
    arguments = ["detections", "--path", photos, "-c", checkpoint, "--output", out]
    result = run_tool("visualize", *arguments, "--conf", "0", "--nms", "0", "--device", "cpu")
    assert result.returncode == 0, result.stderr
    assert "2 pictures" in result.stdout
    assert {path.name for path in out.glob("*.png")} == {"a_same.png.png", "b_same.png.png", "older.png"}
    picture = cv2.imread(str(out / "a_same.png.png"))
    assert picture is not None
    assert picture.shape[0] > 3 * 300, "the maps, the maps around the best detection, Grad-CAM"
    assert 6 * 400 <= picture.shape[1] < 6 * 410


def test_steps_of_images_of_the_data_set(runs: Path, tmp_path: Path, run_tool: RunTool) -> None:
    arguments = ["steps", "-c", runs / "gssam_sig_res_p1" / "best_ckpt.pth", "--count", "2", "--seed", "3"]
    result = run_tool("visualize", *arguments, "--device", "cpu", "--output", tmp_path)
    assert result.returncode == 0, result.stderr
    names = sorted(path.name for path in tmp_path.glob("*.png"))
    assert len(names) == 2
    assert all(name.startswith("test_") for name in names)


def test_energy_of_two_networks(runs: Path, tmp_path: Path, run_tool: RunTool) -> None:
    checkpoints = [("-c", runs / name / "best_ckpt.pth") for name in ("origin", "gssam_sig_res_p1")]
    options = ["--conf", "0", "--nms", "0", "--device", "cpu", "--output", tmp_path / "energy.json"]
    result = run_tool("visualize", "energy", *(word for pair in checkpoints for word in pair), *options)
    assert result.returncode == 0, result.stderr
    report = json.loads((tmp_path / "energy.json").read_text())
    places = [(row["network"], row["place"]) for row in report["rows"]]
    stages = ["stem", "dark2", "dark3", "dark4", "dark5"]
    assert places == [("origin", "Grad-CAM"), *(("gssam_sig_res_p1", place) for place in [*stages, "Grad-CAM"])]
    for row in report["rows"]:
        assert row["images"] == 2, "two of the four images have boxes"
        assert 0 <= row["inside"] <= 1
        assert 0 < row["area"] < 0.2
    assert "± " in result.stdout
    assert "dark5" in result.stdout


def test_classifiers_side_by_side(tmp_path: Path, run_tool: RunTool) -> None:
    columns = []
    for attention in ("none", "cbam", "gssam"):
        torch.manual_seed(0)
        model = build_classifier("resnet34", attention, 2)
        info = {"network": "resnet34", "attention": attention, "attention_options": None, "image_size": 32}
        path = tmp_path / f"{attention}.pth"
        save_checkpoint(path, {"model": model.state_dict(), "classifier": {**info, "class_names": ["bird", "drone"]}})
        columns += ["-c", path]
    photos = []
    for number in range(2):
        photos.append(tmp_path / f"{number}.png")
        cv2.imwrite(str(photos[-1]), np.random.default_rng(number).integers(0, 256, (40, 60, 3), np.uint8))
    result = run_tool(
        "visualize", "cam", *columns, "--path", *photos, "--device", "cpu", "--output", tmp_path / "x.png"
    )
    assert result.returncode == 0, result.stderr
    assert "2 images, 3 networks" in result.stdout
    picture = cv2.imread(str(tmp_path / "x.png"))
    assert picture is not None
    assert 4 * 400 <= picture.shape[1] < 4 * 410
    assert 2 * 400 < picture.shape[0] < 2 * 450


@pytest.mark.parametrize(
    ("command", "message"),
    [
        pytest.param(["detections", "-c", "none.pth"], "none.pth", id="no-checkpoint"),
        pytest.param(["steps", "-c", "origin/best_ckpt.pth", "--count", "1"], "has no GSSAM", id="no-gssam"),
    ],
)
def test_errors_are_one_line(runs: Path, run_tool: RunTool, command: list[str], message: str) -> None:
    result = run_tool("visualize", *command, cwd=runs)
    assert result.returncode == 1
    line = result.stderr.splitlines()[-1]
    assert line.startswith("visualize.py: error: ")
    assert message in line
    assert "Traceback" not in result.stderr


def test_errors(runs: Path, tmp_path: Path, run_tool: RunTool) -> None:
    out = tmp_path / "errors.png"
    checkpoint = runs / "origin" / "best_ckpt.pth"
    result = run_tool("visualize", "errors", "-c", checkpoint, "--device", "cpu", "--output", out)
    assert result.returncode == 0, result.stderr
    assert "0 found, 0 taken for another class" in result.stdout
    assert cv2.imread(str(out)) is not None
