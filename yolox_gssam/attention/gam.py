"""GAM, the Global Attention Mechanism.

Liu, Shao, Hoffmann, "Global Attention Mechanism: Retain Information to Enhance Channel-Spatial Interactions", 2021,
arXiv 2112.05561. For a feature map F:

    Mc = sigmoid(perceptron over the channels, at every pixel of F)
    F' = F * Mc                                                                (Eq. 1)
    Ms = sigmoid(BN(conv7x7(ReLU(BN(conv7x7(F'))))))
    output = F' * Ms                                                           (Eq. 2)

Nothing is pooled: Mc and Ms have a value for every channel of every pixel. For large C the convolutions are grouped and
the hidden channels shuffled between them.

Code for it leaves out the sigmoid of Mc (`channel_sigmoid=False`), and some of it pads by replication. The widespread
listing with groups shuffles the channels of Ms; here they are shuffled between the two convolutions, as in ShuffleNet
(Zhang et al., CVPR 2018, arXiv 1707.01083), which the paper names, so that the second one sees all groups of the first.
"""

from typing import Literal

from torch import Tensor, nn

from yolox_gssam.attention.normalization import BatchNorm
from yolox_gssam.attention.options import check_choice, check_groups, hidden_channels
from yolox_gssam.attention.registry import register_attention

_KERNEL = 7


@register_attention("gam")
class GAM(nn.Module):
    """Weighs every value by the channels of its pixel, then by its neighbourhood. (B, C, H, W) -> same shape and dtype.

    Args:
        channels: C of the input.
        reduction: C over the width of both hidden layers.
        channel_sigmoid: False multiplies by the perceptron's output as it is. What leaves the channel step then grows
            as the square of the input, beyond float16's range where the input is in the hundreds.
        padding: "zeros" or "replicate", what the convolutions see beyond the border.
        groups: of the convolutions; must divide C and the hidden width.

    Raises:
        UserError: fewer channels than `reduction`, a number of groups that does not divide them, or an unknown padding.
    """

    def __init__(
        self,
        channels: int,
        reduction: int = 4,
        channel_sigmoid: bool = True,
        padding: Literal["zeros", "replicate"] = "zeros",
        groups: int = 1,
    ) -> None:
        super().__init__()
        hidden = hidden_channels(channels, reduction)
        check_choice("padding", padding, ("zeros", "replicate"))
        check_groups(groups, input=channels, hidden=hidden)
        self.perceptron = nn.Sequential(
            nn.Conv2d(channels, hidden, 1), nn.ReLU(inplace=True), nn.Conv2d(hidden, channels, 1)
        )

        def convolution(inputs: int, outputs: int) -> nn.Conv2d:
            return nn.Conv2d(inputs, outputs, _KERNEL, padding=_KERNEL // 2, groups=groups, padding_mode=padding)

        self.reduce = nn.Sequential(convolution(channels, hidden), BatchNorm(hidden), nn.ReLU(inplace=True))
        self.expand = nn.Sequential(convolution(hidden, channels), BatchNorm(channels))
        self.channel_sigmoid = channel_sigmoid
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        x = self._channel_step(x)
        return x * self._spatial_weights(x)

    def attention_map(self, x: Tensor) -> Tensor:
        """The spatial step's weights for an input (B, C, H, W), their mean over the channels: (B, 1, H, W) in [0, 1],
        in the dtype of `x`."""
        return self._spatial_weights(self._channel_step(x)).mean(dim=1, keepdim=True)

    def _channel_step(self, x: Tensor) -> Tensor:
        weights = self.perceptron(x)
        return x * (weights.sigmoid() if self.channel_sigmoid else weights).to(x.dtype)

    def _spatial_weights(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> same shape in [0, 1]."""
        return self.expand(shuffle_channels(self.reduce(x), self.groups)).sigmoid().to(x.dtype)


def shuffle_channels(x: Tensor, groups: int) -> Tensor:
    """(B, C, H, W) -> same shape: the first channel of every group, then the second of every group, and so on."""
    if groups == 1:
        return x
    B, _, H, W = x.shape
    # Not unflatten, whose rank ONNX loses.
    return x.reshape(B, groups, -1, H, W).transpose(1, 2).reshape(x.shape)
