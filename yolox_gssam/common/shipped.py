"""Files that come along with the package: exp files and networks, wherever it runs from."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
_PLACES = (_PACKAGE, _PACKAGE.parent)
"""A wheel has the folders inside the package, a checkout beside it."""
NETWORKS = {"visible": "yolox_nano_visible.onnx", "infrared": "yolox_nano_infrared.onnx"}
"""The networks that come along, by the light that they are for: files in weights/."""


def shipped_folder(name: str) -> Path:
    """The folder "exps" or "weights" of this installation."""
    return next((place / name for place in _PLACES if (place / name).is_dir()), _PLACES[-1] / name)


def find_network(weights: str | Path) -> Path:
    """The file of a network: the path itself, or where the one of `NETWORKS` lies that it names."""
    name = str(weights)
    return shipped_folder("weights") / NETWORKS[name] if name in NETWORKS else Path(weights)


def find_exp(path: str | Path) -> Path:
    """The exp file at `path`; where none is there, the one that comes along under that name.

    "gssam_sig_res_p1", "gssam_sig_res_p1.py" and "exps/gssam_sig_res_p1.py" all name it.
    """
    path = Path(path)
    if path.is_file() or path.parent not in (Path(), Path("exps")):
        return path
    shipped = shipped_folder("exps") / f"{path.name.removesuffix('.py')}.py"
    return shipped if shipped.is_file() else path
