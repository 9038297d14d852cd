"""TensorRT on an NVIDIA GPU, through ONNX. The package `tensorrt` must be installed.

An engine holds for one kind of GPU and one version of TensorRT; build it where it runs.
"""

import struct
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from yolox_gssam.common.device import describe_device
from yolox_gssam.common.errors import UserError
from yolox_gssam.common.files import atomic_path
from yolox_gssam.inference.model_info import ModelInfo
from yolox_gssam.inference.tracing import INPUTS, OUTPUT
from yolox_gssam.models.inference import choose_candidates

# A file begins with these bytes, the length of the text about it, and the text; the engine follows.
_MAGIC = b"YGTRT1"
MAX_BATCH = 32


class TensorRtBackend:
    """Runs an engine on CUDA, its inputs and outputs in torch's memory.

    Args:
        engine: as `build_engine` makes it.

    Raises:
        UserError: an engine of another GPU or another TensorRT.
    """

    name = "tensorrt"
    streams = 1

    def __init__(self, engine: bytes, device: torch.device, precision: str) -> None:
        import tensorrt

        self._device = device
        self._runtime = tensorrt.Runtime(tensorrt.Logger(tensorrt.Logger.ERROR))
        self._engine = self._runtime.deserialize_cuda_engine(engine)
        if self._engine is None:
            raise UserError("the engine is not of this GPU and this TensorRT; export it here, with --format tensorrt")
        self._context = self._engine.create_execution_context()
        self._stream = torch.cuda.Stream(device)
        self.description = f"tensorrt {tensorrt.__version__}, {describe_device(device)}, {precision}"

    @torch.inference_mode()
    def candidates(self, batch: NDArray[np.uint8], score_threshold: float) -> Tensor:
        """See `Backend`; the result is on the device."""
        images = torch.from_numpy(batch).to(self._device)
        self._context.set_input_shape(INPUTS[0], tuple(images.shape))
        outputs = torch.empty(tuple(self._context.get_tensor_shape(OUTPUT)), device=self._device)
        self._context.set_tensor_address(INPUTS[0], images.data_ptr())
        self._context.set_tensor_address(OUTPUT, outputs.data_ptr())
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        self._context.execute_async_v3(self._stream.cuda_stream)
        torch.cuda.current_stream(self._device).wait_stream(self._stream)
        return choose_candidates(outputs, score_threshold)

    def synchronize(self) -> None:
        """Waits until the device has done all it was given."""
        torch.cuda.synchronize(self._device)


def build_engine(onnx: bytes, info: ModelInfo, max_batch: int = MAX_BATCH) -> bytes:
    """Builds an engine from the dense network in ONNX, for batches of 1 to `max_batch`; takes minutes.

    Raises:
        UserError: TensorRT refused the network; the message says why.
    """
    import tensorrt

    logger = tensorrt.Logger(tensorrt.Logger.ERROR)
    builder = tensorrt.Builder(logger)
    # From TensorRT 10 on, types are those of the ONNX file: contrast and boxes stay in float32, as they are there.
    network = builder.create_network(1 << int(tensorrt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = tensorrt.OnnxParser(network, logger)
    if not parser.parse(onnx):
        raise UserError(f"TensorRT {tensorrt.__version__} cannot take this network: {parser.get_error(0).desc()}")
    config = builder.create_builder_config()
    profile = builder.create_optimization_profile()
    height, width = info.input_size
    smallest = (32, 32) if info.dynamic_size else (height, width)
    profile.set_shape(INPUTS[0], (1, *smallest, 3), (1, height, width, 3), (max_batch, height, width, 3))
    config.add_optimization_profile(profile)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise UserError(f"TensorRT {tensorrt.__version__} could not build an engine from this network")
    return bytes(engine)


def write_engine(engine: bytes, info: ModelInfo, path: Path) -> None:
    """Writes an .engine file, whole or not at all."""
    text = info.to_text().encode()
    with atomic_path(path) as part:
        part.write_bytes(_MAGIC + struct.pack("<I", len(text)) + text + engine)


def read_engine(path: Path) -> tuple[bytes, ModelInfo]:
    """An .engine file as tools/export.py writes it.

    Raises:
        UserError: not such a file.
    """
    data = path.read_bytes()
    start = len(_MAGIC) + 4
    if not data.startswith(_MAGIC) or len(data) < start:
        raise UserError(f"{path}: not an engine that tools/export.py wrote")
    (length,) = struct.unpack("<I", data[len(_MAGIC) : start])
    return data[start + length :], ModelInfo.from_text(data[start : start + length].decode(errors="replace"), path)
