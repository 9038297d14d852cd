"""Networks as OpenVINO's .xml and .bin files, also in INT8 by NNCF. The package `openvino` must be installed."""

import logging
import tempfile
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from yolox.models import YOLOX

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.files import atomic_path
from yolox_gssam.inference.conversion.tracing import trace
from yolox_gssam.inference.model_info import KEY, ModelInfo

# What stays in float32, by the names of the modules and operations of InferenceYOLOX: it costs next to nothing, and it
# compares finely (the contrast), or makes the very scores and boxes. The last pattern is what `forward` itself does.
_FLOAT = (
    ".*attention.*",
    ".*window_convs.*",
    ".*cls_preds.*",
    ".*obj_preds.*",
    ".*reg_preds.*",
    "^aten::(mul|add|ge|exp|cat|embedding).*",
)


def convert(model: YOLOX, largest_hw: tuple[int, int]) -> Any:
    """The network as an openvino.Model of float32 for inputs of any batch and size, up to `largest_hw`."""
    import openvino

    # Not by way of ONNX, which is read in a third of the time: `quantize` knows operations by their names here.
    example = (torch.zeros((1, *largest_hw, 3), dtype=torch.uint8), torch.zeros(()))
    network = openvino.convert_model(trace(model, largest_hw), example_input=example)
    network.reshape({0: [-1, -1, -1, 3], 1: []})
    return network


def quantize(network: Any, batches: Iterable[NDArray[np.uint8]], score_threshold: float) -> Any:
    """The openvino.Model of `convert` in INT8: 8 bit, scales measured on training images. Package `nncf` needed.

    Args:
        batches: letterboxed training images (1, H, W, 3), a few hundred.
        score_threshold: as it will be used.

    Raises:
        UserError: nncf is not installed.
    """
    if find_spec("nncf") is None:
        raise UserError("--int8 needs nncf: pip install nncf")
    import nncf

    logging.getLogger("nncf").setLevel(logging.ERROR)
    samples = [(batch, np.array(score_threshold, np.float32)) for batch in batches]
    return nncf.quantize(
        network,
        nncf.Dataset(samples),
        subset_size=len(samples),
        preset=nncf.QuantizationPreset.MIXED,  # SiLU's negative side is short: activations are not symmetric
        ignored_scope=nncf.IgnoredScope(patterns=list(_FLOAT), validate=False),
    )


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
