"""EMA, efficient multi-scale attention; `ema_attention` in an experiment, where `ema` is the average of weights.

Ouyang et al., "Efficient Multi-Scale Attention Module with Cross-Spatial Learning", ICASSP 2023, arXiv 2305.13563. The
C channels are cut into G groups that share one set of weights and see nothing of one another. For a group X of C / G
channels:

    h, w = sigmoid(conv1x1(average over each row)), sigmoid(conv1x1(average over each column))
    a = GN(X * h * w)                                       the branch of 1x1, each channel normalised by itself
    b = conv3x3(X)                                          the branch of 3x3
    A = sigmoid(softmax(pool(a)) b + softmax(pool(b)) a)    pool: over the pixels; softmax and product: over channels
    output = X * A

as in the authors' code (github.com/YOLOonMe/EMA-attention-module). It concatenates rows and columns for the 1x1
convolution, which sees one position at a time: applied to each alone, it gives the same. Since each channel of a is
normalised by itself, pool(a) is the GroupNorm's bias, whatever the image: the weights of b are learned, but the same
for all images.
"""

from torch import Tensor, nn

from yolox_gssam.attention.options import check_groups
from yolox_gssam.attention.registry import register_attention


@register_attention("ema_attention")
class EfficientMultiScaleAttention(nn.Module):
    """Weighs every pixel of every group of channels. (B, C, H, W) -> same shape and dtype.

    Args:
        channels: C of the input.
        groups: G; must divide C.

    Raises:
        UserError: it does not.
    """

    def __init__(self, channels: int, groups: int = 32) -> None:
        super().__init__()
        check_groups(groups, input=channels)
        width = channels // groups
        self.pointwise = nn.Conv2d(width, width, 1)
        self.spatial = nn.Conv2d(width, width, 3, padding=1)
        self.norm = nn.GroupNorm(width, width)
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        maps = self.group_maps(x).unsqueeze(2)  # (B, G, 1, H, W)
        B, _, H, W = x.shape
        # Not unflatten, whose rank ONNX loses.
        return (x.reshape(B, self.groups, -1, H, W) * maps).reshape(x.shape)

    def attention_map(self, x: Tensor) -> Tensor:
        """The mean of the groups' maps: (B, C, H, W) -> (B, 1, H, W) in [0, 1], in the dtype of `x`."""
        return self.group_maps(x).mean(dim=1, keepdim=True)

    def group_maps(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, G, H, W) in [0, 1], in the dtype of `x`."""
        H, W = x.shape[2:]
        group = x.reshape(-1, self.norm.num_channels, H, W)  # (B G, C / G, H, W)
        rows, columns = (self.pointwise(group.mean(dim=dim, keepdim=True)).sigmoid() for dim in (3, 2))
        one, three = self.norm(group * rows * columns), self.spatial(group)
        maps = _weighted_sum(one, three) + _weighted_sum(three, one)  # (B G, 1, H W)
        return maps.sigmoid().view(-1, self.groups, H, W).to(x.dtype)


def _weighted_sum(pooled: Tensor, summed: Tensor) -> Tensor:
    """The sum of the channels of `summed` (n, c, H, W), by the softmax of the means of `pooled`'s -> (n, 1, H W)."""
    weights = pooled.mean(dim=(2, 3)).softmax(dim=1).unsqueeze(1)  # (n, 1, c)
    return weights.to(summed.dtype) @ summed.flatten(2)
