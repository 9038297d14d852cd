"""EMA of weights, YOLOX's values in a third of its time."""

import math
from collections.abc import Collection

import torch
from torch import Tensor, nn
from yolox.utils import ModelEMA


class AveragedWeights(ModelEMA):
    """YOLOX's moving average of a model's floating parameters and buffers, with a ramp of one's own.

    YOLOX collects both state dicts at every step; here the tensors are looked up once, so those of the model must stay
    the same ones: what changes their values in place, as optimizers and load_state_dict do, is seen.

    Args:
        model: not wrapped, on its device.
        decay: share of the average that a step keeps, once the ramp is over.
        ramp: in so many steps the share rises to 63 % of `decay`.
        frozen: names in the state dict of what does not change: the average of equal numbers would differ from them in
            the last digits.
    """

    def __init__(self, model: nn.Module, decay: float, ramp: float, frozen: Collection[str] = ()) -> None:
        super().__init__(model)
        self.decay = lambda updates: decay * (1 - math.exp(-updates / ramp))
        self._final_decay, self._ramp = decay, ramp
        tensors = model.state_dict()
        self._pairs = [
            (average, tensors[name])
            for name, average in self.ema.state_dict().items()
            if average.is_floating_point() and name not in frozen
        ]

    @torch.no_grad()
    def update(self) -> None:
        self.updates += 1
        self.take(self.decay(self.updates))

    def share(self, updates: Tensor) -> Tensor:
        """`decay`, of a count of steps that is on the device."""
        return self._final_decay * (1 - torch.exp(-updates / self._ramp))

    @torch.no_grad()
    def take(self, share: float | Tensor) -> None:
        """`share` of the average stays, the rest comes from the model's present weights; the steps are not counted."""
        averages, tensors = ([pair[i] for pair in self._pairs] for i in (0, 1))
        torch._foreach_mul_(averages, share)
        # Two roundings, as YOLOX has: `alpha` would leave out one.
        torch._foreach_add_(averages, torch._foreach_mul(tensors, 1.0 - share))
