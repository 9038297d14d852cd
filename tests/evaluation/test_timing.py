"""Timing against a clock that the stages themselves advance."""

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest

from yolox_gssam.evaluation import timing
from yolox_gssam.evaluation.timing import time_inference


class FakeStages:
    """Pre-processing takes as many milliseconds as the image is high, the network 10, NMS 2."""

    def __init__(self) -> None:
        self.milliseconds = 0.0
        self.heights: list[int] = []

    def preprocess(self, images: Sequence[np.ndarray]) -> str:
        (image,) = images
        self.heights.append(image.shape[0])
        self.milliseconds += image.shape[0]
        return "batch"

    def network(self, batch: str) -> str:
        assert batch == "batch"
        self.milliseconds += 10
        return "outputs"

    def postprocess(self, outputs: str, sizes_hw: Sequence[tuple[int, int]]) -> None:
        assert outputs == "outputs"
        assert sizes_hw == [(self.heights[-1], 7)]
        self.milliseconds += 2


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> FakeStages:
    fake = FakeStages()
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: fake.milliseconds / 1000))
    return fake


def image(height: int) -> np.ndarray:
    return np.zeros((height, 7, 3), np.uint8)


def test_steps_mean_median_percentile_and_minimum(stages: FakeStages) -> None:
    times = time_inference(stages, [image(1), image(2), image(6)], repeats=300, warmup=2)
    # Warm-up takes the images 1 and 2; then 6, 1, 2, 6, 1, 2 ...
    assert stages.heights == ([1, 2, 6] * 101)[:302]
    expected = {"preprocess": (3, 2, 6, 1), "network": (10,) * 4, "nms": (2,) * 4, "total": (15, 14, 18, 13)}
    assert list(times.steps) == list(expected)
    for name, numbers in expected.items():
        step = times.steps[name]
        assert (step.mean, step.median, step.p95, step.minimum) == pytest.approx(numbers)
    assert (times.repeats, times.warmup) == (300, 2)


def test_shows_progress(stages: FakeStages, capsys: pytest.CaptureFixture[str]) -> None:
    time_inference(stages, [image(1)], repeats=3, warmup=1)
    assert "4/4" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("images", "repeats"), [pytest.param([], 5, id="image"), pytest.param([image(1)], 0, id="repeat")]
)
def test_nothing_to_time(stages: FakeStages, images: list[np.ndarray], repeats: int) -> None:
    with pytest.raises(ValueError, match="needs an image and a repeat"):
        time_inference(stages, images, repeats)
