"""A small detector whose signals do not fade out, since what it finds does not matter here."""

import pytest
import torch
from yolox.models import YOLOX

from yolox_gssam.experiment import GSSAM_STAGES
from yolox_gssam.models import add_attention, build_yolox


@pytest.fixture(scope="session")
def gssam_detector() -> YOLOX:
    torch.manual_seed(0)
    model = build_yolox(2, 0.33, 0.125, depthwise=True)
    add_attention(model, "gssam", 1, {**GSSAM_STAGES, "residual": True})
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the statistics of all that was seen
    with torch.no_grad():
        features = model.backbone(torch.rand(2, 3, 64, 96) * 255)
        assert len(features) == 3
        for conv in model.head.obj_preds:
            conv.weight.normal_(0, 1)
    return model.eval()
