"""The EMA of weights, against YOLOX's own."""

import math

import torch
from torch import nn
from yolox.utils import ModelEMA

from yolox_gssam.engine.averaging import AveragedWeights


def make_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1)).to(
        memory_format=torch.channels_last
    )


def test_equals_yoloxs_to_the_bit() -> None:
    model = make_model()
    ours, theirs = AveragedWeights(model, decay=0.99, ramp=5), ModelEMA(model)
    theirs.decay = lambda updates: 0.99 * (1 - math.exp(-updates / 5))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    for step in range(20):
        optimizer.zero_grad()
        model(torch.rand(2, 3, 8, 8)).square().sum().backward()
        optimizer.step()
        if step == 10:  # as a resumed run puts its weights in
            model.load_state_dict({name: 1.1 * value for name, value in model.state_dict().items()})
        ours.update()
        theirs.update(model)
    assert ours.updates == 20
    for name, average in theirs.ema.state_dict().items():
        assert torch.isfinite(average).all()
        assert torch.equal(ours.ema.state_dict()[name], average), name
    assert not torch.equal(ours.ema[0].weight, model[0].weight)


def test_takes_no_gradient_and_leaves_the_model() -> None:
    model = make_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    average = AveragedWeights(model, decay=0.9, ramp=1)
    average.update()
    assert not any(parameter.requires_grad for parameter in average.ema.parameters())
    assert not average.ema.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
