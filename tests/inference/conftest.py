"""Small detectors with weights that find a lot, since what they find does not matter here."""

import pytest
import torch
from yolox.models import YOLOPAFPN, YOLOX, YOLOXHead

from yolox_gssam.experiment import GSSAM_STAGES
from yolox_gssam.models import add_attention, build_yolox

NUM_CLASSES = 4


@pytest.fixture(scope="session")
def nano() -> YOLOX:
    """Stock YOLOX-nano with random weights whose boxes and scores vary widely."""
    torch.manual_seed(0)
    channels = [256, 512, 1024]
    neck = YOLOPAFPN(0.33, 0.25, in_channels=channels, depthwise=True)
    return make_it_find(YOLOX(neck, YOLOXHead(NUM_CLASSES, 0.25, in_channels=channels, depthwise=True)))


@pytest.fixture(scope="session")
def gssam_nano() -> YOLOX:
    """Such a one with GSSAM at position 1."""
    torch.manual_seed(0)
    model = build_yolox(NUM_CLASSES, 0.33, 0.25, depthwise=True)
    return make_it_find(add_attention(model, "gssam", 1, {**GSSAM_STAGES, "residual": True}))


def make_it_find(model: YOLOX) -> YOLOX:
    """The model in evaluation mode, with statistics and a head that let some anchors find something."""
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
