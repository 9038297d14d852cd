"""CBAM, the Convolutional Block Attention Module.

Woo, Park, Lee, Kweon, "CBAM: Convolutional Block Attention Module", ECCV 2018, arXiv 1807.06521. For a feature map F:

    Mc = sigmoid(MLP(average over the pixels of F) + MLP(maximum over them))      which channels (Eq. 2)
    F' = F * Mc
    Ms = sigmoid(conv7x7([mean over the channels of F', maximum over them]))      which pixels   (Eq. 3)
    output = F' * Ms                                                                             (Eq. 1)

No layer has a bias and nothing is normalised, as the equations are printed: 2 C^2 / reduction + 2 k^2 parameters, the
numbers of Table 1 of the GSSAM paper. The authors' code differs: biases in the perceptron, a BatchNorm behind the
convolution.
"""

import torch
from torch import Tensor, nn

from yolox_gssam.attention.options import hidden_channels
from yolox_gssam.attention.registry import register_attention
from yolox_gssam.common.errors import UserError


@register_attention("cbam")
class CBAM(nn.Module):
    """Weighs every channel, then every pixel. (B, C, H, W) -> same shape and dtype.

    Args:
        channels: C of the input.
        reduction: C over the width of the perceptron's hidden layer.
        kernel_size: side of the spatial convolution, odd.

    Raises:
        UserError: fewer channels than `reduction`, or an even kernel.
    """

    def __init__(self, channels: int, reduction: int = 16, kernel_size: int = 7) -> None:
        super().__init__()
        hidden = hidden_channels(channels, reduction)
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise UserError(f"kernel_size must be odd, not {kernel_size}")
        self.perceptron = nn.Sequential(
            nn.Conv2d(channels, hidden, 1, bias=False),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, channels, 1, bias=False),
        )
        self.spatial = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = x * self.channel_map(x)
        return x * self._spatial_map(x)

    def channel_map(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, 1, 1) in [0, 1], in the dtype of `x`."""
        mean, maximum = x.mean(dim=(2, 3), keepdim=True), x.amax(dim=(2, 3), keepdim=True)
        return (self.perceptron(mean) + self.perceptron(maximum)).sigmoid().to(x.dtype)

    def attention_map(self, x: Tensor) -> Tensor:
        """The spatial step's map for an input (B, C, H, W): (B, 1, H, W) in [0, 1], in the dtype of `x`."""
        return self._spatial_map(x * self.channel_map(x))

    def _spatial_map(self, x: Tensor) -> Tensor:
        pooled = torch.cat((x.mean(dim=1, keepdim=True), x.amax(dim=1, keepdim=True)), dim=1)  # (B, 2, H, W)
        return self.spatial(pooled).sigmoid().to(x.dtype)
