"""YOLOX's neck with a fourth level at stride 4, for objects of a few pixels.

YOLOX's PAFPN (Ge et al. 2021, arXiv 2107.08430) joins dark3, dark4 and dark5 from the top down and then from the bottom
up. Here one step more down, of the same parts, joins dark2 as well. There is no step up from it: the three stock levels
would read fresh weights, and pretrained ones would be worth nothing to them. The neck and the head give the new level
after the stock ones, so that every stock parameter keeps its name and its place in the head's lists.
"""

from typing import Any

import torch
from torch import Tensor, nn
from yolox.models import YOLOPAFPN, YOLOX
from yolox.models.network_blocks import BaseConv, CSPLayer

STRIDES = (8, 16, 32)
"""Of a stock YOLOX."""
FINE_STRIDES = (4, 8, 16, 32)
FINE_FEATURES = ("dark2", "dark3", "dark4", "dark5")


class FinePAFPN(nn.Module):
    """A PAFPN of four levels. The stock neck's parameters keep their YOLOX names, and its levels their values.

    Args:
        neck: the stock neck; its parts are taken over, not copied.
        depth, width, act, depthwise: as the stock neck was built with.
    """

    backbone: Any
    upsample: nn.Module
    lateral_conv0: nn.Module
    reduce_conv1: nn.Module
    C3_p4: nn.Module
    C3_p3: nn.Module
    bu_conv2: nn.Module
    bu_conv1: nn.Module
    C3_n3: nn.Module
    C3_n4: nn.Module

    def __init__(self, neck: YOLOPAFPN, depth: float, width: float, act: str = "silu", depthwise: bool = False) -> None:
        super().__init__()
        for name, module in neck.named_children():
            setattr(self, name, module)
        self.backbone.out_features = FINE_FEATURES
        fine, coarse = int(128 * width), int(256 * width)  # channels of dark2 and dark3
        self.reduce_conv2 = BaseConv(coarse, fine, 1, 1, act=act)
        self.C3_p2 = CSPLayer(2 * fine, fine, round(3 * depth), False, depthwise=depthwise, act=act)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Images (B, 3, H, W), H and W multiples of 32 -> maps (B, C, H/8, W/8), then 16, 32 and, last, 4."""
        features = self.backbone(images)
        dark2, dark3, dark4, dark5 = (features[stage] for stage in FINE_FEATURES)

        down5 = self.lateral_conv0(dark5)
        down4 = self.reduce_conv1(self.C3_p4(self._join(down5, dark4)))
        out3: Tensor = self.C3_p3(self._join(down4, dark3))
        out2: Tensor = self.C3_p2(self._join(self.reduce_conv2(out3), dark2))
        out4: Tensor = self.C3_n3(torch.cat((self.bu_conv2(out3), down4), dim=1))
        out5: Tensor = self.C3_n4(torch.cat((self.bu_conv1(out4), down5), dim=1))
        return out3, out4, out5, out2

    def _join(self, coarse: Tensor, fine: Tensor) -> Tensor:
        return torch.cat((self.upsample(coarse), fine), dim=1)


def level_layers(model: YOLOX) -> dict[int, nn.Module]:
    """The neck's last layer of each level, by stride, in the order of the head's anchors."""
    neck = model.backbone
    layers = {8: neck.C3_p3, 16: neck.C3_n3, 32: neck.C3_n4}
    return {**layers, 4: neck.C3_p2} if isinstance(neck, FinePAFPN) else layers
