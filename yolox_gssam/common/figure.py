"""Figures as PNG files."""

from pathlib import Path

from matplotlib.figure import Figure

from yolox_gssam.common.files import atomic_path


def save_figure(figure: Figure, path: Path) -> None:
    """Writes a PNG, whole or not at all.

    Raises:
        UserError: the file could not be written.
    """
    with atomic_path(path) as part:
        figure.savefig(part, format="png", dpi=120)
