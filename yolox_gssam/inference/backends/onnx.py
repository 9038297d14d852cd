"""ONNX, run by ONNX Runtime. The packages `onnx` and `onnxruntime` (or onnxruntime-gpu) must be installed."""

import io
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from yolox.models import YOLOX

from yolox_gssam.common.device import describe_device
from yolox_gssam.common.errors import UserError
from yolox_gssam.common.files import atomic_path
from yolox_gssam.common.text import one_line
from yolox_gssam.inference.model_info import CANDIDATES, KEY, ModelInfo
from yolox_gssam.inference.tracing import INPUTS, OUTPUT, trace, trace_undecoded

OPSET = 18


class OnnxRuntimeBackend:
    """Runs a network on the CPU or, where onnxruntime-gpu is installed, on CUDA.

    Args:
        network: the bytes of an ONNX file as `convert` makes them.

    Raises:
        UserError: the device is CUDA and this onnxruntime cannot use it.
    """

    name = "onnxruntime"
    streams = 1

    def __init__(self, network: bytes, device: torch.device, precision: str = "float32") -> None:
        import onnxruntime

        provider = "CUDAExecutionProvider" if device.type == "cuda" else "CPUExecutionProvider"
        if provider not in onnxruntime.get_available_providers():
            raise UserError(
                "this onnxruntime cannot use CUDA; install onnxruntime-gpu, take --device cpu or another --backend"
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3  # errors
        providers = [(provider, {"device_id": device.index or 0})] if device.type == "cuda" else [provider]
        self._session = onnxruntime.InferenceSession(network, options, providers=providers)
        self.description = f"onnxruntime {onnxruntime.__version__}, {describe_device(device)}, {precision}"

    def candidates(self, batch: NDArray[np.uint8], score_threshold: float) -> Tensor:
        """See `Backend`."""
        inputs = dict(zip(INPUTS, (batch, np.array(score_threshold, np.float32)), strict=True))
        return torch.from_numpy(self._session.run([OUTPUT], inputs)[0])

    def synchronize(self) -> None:
        """Nothing to wait for: results are there when a call returns."""


def convert(model: YOLOX, largest_hw: tuple[int, int], half: bool = False, dense: bool = False) -> bytes:
    """The network as an ONNX file for inputs of any batch and size, up to `largest_hw`.

    Args:
        half: float16 weights and activations.
        dense: all anchors instead of the candidates, as `yolox_gssam.inference.tracing.trace` says.
    """
    network = trace(model, largest_hw, half, dense)
    example = (torch.zeros((1, *largest_hw, 3), dtype=torch.uint8), *([] if dense else [torch.zeros(())]))
    axes = {
        INPUTS[0]: {0: "batch", 1: "height", 2: "width"},
        OUTPUT: {0: "batch", 1: "anchors"} if dense else {0: "candidates"},
    }
    return _export(network, example, OUTPUT, axes)


def convert_undecoded(model: YOLOX, size_hw: tuple[int, int], batch: int = 1, half: bool = False) -> bytes:
    """The network as an ONNX file that takes and gives what YOLOX's own exporter has, of these sizes alone.

    Args:
        as `yolox_gssam.inference.tracing.trace_undecoded`.
    """
    network = trace_undecoded(model, size_hw, batch, half)
    return _export(network, (torch.zeros(batch, 3, *size_hw),), "output", {})


def _export(
    network: Any, example: tuple[Tensor, ...], output: str, dynamic_axes: Mapping[str, Mapping[int, str]]
) -> bytes:
    buffer: Any = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls this exporter deprecated; its successor takes no traced module
        torch.onnx.export(
            network,
            example,
            buffer,
            dynamo=False,
            opset_version=OPSET,
            input_names=list(INPUTS[: len(example)]),
            output_names=[output],
            dynamic_axes=dynamic_axes,
        )
    return bytes(buffer.getvalue())


def write_onnx(network: bytes, info: ModelInfo, path: Path) -> None:
    """Writes an .onnx file, whole or not at all."""
    import onnx

    graph = onnx.load_from_string(network)
    if not info.dynamic_size and info.layout == CANDIDATES:
        _, height, width, _ = graph.graph.input[0].type.tensor_type.shape.dim
        height.dim_value, width.dim_value = info.input_size
    onnx.helper.set_model_props(graph, {KEY: info.to_text()})
    with atomic_path(path) as part:
        onnx.save(graph, str(part))


def read_onnx(path: Path) -> tuple[bytes, ModelInfo]:
    """An .onnx file as tools/export.py writes it.

    Raises:
        UserError: not such a file.
    """
    import onnx

    try:
        network = path.read_bytes()
        graph = onnx.load_from_string(network)
        onnx.checker.check_model(graph)
    except Exception as error:  # protobuf and the checker answer damage with errors of many kinds
        raise UserError(f"{path}: not a network in ONNX: {one_line(error)}") from error
    texts = {entry.key: entry.value for entry in graph.metadata_props}
    info = ModelInfo.from_text(texts.get(KEY), path)
    if info.layout != CANDIDATES:
        raise UserError(f"{path}: is in YOLOX's layout, for other programs; for the tools here, leave out --layout")
    return network, info
