"""One optimizer step: plain, or on fixed buffers, which CUDA can record once and repeat as one graph.

A step of a small network is thousands of short kernels, and starting them from Python takes longer than computing
them. CUDA records the kernels of one step and replays them without Python
(https://pytorch.org/docs/stable/notes/cuda.html#cuda-graphs). That needs fixed shapes, and nothing may wait for the
device: what the trainer decides by looking at a loss is decided on the device here.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from yolox_gssam.engine.averaging import AveragedWeights
from yolox_gssam.engine.launch import anywhere

WARM_UP_STEPS = 3
"""Steps before the recording, in which libraries choose their kernels. Nothing of them is kept."""
OBJECTS_STEP = 8
"""Targets are padded to a multiple of so many objects per image, so that few shapes occur."""


@dataclass(frozen=True)
class Taken:
    """What steps left behind.

    Attributes:
        sums: name -> sum over the steps that were taken.
        skipped: how many were not, because loss or gradient was not finite, which changes nothing else.
        skipped_in_a_row: how many of the very last ones.
        fault: what was not finite, for the log; "" where nothing was skipped.
    """

    sums: dict[str, float]
    skipped: int
    skipped_in_a_row: int
    fault: str = ""


@dataclass(eq=False)
class _Step:
    """What both kinds of step are made of.

    Attributes:
        model: in training mode, on its device; a plain step's may be wrapped for several processes.
        average: the averaged weights, updated after each step; None for none.
        limit: longest gradient, longer ones are scaled down; infinity for none.
        names: which of the model's outputs are summed up; a plain step needs "total_loss" and "grad_norm" among them.
        precision: makes the context of the forward pass.
        skipped_in_a_row: how many steps were skipped just before the first.
    """

    model: Any
    optimizer: torch.optim.Optimizer
    average: AveragedWeights | None
    limit: float
    names: Sequence[str]
    precision: Callable[[], AbstractContextManager[Any]]
    skipped_in_a_row: int = 0

    def __post_init__(self) -> None:
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.device = self.parameters[0].device


@dataclass(eq=False)
class PlainStep(_Step):
    """One optimizer step, whose losses are looked at before the weights change; `scaler` is of the loss in float16."""

    scaler: torch.amp.GradScaler = field(kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._buffers = [b for b in self.model.buffers() if b.numel()]
        self._saved_buffers = [b.clone() for b in self._buffers]
        self._taken = Taken({}, 0, self.skipped_in_a_row)

    def run(self, images: Tensor, targets: Tensor, rate: float) -> None:
        """Takes one step, or none where loss or gradient is not finite in any process.

        Args:
            images: (B, 3, H, W) float32.
            targets: (B, n, 5) as `TrainingSet` gives them.
            rate: the learning rate; the optimizer of a plain step has it already.
        """
        torch._foreach_copy_(self._saved_buffers, self._buffers)
        with self.precision():
            outputs = self.model(images, targets)
        self.optimizer.zero_grad()
        self.scaler.scale(outputs["total_loss"]).backward()
        self.scaler.unscale_(self.optimizer)
        outputs["grad_norm"] = nn.utils.clip_grad_norm_(self.parameters, self.limit)
        # Together, so that the device is waited for once.
        tensors = [torch.as_tensor(outputs[name], device=self.device).detach().float() for name in self.names]
        values = dict(zip(self.names, torch.stack(tensors).tolist(), strict=True))
        loss, norm = values["total_loss"], values["grad_norm"]
        if anywhere(not (math.isfinite(loss) and math.isfinite(norm)), self.device):
            # BatchNorm has counted the activations of this batch already.
            torch._foreach_copy_(self._buffers, self._saved_buffers)
            self.skipped_in_a_row += 1
            fault = f"loss {loss:g}, gradient norm {norm:g}: step skipped"
            self._taken = Taken({}, 1, self.skipped_in_a_row, fault)
        else:
            self.scaler.step(self.optimizer)
            if self.average is not None:
                self.average.update()
            self.skipped_in_a_row = 0
            self._taken = Taken(values, 0, 0)
        self.scaler.update()

    def collect(self) -> Taken:
        """What the one step since the last call left behind."""
        taken, self._taken = self._taken, Taken({}, 0, self.skipped_in_a_row)
        return taken


@dataclass(eq=False)
class StaticStep(_Step):
    """One optimizer step for batches of one shape, without waiting for the device; see `run`.

    The model is a `YOLOX`, whose head is set to match all anchors; the optimizer is fused SGD.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self.model.head.static_shapes = True
        self._statistics = [b for b in self.model.buffers() if b.is_floating_point() and b.numel()]
        for parameter in self.parameters:
            state = self.optimizer.state[parameter]
            if state.get("momentum_buffer") is None:
                state["momentum_buffer"] = torch.zeros_like(parameter)
        self._rate = torch.zeros((), device=self.device)
        # Steps that the average has taken: the device alone knows which ones were skipped.
        updates = 0 if self.average is None else self.average.updates
        self._updates = torch.full((), updates, device=self.device, dtype=torch.float64)
        # Sums of `names` over the steps that were taken, how many were skipped, how many of the last ones in a row.
        self._totals = torch.zeros(len(self.names) + 2, device=self.device, dtype=torch.float64)
        self._totals[-1] = self.skipped_in_a_row
        self._recorded: dict[tuple[Any, ...], tuple[Any, Tensor, Tensor]] = {}
        self._pool: Any = None

    def run(self, images: Tensor, targets: Tensor, rate: float) -> None:
        """Takes one step as `PlainStep.run`, without waiting for it; images are channels last.

        A step whose loss or gradient is not finite changes nothing but the count of skipped steps.
        """
        targets = pad_targets(targets)
        self._rate.fill_(rate)
        if self.device.type != "cuda":
            self._step(images, targets)
            return
        key = (tuple(images.shape), tuple(targets.shape), self.model.head.use_l1)
        if key not in self._recorded:
            self._recorded[key] = self._record(images, targets)
        graph, own_images, own_targets = self._recorded[key]
        own_images.copy_(images)
        own_targets.copy_(targets)
        graph.replay()

    def collect(self) -> Taken:
        """What the steps since the last call left behind; waits for the device, and brings the average's count of steps
        up to date."""
        values = self._totals.tolist()
        self._totals[:-1] = 0
        if self.average is not None:
            self.average.updates = round(self._updates.item())
        skipped = round(values[-2])
        fault = f"{skipped} steps whose loss was not finite were skipped" if skipped else ""
        return Taken(dict(zip(self.names, values, strict=False)), skipped, round(values[-1]), fault)

    def _step(self, images: Tensor, targets: Tensor) -> None:
        """Forward, backward and update, all on the device."""
        statistics = _joined(self._statistics)
        with self.precision():
            outputs = self.model(images, targets)
        self.optimizer.zero_grad(set_to_none=True)
        outputs["total_loss"].backward()
        outputs["grad_norm"] = nn.utils.clip_grad_norm_(self.parameters, self.limit)
        values = torch.stack([torch.as_tensor(outputs[n], device=self.device).detach().double() for n in self.names])
        finite = outputs["total_loss"].detach().isfinite() & outputs["grad_norm"].isfinite()
        self._update(finite, statistics)
        taken = torch.where(finite, values, 0.0)
        skipped = (~finite).double()
        self._totals[:-2] += taken
        self._totals[-2] += skipped
        self._totals[-1] = (self._totals[-1] + 1) * skipped

    def _update(self, finite: Tensor, statistics: Tensor) -> None:
        """Changes weights and averages where the step is finite; else puts BatchNorm's statistics back."""
        rates = [group["lr"] for group in self.optimizer.param_groups]
        optimizer: Any = self.optimizer
        optimizer.found_inf = (~finite).float()
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate
        self.optimizer.step()
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        del optimizer.found_inf
        kept = torch.where(finite, _joined(self._statistics), statistics)
        pieces = kept.split([tensor.numel() for tensor in self._statistics])
        views = [piece.view_as(tensor) for piece, tensor in zip(pieces, self._statistics, strict=True)]
        torch._foreach_copy_(self._statistics, views)
        if self.average is not None:
            self._updates += finite
            share = self.average.share(self._updates).float()
            self.average.take(torch.where(finite, share, 1.0))

    def _record(self, images: Tensor, targets: Tensor) -> tuple[Any, Tensor, Tensor]:
        """The graph of one step and its input buffers. Weights, momentum and averages stay as they are."""
        own_images, own_targets = images.clone(), targets.clone()
        state = self._state()
        before = [tensor.clone() for tensor in state]
        stream = torch.cuda.Stream(self.device)
        stream.wait_stream(torch.cuda.current_stream(self.device))
        with _fastest_kernels(), torch.cuda.stream(stream):
            for _ in range(WARM_UP_STEPS):
                self._step(own_images, own_targets)
        torch.cuda.current_stream(self.device).wait_stream(stream)
        self.optimizer.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        # thread_local: another thread may prepare the next batch on the device meanwhile.
        with (
            _fastest_kernels(),
            torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"),
        ):
            self._step(own_images, own_targets)
        self._pool = graph.pool()
        with torch.no_grad():
            torch._foreach_copy_(state, before)
        return graph, own_images, own_targets

    def _state(self) -> list[Tensor]:
        tensors = [*self.parameters, *self.model.buffers(), self._totals, self._updates]
        tensors += [self.optimizer.state[parameter]["momentum_buffer"] for parameter in self.parameters]
        if self.average is not None:
            tensors += self.average.ema.state_dict().values()
        return [tensor.detach() for tensor in tensors]


@contextmanager
def _fastest_kernels() -> Iterator[None]:
    """Inside, cuDNN tries out its kernels for each new shape: thousands of steps of the same shapes follow."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def pad_targets(targets: Tensor) -> Tensor:
    """(B, n, 5) -> (B, m, 5), rows of zeros added up to the next multiple of `OBJECTS_STEP`."""
    missing = -targets.shape[1] % OBJECTS_STEP
    return nn.functional.pad(targets, (0, 0, 0, missing)) if missing else targets


def _joined(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in tensors])
