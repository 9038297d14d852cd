"""How large a network is."""

from dataclasses import dataclass

from torch import nn

from yolox_gssam.models.operations import multiply_adds

WHAT_IS_COUNTED = (
    "two for each multiply-add that thop sees, as YOLOX counts them: convolutions, normalizations, average pooling and "
    "upsampling; not activations, sums of maps, decoding, nor the sorting and looking up of the global contrast"
)


@dataclass(frozen=True)
class NetworkSize:
    """Parameters, and GFLOPs for one image; see `WHAT_IS_COUNTED`."""

    parameters: int
    gflops: float


def network_size(model: nn.Module, size_hw: tuple[int, int]) -> NetworkSize:
    """The size of a network for images of `size_hw` pixels; the model itself is not touched."""
    return NetworkSize(sum(p.numel() for p in model.parameters()), 2 * multiply_adds(model, size_hw) / 1e9)
