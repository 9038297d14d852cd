"""How large a network is."""

import copy
from dataclasses import dataclass

import torch
from thop import profile
from torch import nn

WHAT_IS_COUNTED = (
    "two for each multiply-add that thop sees, as YOLOX counts them: convolutions, normalizations, average pooling and "
    "upsampling; not activations, sums of maps, decoding, nor the sorting and looking up of the global contrast"
)


@dataclass(frozen=True)
class NetworkSize:
    """Parameters, and thousand millions of floating point operations for one image; see `WHAT_IS_COUNTED`."""

    parameters: int
    gflops: float


def network_size(model: nn.Module, size_hw: tuple[int, int]) -> NetworkSize:
    """The size of a network for images of `size_hw` pixels; the model itself is not touched."""
    own = copy.deepcopy(model).eval().float()
    image = torch.zeros(1, 3, *size_hw, device=next(own.parameters()).device)
    with torch.inference_mode():
        multiply_adds, _ = profile(own, inputs=(image,), verbose=False)
    return NetworkSize(sum(p.numel() for p in model.parameters()), 2 * float(multiply_adds) / 1e9)
