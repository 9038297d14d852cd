"""How many multiply-adds a network takes, as thop counts them."""

import copy

import torch
from thop import profile
from thop.profile import register_hooks
from torch import nn

from yolox_gssam.attention.embedding import SpatialConvolution


def teach_thop() -> None:
    """Tells thop, which knows layers by their exact class, of the convolutions of our own."""
    register_hooks[SpatialConvolution] = register_hooks[nn.Conv2d]


def multiply_adds(model: nn.Module, size_hw: tuple[int, int]) -> float:
    """Multiply-adds for one RGB image of `size_hw` pixels; the model itself is not touched.

    Convolutions, linear layers, normalizations, average pooling and upsampling count, as in YOLOX; activations, sums
    and products of maps, and the sorting and looking up of the global contrast do not.
    """
    teach_thop()
    own = copy.deepcopy(model).eval().float()
    image = torch.zeros(1, 3, *size_hw, device=next(own.parameters()).device)
    with torch.inference_mode():
        counted, _ = profile(own, inputs=(image,), verbose=False)
    return float(counted)
