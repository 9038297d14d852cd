"""What runs a network. A file's suffix says which: .onnx ONNX Runtime, .xml OpenVINO, .pth torch; one file a backend.

Nothing here needs torch but what runs a checkpoint or a TorchScript file.
"""

from importlib.util import find_spec
from pathlib import Path

from yolox_gssam.common.errors import UserError
from yolox_gssam.inference.backends.base import Backend
from yolox_gssam.inference.backends.onnx_runtime import default_device, open_onnx
from yolox_gssam.inference.backends.openvino_runtime import open_openvino
from yolox_gssam.inference.model_info import ModelInfo

__all__ = ["BACKENDS", "FILE_SUFFIXES", "Backend", "device_name", "open_exported", "why_unavailable"]

BACKENDS = ("torch", "compile", "onnxruntime", "openvino")
FILE_SUFFIXES = {".onnx": "onnxruntime", ".xml": "openvino", ".torchscript": "torch"}
"""Of exported networks (tools/export.py), and what runs them unless another backend is asked for."""

_OTHERS = {".onnx": ("onnxruntime", "openvino")}
"""All backends that take a file of this kind, where there are several."""


def why_unavailable(name: str, device: str, half: bool = False) -> str | None:
    """Why a backend cannot be used here, in a line that says what to do; None where it can."""
    if name in ("onnxruntime", "openvino", "torch") and find_spec(name) is None:
        return f"backend {name} needs {name}: pip install {name}"
    kind = device.partition(":")[0]
    if name == "openvino" and kind != "cpu":
        return f"backend openvino runs on the CPU, not on {device}; add --device cpu"
    if name == "onnxruntime" and kind == "mps":
        return "backend onnxruntime runs on the CPU or CUDA, not on mps; add --device cpu"
    if half and kind == "cpu" and name in ("onnxruntime", "openvino"):
        return f"backend {name} computes in float32 on a CPU; leave out --fp16, or export with --int8"
    return None


def device_name(name: str | None, backend: str) -> str:
    """ "cpu", "cuda", "cuda:N" or "mps" for what `--device` says; None: the best that the backend has here.

    Raises:
        UserError: another name.
    """
    if name is None and backend == "onnxruntime" and find_spec("onnxruntime") is not None:
        return default_device()
    if backend == "torch":
        from yolox_gssam.common.device import choose_device

        return str(choose_device(name))
    told = "cpu" if name is None else "cuda" if name == "gpu" else f"cuda:{name}" if name.isdecimal() else name
    kind, _, number = told.partition(":")
    if kind not in ("cpu", "cuda", "mps") or not (number.isdecimal() or told == kind):
        raise UserError(f"device {name!r}: not known; use cpu, cuda, cuda:N or mps")
    return told


def open_exported(
    path: Path, device: str | None = None, backend: str | None = None, streams: int = 1
) -> tuple[Backend, ModelInfo]:
    """The backend for a file that tools/export.py wrote.

    Args:
        device: as `device_name` takes it.
        backend: by default what the suffix says.
        streams: images at a time, where the backend can share its threads among them.

    Raises:
        UserError: no such file, not one of ours, or what runs it is not installed.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    own = FILE_SUFFIXES[path.suffix]
    name = own if backend is None else backend
    if name not in _OTHERS.get(path.suffix, (own,)):
        raise UserError(f"{path}: is run by {own}; leave out --backend {name}")
    device = device_name(device, name)
    reason = why_unavailable(name, device)
    if reason is not None:
        raise UserError(f"{path}: {reason}")
    if name == "openvino":
        return open_openvino(path, streams)
    if name == "onnxruntime":
        return open_onnx(path, device)
    from yolox_gssam.inference.backends.pytorch import open_torchscript

    return open_torchscript(path, device)
