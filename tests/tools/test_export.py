"""tools/export.py as a user runs it, and its files in the other tools."""

import json
from pathlib import Path

import pytest
import torch
from conftest import RunTool, fields

pytest.importorskip("onnxruntime")


@pytest.fixture(scope="session")
def checkpoint(run_tool: RunTool, tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("runs")
    few = fields(tiny_dataset, runs, max_epoch=2)
    done = run_tool("train", "-f", "exps/gssam_sig_res_p1.py", "-b", 4, "-expn", "run", *few)
    assert done.returncode == 0, done.stderr
    return runs / "run" / "best_ckpt.pth"


def test_an_exported_detector_needs_only_its_file(
    run_tool: RunTool, checkpoint: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    path = tmp_path / "detector.onnx"
    done = run_tool("export", "-c", str(checkpoint), "--format", "onnx", "--output", str(path))
    assert f"onnx: {path}, float32, read back by onnxruntime" in done.stdout

    evaluations = []
    for weights in (checkpoint, path):
        out = tmp_path / weights.stem
        run_tool("eval", "-c", str(weights), "--iterations", "3", "--output-dir", str(out), "--conf", "0.001")
        evaluations.append(json.loads((out / "eval_test.json").read_text()))
    ours, theirs = (evaluation["coco"]["AP"] for evaluation in evaluations)
    assert ours == pytest.approx(theirs, abs=1e-3)
    assert "onnxruntime" in evaluations[1]["settings"]["backend"]

    photos = str(tiny_dataset / "images" / "test_2.jpg")
    done = run_tool("demo", "image", "--path", photos, "-c", str(path), "--output", str(tmp_path / "out"))
    assert (tmp_path / "out" / "test_2.jpg").is_file()


def test_weights_in_half_precision(run_tool: RunTool, checkpoint: Path, tiny_dataset: Path) -> None:
    state = torch.load(checkpoint, weights_only=True)
    name = "backbone.backbone.stem.conv.bn.running_var"
    state["model"][name][0] = 1e6  # as images in 0 to 255 make it; the largest float16 is 65504
    torch.save(state, checkpoint)
    done = run_tool("export", "-c", str(checkpoint), "--format", "checkpoint", "--half", "data_dir", "elsewhere")
    path = checkpoint.parent / "best_ckpt.weights.pth"
    assert f"checkpoint: {path}, float16, read back by torch" in done.stdout, done.stderr
    assert path.stat().st_size < checkpoint.stat().st_size / 4
    full, half = (torch.load(file, weights_only=True) for file in (checkpoint, path))
    assert set(half) == {"model", "class_names", "exp"}
    assert half["exp"]["data_dir"] == "elsewhere"
    assert half["class_names"] == full["class_names"]
    for name, value in full["model"].items():
        torch.testing.assert_close(half["model"][name].to(value.dtype), value, rtol=1e-3, atol=1e-7)
    photo, out = str(tiny_dataset / "images" / "test_2.jpg"), str(checkpoint.parent / "demo")
    done = run_tool("demo", "image", "--path", photo, "-c", str(path), "--save-attention", "--output", out)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(["--format", "onnx", "--output", "x.xml"], "ends in .onnx", id="suffix"),
        pytest.param(["--format", "torchscript", "--int8"], "--int8 is there for --format openvino only", id="int8"),
    ],
)
def test_what_cannot_be_done_ends_in_a_line(
    run_tool: RunTool, checkpoint: Path, options: list[str], message: str
) -> None:
    done = run_tool("export", "-c", str(checkpoint), *options)
    assert done.returncode != 0
    assert message in done.stderr.strip().splitlines()[-1]
    assert list(checkpoint.parent.glob("*.onnx")) == []


def test_settings_that_an_exported_file_cannot_take(run_tool: RunTool, checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / "detector.onnx"
    run_tool("export", "-c", str(checkpoint), "--format", "onnx", "--output", str(path))
    for options, message in (
        (["--tsize", "128"], "was exported for 2 classes and inputs of 64 x 96 pixels"),
        (["--fp16"], "has its own precision; leave out --fp16"),
        (["--tight"], "takes inputs of one size only"),
    ):
        done = run_tool("eval", "-c", str(path), *options)
        assert done.returncode != 0
        assert message in done.stderr.strip().splitlines()[-1]
