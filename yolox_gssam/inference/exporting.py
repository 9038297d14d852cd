"""Networks as files for other programs: ONNX, OpenVINO, TorchScript, TensorRT."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from yolox.models import YOLOX

from yolox_gssam.common.checkpoint import save_detector
from yolox_gssam.common.device import choose_device
from yolox_gssam.common.errors import UserError
from yolox_gssam.inference.backends import onnx, openvino, tensorrt, why_unavailable
from yolox_gssam.inference.backends.pytorch import write_torchscript
from yolox_gssam.inference.model_info import CANDIDATES, UNDECODED, ModelInfo
from yolox_gssam.inference.quantization import quantize_openvino
from yolox_gssam.inference.tracing import trace

# The only ones that programs for YOLOX decode.
YOLOX_STRIDES = (8, 16, 32)
SUFFIXES = {
    "onnx": ".onnx",
    "openvino": ".xml",
    "torchscript": ".torchscript",
    "tensorrt": ".engine",
    "checkpoint": ".weights.pth",
}
"""The formats and how their files' names end."""


def check_format(name: str, precision: str, layout: str = CANDIDATES) -> None:
    """Raises UserError where a format cannot be written here, or not in this precision or layout."""
    if layout != CANDIDATES and name != "onnx":
        raise UserError(f"--format {name}: --layout {layout} is there for --format onnx only")
    backend = {"onnx": "onnxruntime", "torchscript": "torch", "checkpoint": "torch"}.get(name, name)
    device = torch.device("cuda" if name == "tensorrt" else "cpu")
    reason = why_unavailable(backend, device)
    if reason is not None:
        raise UserError(f"--format {name}: {reason}")
    choose_device(device.type)  # raises where this machine has none
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
        onnx.write_onnx(onnx.convert_undecoded(model, size, batch_size, half), info, path)
    elif name == "onnx":
        onnx.write_onnx(onnx.convert(model, size, half), info, path)
    elif name == "checkpoint":
        save_detector(path, model, info.class_names, info.exp, half=info.precision == "float16")
    elif name == "torchscript":
        write_torchscript(trace(model, size, half), info, path)
    elif name == "openvino":
        network = openvino.convert(model, size)
        if info.precision == "int8":
            network = quantize_openvino(network, calibration, score_threshold)
        openvino.write_openvino(network, info, path)
    else:
        engine = tensorrt.build_engine(onnx.convert(model, size, half, dense=True), info)
        tensorrt.write_engine(engine, info, path)
