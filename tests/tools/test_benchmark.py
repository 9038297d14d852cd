"""tools/benchmark.py, run as a user runs it."""

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from conftest import ROOT, RunTool

from yolox_gssam.cli import parser

ORIGIN, GSSAM = ROOT / "exps" / "origin.py", ROOT / "exps" / "gssam_sig_res_p1.py"
TINY = ["width", "0.125", "depthwise", "True", "input_size", "(64,96)"]


@pytest.fixture
def tool() -> ModuleType:
    return importlib.import_module("yolox_gssam.cli.benchmark")


def run(run_tool: RunTool, folder: Path, what: str, *arguments: object) -> tuple[str, dict[str, Any]]:
    """Standard output and the numbers of a run that succeeds."""
    result = run_tool("benchmark", what, "--device", "cpu", "--output-dir", folder, *arguments)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == f"numbers: {folder / what}.json"
    return result.stdout, json.loads((folder / f"{what}.json").read_text())


def test_latency(run_tool: RunTool, tiny_dataset: Path, tmp_path: Path) -> None:
    variants = ["--variant", "stock", "--variant", ORIGIN, "--variant", f"att={GSSAM},act=relu"]
    options = ["--iterations", 6, "--conf", 0, "--data", tiny_dataset, *variants, "data_dir", tiny_dataset, *TINY]
    text, report = run(run_tool, tmp_path, "latency", *options)
    assert "times as fast as stock" in text
    assert "quick" not in text
    assert list(report["variants"]) == ["stock", "origin", "att"]
    for variant in report["variants"].values():
        steps = variant["steps"]
        assert list(steps) == ["total", "preprocess", "network", "nms"]
        assert 0 < steps["total"]["minimum"] <= steps["total"]["median"] <= steps["total"]["p95"]
        parts = sum(steps[name]["mean"] for name in ("preprocess", "network", "nms"))
        assert parts == pytest.approx(steps["total"]["mean"])
    # The same weights on the same frames.
    stock, origin = report["variants"]["stock"], report["variants"]["origin"]
    assert stock["more"] == origin["more"]
    assert stock["more"]["boxes/image"] > 0
    assert stock["network"] == origin["network"]
    assert report["variants"]["att"]["network"]["parameters"] > origin["network"]["parameters"]
    if sys.platform.startswith("linux"):
        assert 2**20 < origin["memory_bytes"] < 2**30
    assert report["machine"]["command"].endswith("(64,96)'")


