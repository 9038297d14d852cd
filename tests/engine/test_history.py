"""The record of a run."""

import csv
import math
from pathlib import Path

import pytest

from yolox_gssam.engine.history import Row, plot_curves, write_csv

LOSSES = ("total_loss", "iou_loss", "conf_loss", "cls_loss")


def rows(count: int) -> list[Row]:
    """Epochs of which only every second one was validated."""
    return [
        {
            "epoch": epoch,
            **dict.fromkeys(LOSSES, 10.0 / epoch),
            "val_ap": 0.1 * epoch if epoch % 2 == 0 else math.nan,
            "val_ap50": 0.2 * epoch if epoch % 2 == 0 else math.nan,
        }
        for epoch in range(1, count + 1)
    ]


def test_csv_holds_every_row(tmp_path: Path) -> None:
    write_csv(tmp_path / "history.csv", rows(3))
    read = list(csv.DictReader((tmp_path / "history.csv").open()))
    assert [row["epoch"] for row in read] == ["1", "2", "3"]
    assert [float(row["total_loss"]) for row in read] == pytest.approx([10, 5, 10 / 3], rel=1e-5)
    assert [row["val_ap"] for row in read] == ["nan", "0.2", "nan"]


@pytest.mark.parametrize("count", [pytest.param(1, id="one epoch, not validated"), pytest.param(4, id="four")])
def test_curves_are_a_picture(tmp_path: Path, count: int) -> None:
    plot_curves(tmp_path / "curves.png", rows(count), "title")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
