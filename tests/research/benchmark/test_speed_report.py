"""The table and the JSON of a comparison, and sizes of networks against YOLOX's own count."""

import json
import re
from pathlib import Path

import pytest
import torch
from torch import nn
from yolox.utils import get_model_info

from yolox_gssam.evaluation.timing import Milliseconds
from yolox_gssam.models import build_yolox
from yolox_gssam.research.benchmark.compare import Ratio
from yolox_gssam.research.benchmark.machine import Machine
from yolox_gssam.research.benchmark.speed_report import NetworkSize, SpeedReport, VariantResult, network_size

MACHINE = Machine("Some CPU", 8, 4, "cpu (4 threads)", None, 123.4, {"python": "3.11"}, "2026-01-01", "benchmark.py x")


def make_report(quick: bool) -> SpeedReport:
    first = VariantResult(
        "stock,width=0.25",
        {"total": Milliseconds(20, 18, 30, 10), "network": Milliseconds(15, 14, 20, 9)},
        Ratio(1, 1, 1),
        3 * 2**20,
        NetworkSize(2_500_000, 1.234),
        {"boxes/image": 1.5},
    )
    second = VariantResult(
        "exps/a$b.py",
        {"total": Milliseconds(10, 9, 15, 5), "network": Milliseconds(8, 7, 9, 4)},
        Ratio(2, 1.5, 2.25),
        None,
        None,
        {"boxes/image": 2},
    )
    variants = {"stock": first, "a$b": second}
    return SpeedReport("latency", quick, {"batch_size": 2}, MACHINE, variants, ["how it was"], {"gone": "no CUDA"})


def test_table() -> None:
    text = make_report(quick=False).table()
    rows = {line.split()[0]: line.split() for line in text.splitlines() if line}
    assert text.startswith("latency: batch size 2\n")
    times = [line for line in text.splitlines() if line.startswith(("stock  ", "a$b  "))]
    assert times[0].split()[1:6] == ["20.00", "18.00", "30.00", "10.00", "50.00"]
    assert times[0].split()[-4:] == ["3.0", "2.50", "1.23", "1.50"]
    assert times[1].split()[6:] == ["2.00", "(1.50", "to", "2.25)", "-", "-", "-", "2.00"]
    assert times[2].split() == ["stock", "14.00"]
    assert rows["gone:"] == ["gone:", "left", "out,", "no", "CUDA"]
    assert "times as fast as stock" in text
    assert "how it was" in text
    assert "Some CPU, 8 cores" in text
    assert "at 123 GFLOP/s" in text


def test_a_quick_run_says_so_everywhere(tmp_path: Path) -> None:
    report = make_report(quick=True)
    assert "quick" in report.table().splitlines()[0]
    report.write(tmp_path / "quick")
    make_report(quick=False).write(tmp_path / "long")
    assert json.loads((tmp_path / "quick" / "latency.json").read_text())["quick"] is True
    assert json.loads((tmp_path / "long" / "latency.json").read_text())["quick"] is False


def test_json_holds_what_the_table_shows(tmp_path: Path) -> None:
    content = json.loads(make_report(quick=False).write(tmp_path).read_text())
    assert content["variants"]["stock"]["steps"]["network"] == {"mean": 15, "median": 14, "p95": 20, "minimum": 9}
    assert content["variants"]["a$b"]["ratio"] == {"median": 2, "low": 1.5, "high": 2.25}
    assert content["variants"]["stock"]["memory_bytes"] == 3 * 2**20
    assert content["variants"]["stock"]["network"]["parameters"] == 2_500_000
    assert content["machine"]["matmul_gflops"] == pytest.approx(123.4)
    assert content["left_out"] == {"gone": "no CUDA"}


def test_one_convolution() -> None:
    # 8 maps of 32 x 48, each value from 3 maps of 3 x 3; two operations a multiply-add.
    model = nn.Conv2d(3, 8, 3, padding=1, bias=False)
    assert network_size(model, (32, 48)) == NetworkSize(216, 2 * 8 * 32 * 48 * 27 / 1e9)


def test_agrees_with_yolox_and_leaves_the_model_alone() -> None:
    model = build_yolox(2, 0.33, 0.125, depthwise=True)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    size = network_size(model, (128, 96))
    parameters, gflops = map(float, re.findall(r"[\d.]+", get_model_info(model.eval(), (128, 96))))
    assert size.parameters / 1e6 == pytest.approx(parameters, abs=0.005)
    assert size.gflops == pytest.approx(gflops, abs=0.005)
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in before.items())
