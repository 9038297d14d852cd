"""The record of a run: one row an epoch, as CSV and as curves."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from yolox_gssam.common.files import atomic_path, write_text

Row = dict[str, float]


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Writes the rows, all with the same columns, whole or not at all."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: f"{value:.6g}" for name, value in row.items()} for row in rows)
    write_text(path, text.getvalue())


def plot_curves(path: Path, rows: Sequence[Row], title: str) -> None:
    """Draws the losses and the validation AP over the epochs as a PNG."""
    epochs = [row["epoch"] for row in rows]
    figure, (loss_axis, ap_axis) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    for name in ("total_loss", "iou_loss", "conf_loss", "cls_loss"):
        loss_axis.plot(epochs, [row[name] for row in rows], label=name.replace("_", " "), marker=".")
    for name, label in (("val_ap", "mAP50:95"), ("val_ap50", "AP50")):
        measured = [row for row in rows if row[name] == row[name]]
        ap_axis.plot([r["epoch"] for r in measured], [100 * r[name] for r in measured], label=label, marker=".")
    loss_axis.set(xlabel="epoch", ylabel="training loss", ylim=(0, None))
    ap_axis.set(xlabel="epoch", ylabel="validation AP, %", ylim=(0, None))
    for axis in (loss_axis, ap_axis):
        axis.legend()
        axis.grid(alpha=0.3)
    figure.suptitle(title)
    with atomic_path(path) as part:
        figure.savefig(part, dpi=120)
    plt.close(figure)
