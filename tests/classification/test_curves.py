"""Curves of runs."""

import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from yolox_gssam.classification.curves import fit_exponential, plot_comparison, plot_run
from yolox_gssam.engine.history import Row


def history(epochs: int, eval_interval: int = 1) -> list[Row]:
    rows: list[Row] = []
    for epoch in range(1, epochs + 1):
        falling = math.exp(-epoch / 5)
        validated = epoch % eval_interval == 0
        rows.append(
            {
                "epoch": epoch,
                "train_loss": falling,
                "train_accuracy": 1 - falling,
                "val_loss": 1.2 * falling if validated else math.nan,
                "val_accuracy": 0.9 - 0.5 * falling if validated else math.nan,
            }
        )
    return rows


def test_fit_finds_the_exponential_that_is_there() -> None:
    epochs = np.arange(1.0, 31.0)
    assert fit_exponential(epochs, 0.8 - 0.5 * np.exp(-epochs / 6)) == pytest.approx((0.8, -0.5, 6), rel=1e-4)


def test_fit_looks_through_noise() -> None:
    epochs = np.arange(1.0, 101.0)
    noise = np.random.default_rng(0).normal(0, 0.02, 100)
    fit = fit_exponential(epochs, 0.3 + 2 * np.exp(-epochs / 15) + noise)
    assert fit is not None
    assert fit == pytest.approx((0.3, 2, 15), rel=0.05)


def test_too_few_points_have_no_fit() -> None:
    epochs = np.arange(1.0, 4.0)
    assert fit_exponential(epochs, epochs) is None


@pytest.mark.parametrize(("epochs", "interval"), [(1, 1), (3, 2), (40, 1), (40, 10)])
def test_pictures(epochs: int, interval: int, tmp_path: Path) -> None:
    """Also of runs too short for a fit or an enlarged part, and of curves that are constant."""
    plot_run(tmp_path / "run.png", history(epochs, interval), "a run")
    flat = [{**row, "val_loss": 1.0, "val_accuracy": 0.25} for row in history(epochs)]
    plot_comparison(tmp_path / "all.png", {"none": [history(epochs, interval)] * 2, "gssam": [flat]}, "all")
    for name in ("run.png", "all.png"):
        assert cv2.imread(str(tmp_path / name)).std() > 0
