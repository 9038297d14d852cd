"""OpenVINO: the fastest on a CPU. The package `openvino` must be installed."""

from pathlib import Path
from queue import Queue
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.text import one_line
from yolox_gssam.inference.backends.base import thread_count
from yolox_gssam.inference.backends.onnx_runtime import open_onnx
from yolox_gssam.inference.model_info import KEY, ModelInfo

MAX_COMPILED = 8


class OpenVinoBackend:
    """Runs a network on the CPU; compiled anew, in about a second, for each shape of input that comes.

    Args:
        network: an openvino.Model.
        streams: so many calls at once, each by its share of the threads: more images per second, each later. Two
            threads on one small network wait for each other a third of the time.
    """

    name = "openvino"

    def __init__(self, network: Any, precision: str = "float32", streams: int = 1) -> None:
        import openvino

        self.streams = streams
        self._network = network
        self._core = openvino.Core()
        # In float32, since a processor with AVX512-BF16 would otherwise compute in
        # bfloat16, unasked, and find other boxes.
        self._settings: dict[str, Any] = {
            "NUM_STREAMS": streams,
            "INFERENCE_NUM_THREADS": thread_count(),
            "INFERENCE_PRECISION_HINT": "f32",
        }
        self._idle: dict[tuple[int, ...], Queue[Any]] = {}
        self._compiling = Lock()
        version = openvino.__version__.partition("-")[0]
        self.description = f"openvino {version}, cpu ({thread_count()} threads), {precision}"

    def candidates(self, batch: NDArray[np.uint8], score_threshold: float) -> NDArray[np.float32]:
        idle = self._requests(batch.shape)
        request = idle.get()
        try:
            return _infer(request, batch, score_threshold)
        finally:
            idle.put(request)

    def _requests(self, shape: tuple[int, ...]) -> "Queue[Any]":
        """The idle ones of the network compiled for inputs of this shape; of the shapes seen, the latest are kept."""
        with self._compiling:
            if shape not in self._idle:
                if len(self._idle) >= MAX_COMPILED:
                    self._idle.pop(next(iter(self._idle)))
                network = self._network.clone()
                network.reshape({0: list(shape), 1: []})
                compiled = self._core.compile_model(network, "CPU", self._settings)
                requests: Queue[Any] = Queue()
                for _ in range(self.streams):
                    requests.put(compiled.create_infer_request())
                # The first call is made here, alone: two threads in OpenVINO's first conversion of an array wait for
                # each other for ever (2026.4).
                _infer(requests.queue[0], np.zeros(shape, np.uint8), 1.0)
                self._idle[shape] = requests
            return self._idle[shape]


def _infer(request: Any, batch: NDArray[np.uint8], score_threshold: float) -> NDArray[np.float32]:
    request.infer((batch, np.float32(score_threshold)))
    return np.array(request.get_output_tensor(0).data)


def open_openvino(path: Path, streams: int = 1) -> tuple[OpenVinoBackend, ModelInfo]:
    """The backend for an .xml file, with its .bin file beside it, or an .onnx file, as tools/export.py writes them."""
    import openvino

    if path.suffix == ".onnx":
        _, info = open_onnx(path, "cpu")  # OpenVINO does not read what an ONNX file says of itself
    elif not path.with_suffix(".bin").is_file():
        raise UserError(f"{path}: its weights are missing, {path.with_suffix('.bin').name} in the same folder")
    try:
        network = openvino.Core().read_model(path)
    except RuntimeError as error:
        raise UserError(f"{path}: not a network of OpenVINO: {one_line(error)}") from error
    if path.suffix != ".onnx":
        text = network.get_rt_info([KEY]).astype(str) if network.has_rt_info([KEY]) else None
        info = ModelInfo.from_text(text, path)
    return OpenVinoBackend(network, info.precision, streams), info
