"""DarkNet53 (Redmon, Farhadi, "YOLOv3: An Incremental Improvement", 2018, arXiv 1804.02767, Table 1).

Every convolution has a bias beside its BatchNorm: so many parameters the GSSAM paper's Table 1 counts. torchvision has
no DarkNet.
"""

from torch import Tensor, nn

# Width and residual blocks of the five stages; each begins by halving the map.
BLOCKS = ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4))


def darknet53_parts(num_classes: int) -> tuple[list[nn.Module], nn.Module]:
    """The five stages, (B, 3, H, W) -> (B, C, H / 2^i, W / 2^i), i = 1 to 5, and the head -> (B, num_classes)."""
    stages: list[nn.Module] = []
    before, first = 32, [_convolution(3, 32, 3)]
    for width, blocks in BLOCKS:
        residuals = [_Residual(width) for _ in range(blocks)]
        stages.append(nn.Sequential(*first, _convolution(before, width, 3, stride=2), *residuals))
        before, first = width, []
    return stages, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, num_classes))


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(_convolution(channels, channels // 2, 1), _convolution(channels // 2, channels, 3))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


def _convolution(inputs: int, outputs: int, kernel_size: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel_size, stride, padding=kernel_size // 2)
    nn.init.kaiming_normal_(convolution.weight, a=0.1, mode="fan_out", nonlinearity="leaky_relu")
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.LeakyReLU(0.1, inplace=True))
