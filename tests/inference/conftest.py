"""A small detector with weights that find a lot, since what it finds does not matter here."""

import pytest
import torch
from yolox.models import YOLOPAFPN, YOLOX, YOLOXHead

NUM_CLASSES = 4


@pytest.fixture(scope="session")
def nano() -> YOLOX:
    """Stock YOLOX-nano with random weights whose boxes and scores vary widely."""
    torch.manual_seed(0)
    channels = [256, 512, 1024]
    model = YOLOX(
        YOLOPAFPN(0.33, 0.25, in_channels=channels, depthwise=True),
        YOLOXHead(NUM_CLASSES, 0.25, in_channels=channels, depthwise=True),
    )
    # In training mode a forward pass gives the BatchNorms statistics that fit, so that signals do not fade out.
    model.backbone.train()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        features = model.backbone(torch.rand(2, 3, 128, 128) * 255)
        assert len(features) == 3
        for convs, spread in ((model.head.cls_preds, 3), (model.head.obj_preds, 3), (model.head.reg_preds, 0.3)):
            for conv in convs:
                conv.weight.normal_(0, spread)
                conv.bias.normal_(0, 1)
    return model.eval()
