"""PyTorch: eager, compiled, or from a TorchScript file."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from yolox.models import YOLOX

from yolox_gssam.common.device import describe_device, half_dtype
from yolox_gssam.common.errors import UserError
from yolox_gssam.common.memory import keep_freed_memory
from yolox_gssam.common.text import one_line
from yolox_gssam.inference.model_info import KEY, ModelInfo
from yolox_gssam.models.inference import InferenceYOLOX, choose_candidates
from yolox_gssam.models.yolox import attention_maps


class TorchBackend:
    """Runs the network by torch itself, on any device, at any input size.

    Args:
        model: left as it is; its weights are copied.
        half: weights and activations in 16 bit, float16 or on the CPU bfloat16; boxes and scores in float32.
    """

    name = "torch"
    streams = 1

    def __init__(self, model: YOLOX, device: torch.device, half: bool = False) -> None:
        self.device = device
        if device.type == "cpu":
            keep_freed_memory()
        # A GPU would have to be waited for three times to learn where the class branch is needed.
        network = InferenceYOLOX(model, lazy_classes=device.type == "cpu").to(device)
        if half:
            network.to(half_dtype(device))
        self.network: Any = network.to(memory_format=torch.channels_last)
        self.description = f"torch {torch.__version__}, {describe_device(device)}, {'16 bit' if half else 'float32'}"

    @torch.inference_mode()
    def candidates(self, batch: NDArray[np.uint8], score_threshold: float) -> NDArray[np.float32]:
        threshold = torch.tensor(score_threshold, device=self.device)
        return _array(self.network(torch.from_numpy(batch).to(self.device), threshold))


class CompiledBackend(TorchBackend):
    """The same through torch.compile, on CUDA as one CUDA graph. Each new input size compiles anew, some 30 to 90 s."""

    name = "compile"

    def __init__(self, model: YOLOX, device: torch.device, half: bool = False) -> None:
        super().__init__(model, device, half)
        self.description = f"torch.compile, {self.description}"
        mode = "reduce-overhead" if device.type == "cuda" else None
        self._dense = torch.compile(self.network.dense, mode=mode, dynamic=False)

    @torch.inference_mode()
    def candidates(self, batch: NDArray[np.uint8], score_threshold: float) -> NDArray[np.float32]:
        images = torch.from_numpy(batch).to(self.device)
        return _array(choose_candidates(self._dense(images), score_threshold))


class TorchScriptBackend(TorchBackend):
    """Runs a network from a TorchScript file that tools/export.py wrote."""

    name = "torchscript"

    def __init__(self, network: Any, device: torch.device, precision: str) -> None:
        self.device = device
        self.network = network.to(device)
        self.description = f"TorchScript by torch {torch.__version__}, {describe_device(device)}, {precision}"


def _array(candidates: Any) -> NDArray[np.float32]:
    """On the CPU, which waits for the device."""
    return np.asarray(candidates.float().cpu().numpy())


def attention_of(model: YOLOX) -> Callable[[NDArray[np.uint8]], dict[str, NDArray[np.float32]]]:
    """A function from a letterboxed image (1, h, w, 3) to its attention maps: stage name -> (h', w') in [0, 1]."""

    def maps(batch: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        stages = attention_maps(model, torch.from_numpy(batch).permute(0, 3, 1, 2).float())
        return {stage: values[0, 0].float().cpu().numpy() for stage, values in stages.items()}

    return maps


def open_torchscript(path: Path, device: str) -> tuple[TorchScriptBackend, ModelInfo]:
    """The backend for a .torchscript file as tools/export.py writes it: a graph of operations and no Python code."""
    texts = {KEY: ""}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            network = torch.jit.load(str(path), map_location="cpu", _extra_files=texts).eval()
    except (RuntimeError, ValueError) as error:
        raise UserError(f"{path}: not a TorchScript file: {one_line(error)}") from error
    text: str | bytes = texts[KEY]
    info = ModelInfo.from_text(text.decode() if isinstance(text, bytes) else text, path)
    return TorchScriptBackend(network, torch.device(device), info.precision), info
