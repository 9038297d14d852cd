"""Attention-map statistics: are the maps flat or saturated, and does a gradient reach what makes them?"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm
from yolox.models import YOLOX

from yolox_gssam.experiment import load_trained
from yolox_gssam.models.yolox import attention_maps
from yolox_gssam.research.tables.cells import Cell, Study
from yolox_gssam.research.tables.markdown import github_table

SATURATED = 0.01
"""A sigmoid nearer than this to 0 or 1 passes less than a twenty-fifth of the gradient that it passes in its middle."""


@dataclass(frozen=True)
class MapState:
    """Of one stage's map over the images.

    Attributes:
        trained: whether its weights are those of a best checkpoint; otherwise fresh ones.
        low, high: means over the images of the map's smallest and largest value, in [0, 1].
        deviation: mean over the images of the standard deviation within the map.
        saturated: share of all pixels within `SATURATED` of 0 or 1.
        gradient: norm of the training loss's gradient by the module's parameters, mean over the batches.
    """

    network: str
    stage: str
    trained: bool
    low: float
    high: float
    deviation: float
    saturated: float
    gradient: float


def map_states(study: Study, folder: Path, count: int, batch_size: int) -> list[MapState]:
    """The states of every network with maps, fresh and, for the first cell whose weights are kept, trained.

    Args:
        folder: of the cells.
        count: batches.
        batch_size: training images per batch, without mosaic; the same for all networks.
    """
    states = []
    for row in study.exps:
        kept = sorted((folder / "networks").glob(f"{row}_*seed*.pth"))
        cell = next((cell for cell in map(Cell.of, kept) if cell.row == row), Cell(0, None, row))
        exp = study.experiment(cell, folder)
        loader = exp.get_data_loader(batch_size, is_distributed=False, no_aug=True)
        batches = [(images, targets) for images, targets, *_ in islice(loader, count)]
        torch.manual_seed(cell.seed)
        states += states_of(exp.get_model(), batches, row, trained=False)
        if cell.network(folder).exists():
            _, model = load_trained(study.exps[row], cell.network(folder), (), torch.device("cpu"))
            states += states_of(model, batches, row, trained=True)
    return states


def states_of(model: YOLOX, batches: Sequence[tuple[Tensor, Tensor]], network: str, *, trained: bool) -> list[MapState]:
    """The state of each stage whose attention has a map, on batches (B, 3, H, W) and (B, n, 5) as in training."""
    modules: dict[str, Any] = dict(getattr(model.backbone.backbone, "attention", {}))
    maps: dict[str, list[Tensor]] = {}
    # BatchNorm's running statistics say nothing yet in a fresh network: it sees the batch's own.
    model.train(not trained)
    for images, _ in batches:
        for stage, values in attention_maps(model, images.float()).items():
            maps.setdefault(stage, []).append(values.flatten(1))
    # In training mode, as the gradient of a training step is; of every batch by itself.
    gradients: dict[str, list[float]] = {stage: [] for stage in maps}
    model.train()
    for images, targets in batches:
        model.zero_grad(set_to_none=True)
        model(images.float(), targets)["total_loss"].backward()
        for stage, norms in gradients.items():
            norms.append(get_total_norm([p.grad for p in modules[stage].parameters() if p.grad is not None]).item())
    found = []
    for stage, parts in maps.items():
        values = torch.cat(parts)  # an image per row
        found.append(
            MapState(
                network,
                stage,
                trained,
                low=values.amin(dim=1).mean().item(),
                high=values.amax(dim=1).mean().item(),
                deviation=values.std(dim=1, correction=0).mean().item(),
                saturated=((values < SATURATED) | (values > 1 - SATURATED)).float().mean().item(),
                gradient=sum(gradients[stage]) / len(batches),
            )
        )
    return found


def map_table(states: Sequence[MapState]) -> str:
    """A Markdown table, a row per network and stage."""
    rows = [
        [
            state.network,
            state.stage,
            "trained" if state.trained else "fresh",
            f"{state.low:.3f} to {state.high:.3f}",
            f"{state.deviation:.4f}",
            f"{100 * state.saturated:.1f}",
            f"{state.gradient:.2g}",
        ]
        for state in states
    ]
    titles = ["network", "stage", "weights", "map", "deviation within it", "saturated, %", "gradient norm"]
    return github_table(rows, titles)
