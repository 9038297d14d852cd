"""Loss and accuracy over the epochs, with an exponential fit and an enlarged part, as Figs 8 to 12 of the GSSAM paper
(doi 10.3788/LOP231933)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.optimize import curve_fit

from yolox_gssam.common.figure import save_figure
from yolox_gssam.engine.history import Row

Curve = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Epochs (n,) and what was measured after them (n,)."""


def exponential(epochs: NDArray[np.float64], end: float, change: float, scale: float) -> NDArray[np.float64]:
    """end + change exp(-epochs / scale): what a curve comes to, from where, and in how many epochs to 63 %."""
    return end + change * np.exp(-epochs / scale)


def fit_exponential(epochs: NDArray[np.float64], values: NDArray[np.float64]) -> tuple[float, float, float] | None:
    """End, change and scale of the exponential nearest to the values; None for fewer than four, or where none fits."""
    if len(epochs) < 4:
        return None
    guess = (values[-1], values[0] - values[-1], max(1.0, np.ptp(epochs) / 4))
    span = float(np.ptp(epochs))
    try:
        found, _ = curve_fit(
            exponential, epochs, values, p0=guess, bounds=([-np.inf, -np.inf, span / 1e3], [np.inf, np.inf, 10 * span])
        )
    except (RuntimeError, ValueError):  # it does not converge; the guess lies beyond the bounds
        return None
    end, change, scale = map(float, found)
    return end, change, scale


def plot_run(path: Path, history: Sequence[Row], title: str) -> None:
    """Draws losses and accuracies of one run as a PNG."""
    _plot(path, {"training": ("train", [history]), "validation": ("val", [history])}, title)


def plot_comparison(path: Path, runs: Mapping[str, Sequence[Sequence[Row]]], title: str) -> None:
    """Draws validation losses and accuracies of several attentions as a PNG.

    Args:
        runs: name of an attention -> the histories of its runs, one a seed, whose mean is drawn.
    """
    _plot(path, {name: ("val", histories) for name, histories in runs.items()}, title)


def _plot(path: Path, shown: Mapping[str, tuple[str, Sequence[Sequence[Row]]]], title: str) -> None:
    """Draws a curve for each label: of "train" or "val", the mean of histories."""
    figure = Figure(figsize=(13, 5), layout="constrained")
    loss_axis, accuracy_axis = figure.subplots(1, 2)
    losses = {label: _mean_curve(histories, f"{part}_loss") for label, (part, histories) in shown.items()}
    _draw(loss_axis, losses, "loss", inset=(0.45, 0.45, 0.52, 0.5))
    accuracies = {label: _mean_curve(histories, f"{part}_accuracy") for label, (part, histories) in shown.items()}
    percent = {label: (epochs, 100 * values) for label, (epochs, values) in accuracies.items()}
    _draw(accuracy_axis, percent, "accuracy, %", inset=(0.45, 0.08, 0.52, 0.5))
    figure.suptitle(title)
    save_figure(figure, path)


def _draw(axis: Axes, curves: Mapping[str, Curve], what: str, inset: tuple[float, float, float, float]) -> None:
    """The curves pale, their fits bold, and the last third of the epochs enlarged."""
    curves = {name: curve for name, curve in curves.items() if len(curve[0])}
    enlarged: Axes = axis.inset_axes(inset)
    last = max((curve[0][-1] for curve in curves.values()), default=1.0)
    ends = []
    for number, (name, (epochs, values)) in enumerate(curves.items()):
        fit = fit_exponential(epochs, values)
        for place in (axis, enlarged):
            place.plot(epochs, values, color=f"C{number}", alpha=0.35 if fit else 1, lw=1, label=None if fit else name)
            if fit:
                smooth = np.linspace(epochs[0], epochs[-1], 200)
                place.plot(smooth, exponential(smooth, *fit), color=f"C{number}", label=f"{name}, fit")
        ends.append(values[epochs >= 2 / 3 * last])
    axis.set(xlabel="epoch", ylabel=what)
    axis.grid(alpha=0.3)
    if curves:
        axis.legend(loc="upper left" if "loss" not in what else "lower left", fontsize=8)
    shown = np.concatenate(ends) if ends else np.zeros(0)
    if last < 4 or not len(shown):  # too little to enlarge
        enlarged.remove()
        return
    margin = 0.05 * np.ptp(shown) or 0.01
    enlarged.set(xlim=(2 / 3 * last, last), ylim=(shown.min() - margin, shown.max() + margin))
    enlarged.tick_params(labelsize=7)
    axis.indicate_inset_zoom(enlarged)


def _mean_curve(histories: Sequence[Sequence[Row]], name: str) -> Curve:
    """The mean over the runs at the epochs after which all were validated; elsewhere they have NaN or None."""
    values = np.mean(np.array([[row[name] for row in history] for history in histories], np.float64), axis=0)
    measured = ~np.isnan(values)
    return np.array([row["epoch"] for row in histories[0]], np.float64)[measured], values[measured]
