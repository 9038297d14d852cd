"""ONNX Runtime, on the CPU or, where onnxruntime-gpu is installed, on CUDA."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.text import one_line, printable
from yolox_gssam.inference.backends.base import INPUTS, OUTPUT, thread_count
from yolox_gssam.inference.model_info import CANDIDATES, KEY, ModelInfo

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class OnnxRuntimeBackend:
    """Runs a network in ONNX.

    Args:
        network: the bytes of an ONNX file, or the path of one.
        device: "cpu", "cuda" or "cuda:N".

    Raises:
        UserError: the device is CUDA and this onnxruntime cannot use it.
    """

    name = "onnxruntime"
    streams = 1

    def __init__(self, network: bytes | Path, device: str = "cpu", precision: str = "float32") -> None:
        import onnxruntime

        kind, _, number = device.partition(":")
        if _PROVIDERS[kind] not in onnxruntime.get_available_providers():
            raise UserError(
                "this onnxruntime cannot use CUDA; install onnxruntime-gpu, take --device cpu or another --backend"
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = thread_count()
        options.log_severity_level = 3  # errors
        provider = (_PROVIDERS[kind], {"device_id": number or "0"} if kind == "cuda" else {})
        data = network if isinstance(network, bytes) else str(network)
        self.session: Any = onnxruntime.InferenceSession(data, options, providers=[provider])
        where = f"cpu ({thread_count()} threads)" if kind == "cpu" else device
        self.description = f"onnxruntime {onnxruntime.__version__}, {where}, {precision}"

    def candidates(self, batch: NDArray[np.uint8], score_threshold: float) -> NDArray[np.float32]:
        inputs = dict(zip(INPUTS, (batch, np.array(score_threshold, np.float32)), strict=True))
        return np.asarray(self.session.run([OUTPUT], inputs)[0])


def default_device() -> str:
    """ "cuda" where this onnxruntime can use it, else "cpu"."""
    import onnxruntime

    return "cuda" if _PROVIDERS["cuda"] in onnxruntime.get_available_providers() else "cpu"


def open_onnx(path: Path, device: str) -> tuple[OnnxRuntimeBackend, ModelInfo]:
    """The backend for an .onnx file as tools/export.py writes it, not for other programs."""
    try:
        backend = OnnxRuntimeBackend(path, device)
    except UserError:
        raise
    except Exception as error:  # onnxruntime answers damage with errors of many kinds
        raise UserError(f"{printable(path)}: not a network in ONNX: {one_line(error)}") from error
    info = ModelInfo.from_text(backend.session.get_modelmeta().custom_metadata_map.get(KEY), path)
    if info.layout != CANDIDATES:
        raise UserError(f"{path}: is in YOLOX's layout, for other programs; for the tools here, leave out --layout")
    backend.description = backend.description.replace("float32", info.precision)
    return backend, info
