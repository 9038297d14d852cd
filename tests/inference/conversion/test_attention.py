"""The whole network with each attention at position 1, as an ONNX file for all sizes, against YOLOX's forward pass."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from yolox.models import YOLOX

from yolox_gssam.attention import NonLocal, attention_names
from yolox_gssam.experiment import CONV_STAGES, GSSAM_STAGES
from yolox_gssam.inference.backends.onnx_runtime import OnnxRuntimeBackend
from yolox_gssam.inference.conversion import to_onnx
from yolox_gssam.models import add_attention, build_yolox

CLASSES = 3
LARGEST_HW = (160, 192)
# Of a network with 8 to 128 channels.
OPTIONS: dict[str, dict[str, Any]] = {
    "bam": {"reduction": 8},
    "cbam": {"reduction": 8},
    "conv": CONV_STAGES,
    "coordinate": {},
    "ema_attention": {"groups": 8},
    "gam": {"groups": (1, 2, 2, 4, 4), "padding": ("zeros", "replicate", "zeros", "replicate", "zeros")},
    "gssam": GSSAM_STAGES,
    "nonlocal": {"pool_size": (16, 8, 4, 2, 1)},
    "se": {"reduction": 8},
}


def make_network(name: str) -> YOLOX:
    """A narrow network whose BatchNorms have lived, and whose scores vary."""
    torch.manual_seed(0)
    model = add_attention(build_yolox(CLASSES, 0.33, 0.125, depthwise=True), name, 1, OPTIONS[name])
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.1)
    with torch.no_grad():
        model.backbone(torch.rand(4, 3, 96, 128) * 255)
    for module in model.modules():
        if isinstance(module, NonLocal):
            # What a fresh one adds hardly varies: divided by so little, rounding would be all one sees.
            module.norm.running_var.clamp_(min=0.1)
    for convs in (model.head.obj_preds, model.head.cls_preds):
        for conv in convs:
            conv.weight.data.normal_(0, 1)
            conv.bias.data.zero_()
    return model.eval()


def test_all_modules_are_here() -> None:
    assert set(OPTIONS) == set(attention_names())


@pytest.mark.parametrize("name", OPTIONS)
def test_onnx_file_of_all_sizes(name: str) -> None:
    pytest.importorskip("onnx")
    model = make_network(name)
    backend = OnnxRuntimeBackend(to_onnx.convert(model, LARGEST_HW))
    rng = np.random.default_rng(0)
    for batch, height, width in ((2, 64, 96), (1, *LARGEST_HW)):
        images = rng.integers(0, 256, (batch, height, width, 3), dtype=np.uint8)
        with torch.no_grad():
            expected = model(torch.from_numpy(images).permute(0, 3, 1, 2).float())
        # With a threshold of 0 every anchor is a candidate: level by level, and of each level image by image.
        rows = torch.from_numpy(backend.candidates(images, 0.0))
        found = torch.cat([rows[rows[:, 0] == number, 1:] for number in range(batch)])
        torch.testing.assert_close(found, expected.flatten(0, 1), rtol=1e-3, atol=1e-3)