def test_latency_of_batches_on_drawn_frames(run_tool: RunTool, tmp_path: Path) -> None:
    arguments = [
        "--device",
        "cpu",
        "--quick",
        "--iterations",
        5,
        "-b",
        2,
        "--variant",
        "stock",
        "--variant",
        ORIGIN,
        *TINY,
    ]
    result = run_tool("benchmark", "latency", *arguments, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "quick" in result.stdout.splitlines()[0]
    assert "drawn pictures of 640 x 512 pixels" in result.stdout
    assert (tmp_path / "runs" / "benchmark" / "latency" / "latency.json").is_file()


def test_train(run_tool: RunTool, tiny_dataset: Path, tmp_path: Path) -> None:
    variants = ["--variant", ORIGIN, "--variant", f"cached={GSSAM},cache=True", "--variant", f"half={ORIGIN},bf16=True"]
    options = ["--iterations", 2, "--rounds", 2, "-b", 4, "--data", tiny_dataset, *variants, *TINY]
    text, report = run(run_tool, tmp_path / "out", "train", *options, "data_num_workers", 0)
    assert "origin" in text
    assert list(report["variants"]) == ["origin", "cached", "half"]
    for variant in report["variants"].values():
        steps = variant["steps"]
        assert set(steps) == {"total", "data", "forward", "loss", "backward", "optimizer + EMA", "other"}
        assert all(steps[part]["mean"] > 0 for part in steps if part != "other")
        assert variant["network"]["gflops"] > 0
    assert not list(tiny_dataset.glob("*.array"))


def test_contrast(run_tool: RunTool, tmp_path: Path) -> None:
    options = ["--rounds", 3, "--values", 50, 102_400, "--samples", 4, "--threads", 1]
    text, report = run(run_tool, tmp_path, "contrast", *options)
    assert "102,400 x 4" in text
    assert {cell["values"] for cell in report["cells"]} == {50, 102_400}
    memory = {(c["variant"], c["values"]): c["memory_bytes"] for c in report["cells"] if c["mode"] == "forward"}
    if sys.platform.startswith("linux"):
        # Four differences a value and their magnitudes, 4 bytes each.
        assert memory["broadcasting", 102_400] >= 2 * 4 * 4 * 102_400


def test_attention(run_tool: RunTool, tmp_path: Path) -> None:
    variants = ["--variant", ROOT / "exps" / "cbam_p1.py", "--variant", f"att={GSSAM},act=relu"]
    text, report = run(
        run_tool, tmp_path, "attention", "--quick", "--threads", 1, *variants, "width", 0.25, "input_size", "(64,96)"
    )
    assert "quick" in text.splitlines()[0]
    assert list(report["variants"]) == ["cbam_p1", "att"]
    cells = {(cell["variant"], cell["stage"]): cell for cell in report["cells"]}
    assert len(cells) == 10
    # A quarter of YOLOX's channels: 16 at half the size, 256 at a 32nd, whose perceptron is 256 -> 16 -> 256.
    assert cells["att", "stem"]["maps"] == [16, 32, 48]
    assert cells["cbam_p1", "dark5"]["maps"] == [256, 2, 3]
    assert cells["cbam_p1", "dark5"]["parameters"] == 2 * 256 * 16 + 98
    assert "256 x 2 x 3" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["latency", "--variant", "no.py"], "no.py: no such exp file", id="exp"),
        pytest.param(["latency", "--variant", "stock,ckpt=no.pth"], "no.pth: no such checkpoint", id="checkpoint"),
        pytest.param(
            ["latency", "--variant", "stock", "--variant", "stock"], "two variants are called stock", id="name"
        ),
        pytest.param(["latency", "--data", "no"], "no: no such data set", id="data"),
        pytest.param(["latency", "--variant", "stock,backend=x"], "stock YOLOX has no backend", id="stock-backend"),
        pytest.param(["latency", "--variant", "stock,fp16=True"], "stock YOLOX has fp16 on CUDA only", id="stock-fp16"),
        pytest.param(["latency", "--variant", "exps/origin.py,backend=x"], "'x' is not known; use torch", id="backend"),
        pytest.param(["latency", "widht", "0.25"], "did you mean 'width'", id="field"),
        pytest.param(["latency", "width"], "'width' has no value", id="field-without-value"),
        pytest.param(["train", "--data", "no"], "no: no such data set", id="training-data"),
        pytest.param(["train", "--variant", "stock"], "timed by tools/gpu.py", id="stock"),
        pytest.param(["contrast", "--device", "abacus"], "not known", id="device"),
        pytest.param(["attention", "--variant", "exps/origin.py"], "origin.py has no attention", id="plain"),
        pytest.param(["attention", "--variant", "stock"], "stock YOLOX has no attention", id="stock-attention"),
    ],
)
def test_faults_end_in_one_line(
    tool: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tiny_dataset: Path,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(ROOT)
    what, *rest = arguments
    data = ["--data", str(tiny_dataset)] if what in ("latency", "train") else []
    given = [what, "--device", "cpu", *data, *rest]  # of two equal flags the later one holds
    monkeypatch.setattr(sys, "argv", ["benchmark.py", *given])
    with pytest.raises(SystemExit) as ended:
        parser.run_tool(tool.make_parser(), tool.main)
    assert ended.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("benchmark.py: error: ")
    assert message in line


def test_a_variant_that_cannot_be_built_is_named(run_tool: RunTool, tiny_dataset: Path) -> None:
    arguments = ["--device", "cpu", "--data", tiny_dataset, "--variant", f"small={ORIGIN},input_size=(65,96)"]
    result = run_tool("benchmark", "train", *arguments)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("benchmark.py: error: variant small: input_size must be")


@pytest.mark.parametrize(
    "arguments",
    [["latency", "--conf", "2"], ["latency", "-b", "0"], ["train", "--rounds", "0"], ["contrast", "--values", "0"], []],
)
def test_values_out_of_range(tool: ModuleType, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        tool.make_parser().parse_args(arguments)
    assert ended.value.code == 2
