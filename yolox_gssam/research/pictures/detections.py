"""The picture of one image: its detections, the attention maps, and Grad-CAM of each detection."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from yolox_gssam.inference.drawing import Rectangle, draw_detections
from yolox_gssam.inference.overlay import overlay, titled
from yolox_gssam.research.pictures.detector import Look
from yolox_gssam.research.pictures.layout import fit_panel, grid, mark_box, zoom, zoom_window

MOST_DETECTIONS = 6
"""So many detections of an image, the best ones, get a Grad-CAM."""


def detection_panels(look: Look, class_names: Sequence[str], heading: str) -> NDArray[np.uint8]:
    """One picture (BGR).

    With attention maps, its first row shows the image with its detections and the maps, the second the same around
    the best detection. Then come two detections a row: the part of the image around it, Grad-CAM of it, and Grad-CAM
    around it. Each map has its own colours, from its smallest to its largest value on the image.
    """
    found = look.detections
    drawn = draw_detections(look.image, found, class_names)
    size_hw = (look.image.shape[0], look.image.shape[1])
    maps = {stage: look.on_image(values) for stage, values in look.attention().items()}
    rows = [[titled(fit_panel(drawn), _count(len(found)), None), *(_map_panel(look, *item) for item in maps.items())]]
    if maps and len(found):
        window = zoom_window(found.boxes_xyxy[0], size_hw)
        box = found.boxes_xyxy[0]
        close = [titled(zoom(look.image, window, box), "around the best one", None)]
        close += [_map_panel(look, stage, values, window, box) for stage, values in maps.items()]
        rows.append(close)
    cams: list[NDArray[np.uint8]] = []
    for number in range(min(len(found), MOST_DETECTIONS)):
        label = int(found.labels[number])
        name = f"{class_names[label]} {found.scores[number]:.0%}"
        box, cam = found.boxes_xyxy[number], look.on_image(look.grad_cam(number))
        window = zoom_window(box, size_hw)
        cams += [
            titled(zoom(look.image, window, box), name, None),
            titled(fit_panel(mark_box(overlay(look.image, cam), box)), f"Grad-CAM, {name}", None),
            titled(zoom(overlay(look.image, cam), window, box), "Grad-CAM around it", None),
        ]
    rows += [cams[start : start + 6] for start in range(0, len(cams), 6)]
    if len(found) > MOST_DETECTIONS:
        heading = f"{heading} (Grad-CAM of the best {MOST_DETECTIONS} detections)"
    return grid(rows, heading)


def _map_panel(
    look: Look,
    name: str,
    values: NDArray[np.float32],
    window: Rectangle | None = None,
    box_xyxy: NDArray[np.float32] | None = None,
) -> NDArray[np.uint8]:
    """A map over the image, or over its `window`, in the same colours."""
    over = overlay(look.image, values)
    panel = fit_panel(over) if window is None or box_xyxy is None else zoom(over, window, box_xyxy)
    return titled(panel, name, (float(values.min()), float(values.max())))


def _count(number: int) -> str:
    return "1 detection" if number == 1 else f"{number or 'no'} detections"
