"""Pictures: whole files that show something, whatever the classes are called."""

import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
from evaluation.cases import found, make_split, random_case

from yolox_gssam.common.errors import UserError
from yolox_gssam.evaluation.coco_metrics import Accuracy, CocoMetrics, evaluate_coco
from yolox_gssam.evaluation.confusion import ConfusionMatrix, confusion_matrix
from yolox_gssam.evaluation.plots import plot_confusion, plot_precision_recall

NAMES = [
    pytest.param(("bird", "drone", "plane"), id="plain"),
    pytest.param(("$x^$", "_drone", "a$b"), id="signs"),
    pytest.param(tuple(f"class {number}" for number in range(80)), id="eighty"),
    pytest.param(("drone",), id="one"),
]


def metrics_of(names: tuple[str, ...]) -> CocoMetrics:
    group = Accuracy(3, 0.5, 0.75, 0.5, 0.5)
    curve = tuple(np.linspace(1, 0.5, 101).tolist())
    return CocoMetrics(group, 0.5, 0.5, {}, dict.fromkeys(names, group), dict.fromkeys(names, curve), "")


@pytest.mark.parametrize("names", NAMES)
def test_class_names(tmp_path: Path, names: tuple[str, ...]) -> None:
    counts = np.random.default_rng(0).integers(0, 9, (len(names) + 1,) * 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plot_precision_recall(tmp_path / "curves.png", metrics_of(names))
        plot_confusion(tmp_path / "confusion.png", ConfusionMatrix(counts, names, 0.3, 0.5))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["confusion.png", "curves.png"]
    assert cv2.imread(str(tmp_path / "curves.png")).std() > 5
    assert cv2.imread(str(tmp_path / "confusion.png")).std() > 5


def test_numbers_show(tmp_path: Path) -> None:
    """Other detections give another picture."""
    split, detections = random_case(tmp_path, 0)
    pictures = []
    for number, of_images in enumerate((detections, {})):
        plot_precision_recall(tmp_path / f"curves_{number}.png", evaluate_coco(split, of_images))
        plot_confusion(tmp_path / f"confusion_{number}.png", confusion_matrix(split, of_images))
        pictures.append([(tmp_path / f"{name}_{number}.png").read_bytes() for name in ("curves", "confusion")])
    assert pictures[0][0] != pictures[1][0]
    assert pictures[0][1] != pictures[1][1]


def test_nothing_to_draw(tmp_path: Path) -> None:
    metrics = evaluate_coco(make_split(tmp_path, [[]]), {1: found((1, 0.5, (0, 0, 9, 9)))})
    plot_precision_recall(tmp_path / "curves.png", metrics)
    assert cv2.imread(str(tmp_path / "curves.png")) is not None


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        plot_precision_recall(tmp_path / "file" / "curves.png", metrics_of(("drone",)))
