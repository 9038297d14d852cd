"""The "ResNet34" whose parameters and multiply-adds the GSSAM paper's Table 1 counts (doi 10.3788/LOP231933).

Not the usual one (He et al. 2016, arXiv 1512.03385): basic blocks of widths 128, 256, 256, 512, and 4, 4, 6, 3 of them.
The first block of every stage has a 1x1 convolution on its shortcut. The stem is the usual one.
"""

from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet

# Width, blocks and stride of the four stages.
BLOCKS = ((128, 4, 1), (256, 4, 2), (256, 6, 2), (512, 3, 2))


def paper_resnet34(num_classes: int) -> nn.Module:
    """torchvision's ResNet with these stages: (B, 3, H, W) -> (B, num_classes) logits."""
    model = ResNet(BasicBlock, [blocks for _, blocks, _ in BLOCKS], num_classes=num_classes)
    inputs = 64
    for number, (width, blocks, stride) in enumerate(BLOCKS, 1):
        setattr(model, f"layer{number}", _stage(inputs, width, blocks, stride))
        inputs = width
    return model


def _stage(inputs: int, width: int, blocks: int, stride: int) -> nn.Sequential:
    shortcut = nn.Sequential(nn.Conv2d(inputs, width, 1, stride, bias=False), nn.BatchNorm2d(width))
    stage = nn.Sequential(
        BasicBlock(inputs, width, stride, shortcut), *(BasicBlock(width, width) for _ in range(blocks - 1))
    )
    for module in stage.modules():
        if isinstance(module, nn.Conv2d):  # as torchvision's ResNet does
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return stage
