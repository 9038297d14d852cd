"""Sizes of networks that can be counted by hand, and YOLOX's own count."""

import re

import pytest
import torch
from torch import nn
from yolox.utils import get_model_info

from yolox_gssam.models import build_yolox
from yolox_gssam.research.benchmark.network_size import NetworkSize, network_size


def test_one_convolution() -> None:
    # 8 maps of 32 x 48, each value from 3 maps of 3 x 3; two operations a multiply-add.
    model = nn.Conv2d(3, 8, 3, padding=1, bias=False)
    assert network_size(model, (32, 48)) == NetworkSize(216, 2 * 8 * 32 * 48 * 27 / 1e9)


def test_agrees_with_yolox_and_leaves_the_model_alone() -> None:
    model = build_yolox(2, 0.33, 0.125, depthwise=True)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    size = network_size(model, (128, 96))
    parameters, gflops = map(float, re.findall(r"[\d.]+", get_model_info(model.eval(), (128, 96))))
    assert size.parameters / 1e6 == pytest.approx(parameters, abs=0.005)
    assert size.gflops == pytest.approx(gflops, abs=0.005)
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in before.items())
