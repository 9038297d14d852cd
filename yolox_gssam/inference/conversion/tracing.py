"""The network as one TorchScript graph for inputs of any batch and size: what every other format is made from."""

import warnings
from typing import Any

import torch
from torch import Tensor, nn
from yolox.models import YOLOX

from yolox_gssam.attention import GSSAM
from yolox_gssam.models.backbone import STAGES
from yolox_gssam.models.inference import InferenceYOLOX

# Odd multiples of 32 have no other common divisor, so that the graph relies on nothing that another size lacks.
_TRACED_HW = (96, 160)


def trace(model: YOLOX, largest_hw: tuple[int, int], half: bool = False) -> Any:
    """A TorchScript module, on the CPU, that computes what `InferenceYOLOX` does.

    It takes images (B, H, W, 3) uint8 with any B, and H and W multiples of 32 up to `largest_hw`, and a score threshold
    (a tensor of one number without dimensions).

    Args:
        model: left as it is.
        largest_hw: how many base points the contrast can compare with follows from it.
        half: float16 weights and activations; boxes and scores in float32.
    """
    images = torch.randint(0, 255, (1, *_TRACED_HW, 3), dtype=torch.uint8)
    # Every anchor reaches 0: a trace through empty tensors would leave things out.
    return _trace(_prepare(model, largest_hw, half), (images, torch.zeros(())))


def trace_undecoded(model: YOLOX, size_hw: tuple[int, int], batch: int = 1, half: bool = False) -> Any:
    """A TorchScript module that takes and gives what YOLOX's own exporter has, see `InferenceYOLOX.undecoded`.

    Args:
        model: left as it is.
        size_hw: height and width of the input; it takes no other.
        batch: images at a time; it takes no other number.
        half: float16 weights and activations; input and output in float32.
    """
    return _trace(_Undecoded(_prepare(model, size_hw, half)), (255 * torch.rand(batch, 3, *size_hw),))


def _prepare(model: YOLOX, largest_hw: tuple[int, int], half: bool) -> InferenceYOLOX:
    network = InferenceYOLOX(model)
    _set_largest_maps(network, largest_hw)
    return network.half() if half else network


def _trace(network: nn.Module, inputs: tuple[Tensor, ...]) -> Any:
    with torch.inference_mode(), warnings.catch_warnings():
        # What stays Python during the trace is fixed on purpose: class numbers, strides, steps of the search.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        # torch calls its tracer deprecated, but its graphs are what ONNX, OpenVINO and TorchScript all take.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        return torch.jit.trace(network, inputs, check_trace=False)


class _Undecoded(nn.Module):
    def __init__(self, network: InferenceYOLOX) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network.undecoded(images)


def _set_largest_maps(network: InferenceYOLOX, largest_hw: tuple[int, int]) -> None:
    """Lets each contrast compare as many pixels with as many base points as an input of this size has."""
    for stage, module in getattr(network.backbone.backbone, "attention", {}).items():
        if isinstance(module, GSSAM):
            # A stage's map has half the sides of the one before.
            height, width = (side >> STAGES.index(stage) + 1 for side in largest_hw)
            module.largest_hw = height, width
