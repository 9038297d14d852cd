"""What a report says of its machine."""

from types import SimpleNamespace

import pytest
import torch

from yolox_gssam.research.benchmark import machine
from yolox_gssam.research.benchmark.machine import clock_mhz, describe_machine, matmul_gflops

CPU = torch.device("cpu")


def test_speed_of_a_product(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([0.0, 4.0, 4.0, 6.0, 6.0, 10.0])  # 4, 2 and 4 seconds
    monkeypatch.setattr(machine, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    assert matmul_gflops(CPU, repeats=3) == pytest.approx(1024**3 / 1e9)


def test_clock_is_the_mean_of_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.Path, "read_text", lambda *_, **__: "cpu MHz\t\t: 2000.5\nx : 1\ncpu MHz\t\t: 3000.5\n")
    assert clock_mhz() == 2500.5
    monkeypatch.setattr(machine.Path, "read_text", lambda *_, **__: "vendor_id : ARM\n")
    assert clock_mhz() is None


def test_lines_name_hardware_versions_and_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["benchmark.py", "latency", "--variant", "a b"])
    hardware, versions, command = describe_machine(CPU).lines()
    assert f"torch with {torch.get_num_threads()} threads" in hardware
    assert "GFLOP/s" in hardware
    assert f"torch {torch.__version__.split('+')[0]}" in versions
    assert "not installed" not in versions
    assert command.endswith("benchmark.py latency --variant 'a b'")
