"""Squeeze-and-excitation.

Hu, Shen, Sun, "Squeeze-and-Excitation Networks", CVPR 2018, arXiv 1709.01507. For a feature map F:

    z = average over the pixels of F          (Eq. 2)
    s = sigmoid(W2 ReLU(W1 z))                (Eq. 3)
    output = F * s                            (Eq. 4)

W1 and W2 have no biases, as the equations are printed: 2 C^2 / reduction parameters, as the paper counts them.
"""

from torch import Tensor, nn

from yolox_gssam.attention.options import hidden_channels
from yolox_gssam.attention.registry import register_attention


@register_attention("se")
class SE(nn.Module):
    """Weighs every channel. (B, C, H, W) -> same shape and dtype.

    Args:
        channels: C of the input.
        reduction: C over the width of the hidden layer.

    Raises:
        UserError: fewer channels than `reduction`.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = hidden_channels(channels, reduction)
        self.perceptron = nn.Sequential(
            nn.Conv2d(channels, hidden, 1, bias=False),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, channels, 1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.channel_map(x)

    def channel_map(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, 1, 1) in [0, 1], in the dtype of `x`."""
        return self.perceptron(x.mean(dim=(2, 3), keepdim=True)).sigmoid().to(x.dtype)
