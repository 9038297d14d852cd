"""The table and the JSON of a comparison."""

import json
from pathlib import Path

import pytest

from yolox_gssam.evaluation.timing import Milliseconds
from yolox_gssam.research.benchmark.compare import Ratio
from yolox_gssam.research.benchmark.machine import Machine
from yolox_gssam.research.benchmark.network_size import NetworkSize
from yolox_gssam.research.benchmark.speed_report import SpeedReport, VariantResult

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
    second = VariantResult("exps/a$b.py", {"total": Milliseconds(10, 9, 15, 5)}, Ratio(2, 1.5, 2.25), None, None)
    variants = {"stock": first, "a$b": second}
    return SpeedReport("latency", quick, {"batch_size": 2}, MACHINE, variants, ["how it was"], {"gone": "no CUDA"})


def test_table() -> None:
    text = make_report(quick=False).table()
    rows = {line.split()[0]: line.split() for line in text.splitlines() if line}
    assert text.startswith("latency: batch size 2\n")
    times = [line for line in text.splitlines() if line.startswith(("stock  ", "a$b  "))]
    assert times[0].split()[1:6] == ["20.00", "18.00", "30.00", "10.00", "50.00"]
    assert times[0].split()[-4:] == ["3.0", "2.50", "1.23", "1.50"]
    assert times[1].split()[6:] == ["2.00", "(1.50", "to", "2.25)", "-", "-", "-", "-"]
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
