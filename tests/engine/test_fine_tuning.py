import torch
from torch import nn
from yolox.utils import freeze_module

from yolox_gssam.engine.averaging import AveragedWeights
from yolox_gssam.engine.fine_tuning import frozen_state, hold_frozen


class Network(nn.Module):
    """A part that is frozen, and one with a frozen convolution and a norm that is not."""

    def __init__(self) -> None:
        super().__init__()
        plain = nn.BatchNorm2d(4, affine=False)
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Sequential(plain))
        self.head = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.BatchNorm2d(4, affine=False))
        freeze_module(self.backbone)
        freeze_module(self.head[0])


FROZEN = {
    *(f"backbone.0.{name}" for name in ("weight", "bias")),
    *(f"backbone.1.{name}" for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")),
    *(f"backbone.2.0.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")),
    *(f"head.0.{name}" for name in ("weight", "bias")),
}


def test_what_is_frozen() -> None:
    network = Network()
    assert frozen_state(network) == FROZEN
    assert frozen_state(nn.BatchNorm2d(2).requires_grad_(False)) == set(nn.BatchNorm2d(2).state_dict())
    others = {f"head.{i}.{name}" for i in (1, 2) for name in ("running_mean", "running_var", "num_batches_tracked")}
    assert frozen_state(network, norm=True) == FROZEN | others
    assert frozen_state(nn.Conv2d(1, 1, 1)) == frozenset()


def test_only_frozen_modules_are_held() -> None:
    network = Network().train()
    hold_frozen(network)
    assert {name for name, module in network.named_modules() if not module.training} == {
        *("backbone", "backbone.0", "backbone.1", "backbone.2", "backbone.2.0", "head.0")
    }
    hold_frozen(network, norm=True)
    assert not network.head[1].training
    assert network.training


def test_the_average_of_what_is_frozen_is_the_same_to_the_bit() -> None:
    torch.manual_seed(0)
    network = Network()
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.is_floating_point():
                tensor.uniform_(0.1, 1)
    average = AveragedWeights(network, 0.9998, 20, frozen_state(network))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    for _ in range(100):
        with torch.no_grad():
            network.head[1].weight.add_(0.01)
        average.update()
    after = average.ema.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in FROZEN)
    assert not torch.equal(after["head.1.weight"], before["head.1.weight"])
