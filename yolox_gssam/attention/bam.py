"""BAM, the Bottleneck Attention Module.

Park, Woo, Lee, Kweon, "BAM: Bottleneck Attention Module", BMVC 2018, arXiv 1807.06514. For a feature map F:

    Mc = perceptron(average over the pixels of F)                         one value a channel  (Eq. 3)
    Ms = conv1x1(conv3x3(conv3x3(conv1x1(F)))), the 3x3 ones dilated      one value a pixel    (Eq. 4)
    M = sigmoid(Mc + Ms)                                                  of shape C x H x W   (Eq. 2)
    output = F + F * M                                                                         (Eq. 1)

The layers are those of the authors' code (github.com/Jongchan/attention-module, MODELS/bam.py): a BatchNorm and a ReLU
behind every hidden layer of both branches, where the printed equations have one BatchNorm at the end of each. The two
branches are added, as in the paper; that code multiplies them. Its average is over a square of the map's height; ours
is over all pixels.
"""

from torch import Tensor, nn

from yolox_gssam.attention.normalization import BatchNorm
from yolox_gssam.attention.options import hidden_channels
from yolox_gssam.attention.registry import register_attention
from yolox_gssam.common.errors import UserError


@register_attention("bam")
class BAM(nn.Module):
    """Weighs every value by its channel and its pixel together. (B, C, H, W) -> same shape and dtype.

    In training, the BatchNorm of the channels' branch sees one value an image: it needs a batch of some size. For a
    batch of one image it uses its running statistics.

    Args:
        channels: C of the input.
        reduction: C over the width of the hidden layers.
        dilation: of the 3x3 convolutions, in pixels.

    Raises:
        UserError: fewer channels than `reduction`, or a dilation below 1.
    """

    def __init__(self, channels: int, reduction: int = 16, dilation: int = 4) -> None:
        super().__init__()
        hidden = hidden_channels(channels, reduction)
        if dilation < 1:
            raise UserError(f"dilation must be at least 1 pixel, not {dilation}")
        self.channel = nn.Sequential(*_layer(channels, hidden), nn.Conv2d(hidden, channels, 1))
        self.spatial = nn.Sequential(
            *_layer(channels, hidden),
            *_layer(hidden, hidden, 3, dilation),
            *_layer(hidden, hidden, 3, dilation),
            nn.Conv2d(hidden, 1, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        channel = self.channel(x.mean(dim=(2, 3), keepdim=True))
        # x + x * M with one product.
        return x * (1 + (channel + self.spatial(x)).sigmoid()).to(x.dtype)

    def attention_map(self, x: Tensor) -> Tensor:
        """The spatial branch alone: sigmoid(Ms), (B, C, H, W) -> (B, 1, H, W) in [0, 1], in the dtype of `x`."""
        return self.spatial(x).sigmoid().to(x.dtype)


def _layer(channels: int, out_channels: int, kernel_size: int = 1, dilation: int = 1) -> list[nn.Module]:
    padding = dilation * (kernel_size // 2)
    convolution = nn.Conv2d(channels, out_channels, kernel_size, padding=padding, dilation=dilation)
    return [convolution, BatchNorm(out_channels), nn.ReLU(inplace=True)]
