"""PyTorch: eager, compiled, or from a TorchScript file."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from yolox.models import YOLOX

from yolox_gssam.common.device import describe_device, half_dtype
from yolox_gssam.common.errors import UserError
from yolox_gssam.common.files import atomic_path
from yolox_gssam.common.memory import keep_freed_memory
from yolox_gssam.common.text import one_line
from yolox_gssam.inference.model_info import KEY, ModelInfo
from yolox_gssam.models.inference import InferenceYOLOX, choose_candidates


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
    def candidates(self, batch: NDArray[np.uint8], score_threshold: float) -> Tensor:
        """See `Backend`; the result is on the device."""
        return self.network(torch.from_numpy(batch).to(self.device), torch.tensor(score_threshold, device=self.device))

    def synchronize(self) -> None:
        """Waits until the device has done all it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        elif self.device.type == "mps":
            torch.mps.synchronize()


class CompiledBackend(TorchBackend):
    """The same through torch.compile, on CUDA as one CUDA graph. Each new input size compiles anew, some 30 to 90 s."""

    name = "compile"

    def __init__(self, model: YOLOX, device: torch.device, half: bool = False) -> None:
        super().__init__(model, device, half)
        self.description = f"torch.compile, {self.description}"
        mode = "reduce-overhead" if device.type == "cuda" else None
        self._dense = torch.compile(self.network.dense, mode=mode, dynamic=False)

    @torch.inference_mode()
    def candidates(self, batch: NDArray[np.uint8], score_threshold: float) -> Tensor:
        """See `Backend`; the result is on the device."""
        images = torch.from_numpy(batch).to(self.device)
        return choose_candidates(self._dense(images), score_threshold)


class TorchScriptBackend(TorchBackend):
    """Runs a network from a TorchScript file.

    Args:
        network: as `read_torchscript` reads it.
    """

    name = "torchscript"

    def __init__(self, network: Any, device: torch.device, precision: str) -> None:
        self.device = device
        self.network = network.to(device)
        self.description = f"TorchScript by torch {torch.__version__}, {describe_device(device)}, {precision}"


def write_torchscript(network: Any, info: ModelInfo, path: Path) -> None:
    """Writes a traced network, whole or not at all."""
    with atomic_path(path) as part, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls the format deprecated; C++ programs still load it
        torch.jit.save(network, str(part), _extra_files={KEY: info.to_text()})


def read_torchscript(path: Path) -> tuple[Any, ModelInfo]:
    """A .torchscript file as tools/export.py writes it. It holds a graph of operations and no Python code.

    Raises:
        UserError: not such a file.
    """
    texts = {KEY: ""}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            network = torch.jit.load(str(path), map_location="cpu", _extra_files=texts).eval()
    except (RuntimeError, ValueError) as error:
        raise UserError(f"{path}: not a TorchScript file: {one_line(error)}") from error
    text: str | bytes = texts[KEY]
    return network, ModelInfo.from_text(text.decode() if isinstance(text, bytes) else text, path)
