"""Networks as OpenVINO's .xml and .bin files. The package `openvino` must be installed."""

import tempfile
from pathlib import Path
from typing import Any

import torch
from yolox.models import YOLOX

from yolox_gssam.common.files import atomic_path
from yolox_gssam.inference.conversion.tracing import trace
from yolox_gssam.inference.model_info import KEY, ModelInfo


def convert(model: YOLOX, largest_hw: tuple[int, int]) -> Any:
    """The network as an openvino.Model of float32 for inputs of any batch and size, up to `largest_hw`."""
    import openvino

    # Not by way of ONNX, which is read in a third of the time: int8.py knows operations by their names here.
    example = (torch.zeros((1, *largest_hw, 3), dtype=torch.uint8), torch.zeros(()))
    network = openvino.convert_model(trace(model, largest_hw), example_input=example)
    network.reshape({0: [-1, -1, -1, 3], 1: []})
    return network


def write_openvino(network: Any, info: ModelInfo, path: Path) -> None:
    """Writes an .xml file and, beside it, the .bin file of the weights; each whole or not at all."""
    import openvino

    if not info.dynamic_size:
        network.reshape({0: [-1, *info.input_size, 3], 1: []})
    network.set_rt_info(info.to_text(), [KEY])
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        # Halves the file; the CPU computes in float32 all the same.
        openvino.save_model(network, Path(folder, "network.xml"), compress_to_fp16=info.precision == "float16")
        for suffix in (".bin", ".xml"):
            with atomic_path(path.with_suffix(suffix)) as part:
                Path(folder, "network").with_suffix(suffix).replace(part)
