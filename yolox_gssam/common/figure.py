"""Figures as PNG files."""

from pathlib import Path

from matplotlib.figure import Figure

from yolox_gssam.common.files import atomic_path


def save_figure(figure: Figure, path: Path) -> None:
    """Writes a PNG, see `atomic_path`."""
    with atomic_path(path) as part:
        figure.savefig(part, format="png", dpi=120)
