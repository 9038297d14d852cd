"""The fastest backend: measured once, then remembered."""

import json
from pathlib import Path

import pytest
import torch
from yolox.models import YOLOX

from yolox_gssam.inference.backends import auto

CPU = torch.device("cpu")
SIZE = (64, 64)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[list[str]]:
    """Which backends were measured, a list each time; torch wins."""
    calls: list[list[str]] = []

    def measure(names: list[str], *arguments: object) -> dict[str, float]:
        calls.append(names)
        return {name: 1.0 if name == "torch" else 2.0 for name in names}

    monkeypatch.setenv("YOLOX_GSSAM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(auto, "_measure", measure)
    return calls


def test_measures_once_and_remembers(nano: YOLOX, measured: list[list[str]]) -> None:
    assert [auto.fastest_backend(nano, SIZE, CPU) for _ in range(2)] == ["torch", "torch"]
    assert len(measured) == 1
    assert "compile" not in measured[0]
    assert list(json.loads(auto.memory_path().read_text()).values()) == ["torch"]


def test_another_size_is_measured_anew(nano: YOLOX, measured: list[list[str]]) -> None:
    for size in (SIZE, (96, 64)):
        auto.fastest_backend(nano, size, CPU)
    assert len(measured) == 2


@pytest.mark.parametrize("content", ["no JSON", "[]", '{"a": 3}'])
def test_a_damaged_memory_is_made_anew(nano: YOLOX, measured: list[list[str]], content: str) -> None:
    auto.memory_path().parent.mkdir()
    auto.memory_path().write_text(content)
    auto.fastest_backend(nano, SIZE, CPU)
    auto.fastest_backend(nano, SIZE, CPU)
    assert len(measured) == 1


def test_the_measurement_itself(nano: YOLOX) -> None:
    milliseconds = auto._measure(["torch", "onnxruntime"], nano, SIZE, CPU, False)
    assert milliseconds["torch"] > 0
