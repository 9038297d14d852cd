"""GSSAM's inner steps, as Figs 4 to 7 of its paper show them: embedding, base points, contrast, map."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from yolox_gssam.attention import GSSAM
from yolox_gssam.common.letterbox import letterbox_ratio
from yolox_gssam.inference.overlay import coloured, map_on_image, overlay, titled
from yolox_gssam.research.pictures.layout import fit_panel, grid, map_panel, zoom

_DOT = 2  # pixels, radius


@dataclass(frozen=True, eq=False)
class Steps:
    """What one GSSAM computes for one image, on its feature map of h x w.

    Attributes:
        embedding: (h, w), the map to be compared, c of Eq. 2.
        base_points_xy: (N, 2) int64, column and row of each base point: the pixels that the pooling took.
        contrast: (h, w), Eq. 3, before scale and normalization, as the module's option says.
        attention: (h, w) in [0, 1].
    """

    embedding: NDArray[np.float32]
    base_points_xy: NDArray[np.int64]
    contrast: NDArray[np.float32]
    attention: NDArray[np.float32]


def gssam_steps(model: nn.Module, image: Tensor) -> dict[str, Steps]:
    """The steps of every GSSAM of a network in evaluation mode, in its order, for one image (1, 3, H, W).

    Returns the last part of the module's name (for a detector the stage) -> its steps; empty without a GSSAM.
    """
    steps: dict[str, Steps] = {}

    def keep_steps(name: str, module: Any, inputs: tuple[Tensor, ...]) -> None:
        steps[name.rpartition(".")[2]] = _steps_of(module, inputs[0])

    modules = {name: module for name, module in model.named_modules() if isinstance(module, GSSAM)}
    hooks = [module.register_forward_pre_hook(partial(keep_steps, name)) for name, module in modules.items()]
    try:
        with torch.no_grad():
            model(image)
    finally:
        for handle in hooks:
            handle.remove()
    return steps


def steps_picture(
    steps: Mapping[str, Steps],
    image: NDArray[np.uint8],
    input_size_hw: tuple[int, int],
    box_xyxy: NDArray[np.float32] | None,
    heading: str,
) -> NDArray[np.uint8]:
    """One picture (BGR) with a row per stage: embedding, base points on the image, contrast, map, map around the box.

    Args:
        image: BGR (H, W, 3); its letterbox was the network's input.
        box_xyxy: the object to show more closely, in pixels of the image; None: no such column.
    """
    size_hw = (image.shape[0], image.shape[1])
    rows = []
    for stage, of_stage in steps.items():
        embedding, contrast, attention = (
            map_on_image(values, size_hw, input_size_hw)
            for values in (of_stage.embedding, of_stage.contrast, of_stage.attention)
        )
        over = overlay(image, attention)
        points_xy = points_on_image(of_stage, size_hw, input_size_hw)
        padded = len(of_stage.base_points_xy) - len(points_xy)
        points = f"{stage}: {len(points_xy)} base points" + (f", {padded} more in the padding" if padded else "")
        row = [
            map_panel(coloured(embedding, size_hw), embedding, f"{stage}: embedding"),
            titled(_with_dots(image, points_xy), points),
            map_panel(coloured(contrast, size_hw), contrast, f"{stage}: contrast"),
            map_panel(over, attention, f"{stage}: map"),
        ]
        if box_xyxy is not None:
            row.append(titled(zoom(over, box_xyxy), f"{stage}: map around the object"))
        rows.append(row)
    return grid(rows, heading)


def points_on_image(steps: Steps, size_hw: tuple[int, int], input_size_hw: tuple[int, int]) -> NDArray[np.float64]:
    """Centres of the base points' cells, (n, 2) x and y in pixels of the image, without those in the padding."""
    height, width = steps.embedding.shape
    cell_wh = np.array([input_size_hw[1] / width, input_size_hw[0] / height])
    points_xy = (steps.base_points_xy + 0.5) * cell_wh / letterbox_ratio(size_hw, input_size_hw)
    return np.asarray(points_xy[(points_xy < size_hw[::-1]).all(axis=1)])


def _steps_of(module: GSSAM, x: Tensor) -> Steps:
    embedding = module.embed(x)  # (1, 1, h, w)
    base_points, places = module.sample(embedding, return_indices=True)
    rows, columns = np.divmod(places.flatten().cpu().numpy(), embedding.shape[3])
    maps = (embedding, module.contrast(embedding, base_points), module.attention_map(x))
    plain, contrast, attention = (values[0, 0].float().cpu().numpy() for values in maps)
    return Steps(plain, np.stack((columns, rows), axis=1), contrast, attention)


def _with_dots(image: NDArray[np.uint8], points_xy: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The image in grey, as a panel, with a dot at each base point."""
    panel = fit_panel(image)
    panel = np.asarray(cv2.cvtColor(cv2.cvtColor(panel, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR), np.uint8)
    for x, y in points_xy * panel.shape[1] / image.shape[1]:
        for radius, colour in ((_DOT + 1, (0, 0, 0)), (_DOT, (0, 215, 255))):
            cv2.circle(panel, (round(x), round(y)), radius, colour, -1)
    return panel
