"""tools/classify.py, run as a user runs it, on drawn images of bright and dark squares."""

import json
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT, RunTool, read_history, read_until
from PIL import Image
from warm_python import WarmPython

COUNTS = {"train": 8, "val": 4, "test": 4}
SETTINGS = ("--network", "resnet34", "--image-size", "64", "-b", "8", "--device", "cpu", "--lr", "0.02")


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("crops")
    rng = np.random.default_rng(0)
    for part, count in COUNTS.items():
        for label, level in (("bird", 30), ("drone", 220)):
            (root / part / label).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(100, 150, (64, 64, 3), dtype=np.uint8)
                pixels[16:48, 16:48] = level
                Image.fromarray(pixels).save(root / part / label / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def whole(crops: Path, tmp_path_factory: pytest.TempPathFactory, run_tool: RunTool) -> Path:
    """The folder of a run of three epochs that nobody interrupted."""
    output = tmp_path_factory.mktemp("runs")
    result = run_tool("classify", "train", "--data", crops, *SETTINGS, "--epochs", 3, "--output", output)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == str(output / "resnet34-none-seed0")
    return output / "resnet34-none-seed0"


def test_a_run_leaves_its_files(whole: Path) -> None:
    names = {path.name for path in whole.iterdir()}
    assert {"best_ckpt.pth", "latest_ckpt.pth", "history.csv", "curves.png", "train_log.txt", "result.json"} <= names
    assert [row["epoch"] for row in read_history(whole)] == ["1", "2", "3"]
    result = json.loads((whole / "result.json").read_text())
    accuracies = [row["val_accuracy"] for row in result["history"]]
    assert result["val"]["accuracy"] == max(accuracies)
    assert result["best_epoch"] == 1 + accuracies.index(max(accuracies))
    assert result["test"]["images"] == 8


def test_a_run_that_was_stopped_ends_with_the_same_weights(
    whole: Path, crops: Path, tmp_path: Path, run_tool: RunTool, warm_python: WarmPython
) -> None:
    """SIGTERM after the first validation, then --resume: bit for bit the same."""
    arguments = ["train", "--data", str(crops), *SETTINGS, "--epochs", "3", "--output", str(tmp_path)]
    process = warm_python.popen([ROOT / "tools" / "classify.py", *arguments], ROOT)
    read_until(process, "epoch 1: loss")
    process.send_signal(signal.SIGTERM)
    assert process.wait(300) == 128 + signal.SIGTERM
    resumed = run_tool("classify", *arguments, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert "resuming" in resumed.stderr
    run = tmp_path / whole.name
    for name in ("latest_ckpt.pth", "best_ckpt.pth"):
        one, two = (torch.load(folder / name, weights_only=True)["model"] for folder in (whole, run))
        assert all(torch.equal(value, two[key]) for key, value in one.items()), name
    results = [json.loads((folder / "result.json").read_text()) for folder in (whole, run)]
    for row in (row for result in results for row in result["history"]):
        del row["images_per_second"]
    assert results[0] == results[1]


def test_eval_repeats_the_test(whole: Path, crops: Path, tmp_path: Path, run_tool: RunTool) -> None:
    out = tmp_path / "numbers.json"
    arguments = ("-c", whole / "best_ckpt.pth", "-b", 8, "--device", "cpu", "--output", out)
    result = run_tool("classify", "eval", "--data", crops, *arguments)
    assert result.returncode == 0, result.stderr
    assert "8 images" in result.stdout
    assert json.loads(out.read_text()) == json.loads((whole / "result.json").read_text())["test"]


def test_table_keeps_what_is_finished_and_repeats_what_is_broken(
    crops: Path, tmp_path: Path, run_tool: RunTool
) -> None:
    output = tmp_path / "table"
    paper = tmp_path / "paper.csv"
    paper.write_text("model,attention,accuracy_percent\nresnet34,gssam,81.00\n")
    command = ["table", "--data", crops, "--networks", *SETTINGS[1:], "--attentions", "none", "gssam", "--seeds", 0]
    command += ["--epochs", 1, "--schedule", "step", "--output", output, "--paper", paper]
    first = run_tool("classify", *command)
    assert first.returncode == 0, first.stderr
    lines = [line for line in first.stdout.splitlines() if "resnet34" in line]
    assert ["25856586" in lines[0], "25864728" in lines[1], lines[1].rstrip(" |").endswith("81.00")] == [True] * 3
    runs = [output / f"resnet34-{name}-seed0" for name in ("none", "gssam")]
    assert not any((run / "latest_ckpt.pth").exists() for run in runs)
    times = [(run / "best_ckpt.pth").stat().st_mtime_ns for run in runs]
    (runs[1] / "result.json").write_text("{")
    second = run_tool("classify", *command)
    assert second.returncode == 0, second.stderr
    assert second.stdout == first.stdout
    assert [(run / "best_ckpt.pth").stat().st_mtime_ns > time for run, time in zip(runs, times, strict=True)] == [
        False,
        True,
    ]


def test_bad_input_is_one_line(whole: Path, crops: Path, tmp_path: Path, run_tool: RunTool) -> None:
    train = ["train", "--data", crops, *SETTINGS]
    for arguments, message in (
        (
            [*train, "--epochs", 2, "--resume", "--output", whole.parent],
            "of another run: epochs 3, now 2; resume with its own settings and data, or choose another --name",
        ),
        (["eval", "--data", tmp_path, "-c", whole / "best_ckpt.pth"], "needed are <split>/<class>/<image>"),
    ):
        result = run_tool("classify", *arguments)
        assert result.returncode == 1, result.stderr
        assert "Traceback" not in result.stderr
        assert message in result.stderr.strip().splitlines()[-1]
