"""The record of a run: one row per epoch, as CSV, as curves and for TensorBoard."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure
from torch.utils.tensorboard import SummaryWriter

from yolox_gssam.common.figure import save_figure
from yolox_gssam.common.files import write_text
from yolox_gssam.common.progress import progress_bar

Row = dict[str, float]


class Display:
    """What is shown of a run while it goes on: a progress bar and, in `folder`, files for TensorBoard.

    Args:
        folder: None: neither.
        batch_size: images per step over all processes.
        done: steps; what an earlier run wrote of later ones is not shown.
    """

    def __init__(self, folder: Path | None, epochs: int, steps_per_epoch: int, batch_size: int, done: int) -> None:
        self._epochs, self._steps_per_epoch, self._batch_size = epochs, steps_per_epoch, batch_size
        self._writer = None if folder is None else SummaryWriter(str(folder), purge_step=done + 1)
        self._bar = progress_bar(
            description="training",
            unit="img",
            total=epochs * steps_per_epoch * batch_size,
            initial=done * batch_size,
            disable=folder is None,
        )

    def advance(self) -> None:
        self._bar.update(self._batch_size)

    def show_step(self, number: int, values: Mapping[str, float], best_ap: float) -> None:
        """Shows what holds after so many steps of the run."""
        self._bar.set_description(f"epoch {-(-number // self._steps_per_epoch)}/{self._epochs}", refresh=False)
        self._bar.set_postfix(loss=f"{values['total_loss']:.2f}", best_AP=f"{100 * best_ap:.1f}", refresh=False)
        self.add("train", values, number)

    def add(self, group: str, values: Mapping[str, float], number: int) -> None:
        """Adds a point, at a step or an epoch, to the curve of each name."""
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(f"{group}/{name}", value, number)

    def close(self) -> None:
        self._bar.close()
        if self._writer is not None:
            self._writer.close()


def without_nan(rows: Sequence[Row]) -> list[dict[str, float | None]]:
    """The rows for JSON, which knows no NaN: None stands for what was not measured."""
    return [{name: None if value != value else value for name, value in row.items()} for row in rows]


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
    figure = Figure(figsize=(11, 4), layout="constrained")
    loss_axis, ap_axis = figure.subplots(1, 2)
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
    save_figure(figure, path)
