"""Networks as ONNX files. The package `onnx` must be installed."""

import io
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from yolox.models import YOLOX

from yolox_gssam.common.files import atomic_path
from yolox_gssam.inference.backends.base import INPUTS, OUTPUT
from yolox_gssam.inference.conversion.tracing import trace, trace_undecoded
from yolox_gssam.inference.model_info import CANDIDATES, KEY, ModelInfo

OPSET = 18


def convert(model: YOLOX, largest_hw: tuple[int, int], half: bool = False) -> bytes:
    """The network as an ONNX file for inputs of any batch and size, up to `largest_hw`.

    Args:
        half: float16 weights and activations.
    """
    example = (torch.zeros((1, *largest_hw, 3), dtype=torch.uint8), torch.zeros(()))
    axes = {INPUTS[0]: {0: "batch", 1: "height", 2: "width"}, OUTPUT: {0: "candidates"}}
    return _export(trace(model, largest_hw, half), example, OUTPUT, axes)


def convert_undecoded(model: YOLOX, size_hw: tuple[int, int], batch: int = 1, half: bool = False) -> bytes:
    """The network as an ONNX file that takes and gives what YOLOX's own exporter has, see `trace_undecoded`."""
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
