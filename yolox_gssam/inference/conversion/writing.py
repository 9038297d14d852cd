"""Networks as files for other programs: ONNX, OpenVINO, TorchScript, or a checkpoint that is small."""

import warnings
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from yolox.models import YOLOX

from yolox_gssam.common.checkpoint import save_detector
from yolox_gssam.common.errors import UserError
from yolox_gssam.common.files import atomic_path
from yolox_gssam.inference.conversion import to_onnx, to_openvino
from yolox_gssam.inference.conversion.tracing import trace
from yolox_gssam.inference.model_info import CANDIDATES, KEY, UNDECODED, ModelInfo

# The only ones that programs for YOLOX decode.
YOLOX_STRIDES = (8, 16, 32)
SUFFIXES = {
    "onnx": ".onnx",
    "openvino": ".xml",
    "torchscript": ".torchscript",
    "checkpoint": ".weights.pth",
}
"""The formats and how their files' names end."""
_PACKAGES = {"onnx": ("onnx", "onnxruntime"), "openvino": ("openvino",)}
"""To write a format and to read it back."""


def check_format(name: str, precision: str, layout: str = CANDIDATES) -> None:
    """Raises UserError where a format cannot be written here, or not in this precision or layout."""
    if layout != CANDIDATES and name != "onnx":
        raise UserError(f"--format {name}: --layout {layout} is there for --format onnx only")
    missing = [package for package in _PACKAGES.get(name, ()) if find_spec(package) is None]
    if missing:
        raise UserError(f"--format {name}: needs {' and '.join(missing)}: pip install {' '.join(missing)}")
    if precision == "int8" and name != "openvino":
        raise UserError(f"--format {name}: --int8 is there for --format openvino only")


def export(
    model: YOLOX,
    info: ModelInfo,
    name: str,
    path: Path,
    calibration: Iterable[NDArray[np.uint8]] = (),
    score_threshold: float = 0.01,
    batch_size: int = 1,
) -> None:
    """Writes a network in the format `name`, in the precision and for the sizes that `info` tells.

    Args:
        calibration: for int8: letterboxed training images (1, H, W, 3).
        score_threshold: for int8: as it will be used.
        batch_size: for the layout of YOLOX: images at a time, no more and no fewer.

    Raises:
        UserError: the format's package refuses the network, or the file cannot be written.
    """
    half, size = info.precision == "float16", info.input_size
    path.parent.mkdir(parents=True, exist_ok=True)
    if name == "onnx" and info.layout == UNDECODED:
        if tuple(model.head.strides) != YOLOX_STRIDES:
            raise UserError(
                f"--layout yolox: is for strides {YOLOX_STRIDES}, and this network has {model.head.strides}"
            )
        to_onnx.write_onnx(to_onnx.convert_undecoded(model, size, batch_size, half), info, path)
    elif name == "onnx":
        to_onnx.write_onnx(to_onnx.convert(model, size, half), info, path)
    elif name == "checkpoint":
        save_detector(path, model, info.class_names, info.exp, half=half)
    elif name == "torchscript":
        network = trace(model, size, half)
        with atomic_path(path) as part, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch calls the format deprecated; C++ programs still load it
            torch.jit.save(network, str(part), _extra_files={KEY: info.to_text()})
    else:
        network = to_openvino.convert(model, size)
        if info.precision == "int8":
            network = to_openvino.quantize(network, calibration, score_threshold)
        to_openvino.write_openvino(network, info, path)
