"""Pictures of the numbers: precision-recall curves and the confusion matrix, as PNG."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from yolox_gssam.common.figure import save_figure
from yolox_gssam.evaluation.coco_metrics import RECALLS, CocoMetrics, percent
from yolox_gssam.evaluation.confusion import ConfusionMatrix

MOST_NAMES = 15
"""Curves get a name, and cells a number, up to so many classes."""


def plot_precision_recall(path: Path, metrics: CocoMetrics) -> None:
    """Writes one curve a class at IoU 0.50, and their mean; classes without a true object have none."""
    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.subplots()
    curves = {name: curve for name, curve in metrics.precision_50.items() if curve is not None}
    named = len(curves) <= MOST_NAMES
    for name, curve in curves.items():
        label = f"{percent(metrics.by_class[name].ap50)}  {_plain(name)}" if named else None
        axes.plot(RECALLS, curve, linewidth=1.2 if named else 0.6, label=label)
    if len(curves) > 1:
        label = f"{percent(metrics.overall.ap50)}  mean"
        axes.plot(RECALLS, np.mean(list(curves.values()), axis=0), color="black", linewidth=2.2, label=label)
    axes.set(xlabel="recall", ylabel="precision", title="Precision and recall at IoU 0.50", xlim=(0, 1), ylim=(0, 1.02))
    axes.grid(alpha=0.3)
    if curves:
        axes.legend(title="AP50, %", loc="lower left")
    save_figure(figure, path)


def plot_confusion(path: Path, matrix: ConfusionMatrix) -> None:
    """Writes the counts, coloured by their share of the row."""
    size = len(matrix.counts)
    side = min(3 + 0.7 * size, 16)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    shares = matrix.counts / np.maximum(matrix.counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(size), list(map(_plain, matrix.column_names)), rotation=45, ha="right")
    axes.set_yticks(range(size), list(map(_plain, matrix.row_names)))
    if len(matrix.classes) <= MOST_NAMES:
        for (row, column), count in np.ndenumerate(matrix.counts):
            axes.text(
                column, row, str(count), ha="center", va="center", color="w" if shares[row, column] > 0.5 else "k"
            )
    title = f"score at least {matrix.score_threshold:g}, IoU at least {matrix.iou_threshold:g}"
    axes.set(xlabel="prediction", ylabel="truth", title=title)
    figure.colorbar(image, ax=axes, label="share of the row", shrink=0.8)
    save_figure(figure, path)


def _plain(name: str) -> str:
    """A class name as it is: matplotlib would read formulas between dollar signs."""
    return name.replace("$", r"\$")
