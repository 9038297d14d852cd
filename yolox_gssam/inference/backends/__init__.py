"""What runs a network: torch by default, or what is faster where it is installed. One file a backend."""

from importlib.util import find_spec
from pathlib import Path

import torch
from yolox.models import YOLOX

from yolox_gssam.common.errors import UserError
from yolox_gssam.inference.backends import onnx, openvino, tensorrt
from yolox_gssam.inference.backends.base import Backend
from yolox_gssam.inference.backends.pytorch import CompiledBackend, TorchBackend, TorchScriptBackend, read_torchscript
from yolox_gssam.inference.model_info import ModelInfo

__all__ = ["BACKENDS", "FILE_SUFFIXES", "Backend", "TorchBackend", "build_backend", "open_exported", "why_unavailable"]

BACKENDS = ("torch", "compile", "onnxruntime", "openvino", "tensorrt")
FILE_SUFFIXES = (".onnx", ".xml", ".torchscript", ".engine")
"""Of exported networks, see tools/export.py."""

_PACKAGES = {"onnxruntime": ("onnx", "onnxruntime"), "openvino": ("openvino",), "tensorrt": ("tensorrt", "onnx")}


def why_unavailable(name: str, device: torch.device, half: bool = False) -> str | None:
    """Why a backend cannot be used here, in a line that says what to do; None where it can."""
    missing = [package for package in _PACKAGES.get(name, ()) if find_spec(package) is None]
    if missing:
        return f"backend {name} needs {' and '.join(missing)}: pip install {' '.join(missing)}"
    if name == "openvino" and device.type != "cpu":
        return f"backend openvino runs on the CPU, not on {device}; add --device cpu"
    if name == "tensorrt" and device.type != "cuda":
        return f"backend tensorrt runs on an NVIDIA GPU, not on {device}; take another --backend"
    if name == "onnxruntime" and device.type == "mps":
        return "backend onnxruntime runs on the CPU or CUDA, not on mps; add --device cpu"
    if half and device.type == "cpu" and name in ("onnxruntime", "openvino"):
        return f"backend {name} computes in float32 on a CPU; leave out --fp16, or export with --int8"
    return None


def build_backend(
    name: str,
    model: YOLOX,
    largest_hw: tuple[int, int],
    device: torch.device,
    half: bool = False,
    streams: int = 1,
) -> Backend:
    """A backend for a network in memory; what has to be converted or compiled for it takes seconds to minutes.

    Args:
        name: of `BACKENDS`.
        largest_hw: height and width of the largest input, multiples of 32.
        half: 16 bit weights and activations.
        streams: images at a time, where the backend can share its threads among them.

    Raises:
        UserError: it is not installed, or cannot do this.
    """
    reason = why_unavailable(name, device, half)
    if reason is not None:
        raise UserError(reason)
    precision = "float16" if half else "float32"
    if name == "openvino":
        return openvino.OpenVinoBackend(openvino.convert(model, largest_hw), streams=streams)
    if name == "onnxruntime":
        return onnx.OnnxRuntimeBackend(onnx.convert(model, largest_hw, half=half), device, precision)
    if name == "tensorrt":
        info = ModelInfo(("",), largest_hw, dynamic_size=True, precision=precision)
        engine = tensorrt.build_engine(onnx.convert(model, largest_hw, half=half, dense=True), info)
        return tensorrt.TensorRtBackend(engine, device, precision)
    return (CompiledBackend if name == "compile" else TorchBackend)(model, device, half)


def open_exported(path: Path, device: torch.device, streams: int = 1) -> tuple[Backend, ModelInfo]:
    """The backend for a file that tools/export.py wrote; its suffix says which.

    Args:
        streams: as for `build_backend`.

    Raises:
        UserError: no such file, not one of ours, or what runs it is not installed.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    name = {".onnx": "onnxruntime", ".xml": "openvino", ".engine": "tensorrt"}.get(path.suffix, "torch")
    reason = why_unavailable(name, device)
    if reason is not None:
        raise UserError(f"{path}: {reason}")
    if name == "openvino":
        network, info = openvino.read_openvino(path)
        return openvino.OpenVinoBackend(network, info.precision, streams), info
    if name == "onnxruntime":
        data, info = onnx.read_onnx(path)
        return onnx.OnnxRuntimeBackend(data, device, info.precision), info
    if name == "tensorrt":
        data, info = tensorrt.read_engine(path)
        return tensorrt.TensorRtBackend(data, device, info.precision), info
    script, info = read_torchscript(path)
    return TorchScriptBackend(script, device, info.precision), info
