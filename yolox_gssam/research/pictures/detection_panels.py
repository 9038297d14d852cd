"""The picture of one image: its detections, the attention maps, and Grad-CAM of each detection."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from yolox_gssam.inference.drawing import draw_detections
from yolox_gssam.inference.overlay import overlay, titled
from yolox_gssam.research.pictures.layout import fit_panel, grid, map_panel, mark_box, zoom
from yolox_gssam.research.pictures.look import Look

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
    count = "1 detection" if len(found) == 1 else f"{len(found) or 'no'} detections"
    maps = {stage: look.on_image(values) for stage, values in look.attention().items()}
    overlays = {stage: overlay(look.image, values) for stage, values in maps.items()}
    rows = [[titled(fit_panel(drawn), count), *(map_panel(overlays[stage], maps[stage], stage) for stage in maps)]]
    if maps and len(found):
        box = found.boxes_xyxy[0]
        close = [map_panel(overlays[stage], maps[stage], stage, box) for stage in maps]
        rows.append([titled(zoom(look.image, box), "around the best one"), *close])
    cams: list[NDArray[np.uint8]] = []
    for number in range(min(len(found), MOST_DETECTIONS)):
        name = f"{class_names[int(found.labels[number])]} {found.scores[number]:.0%}"
        box, over = found.boxes_xyxy[number], overlay(look.image, look.on_image(look.grad_cam(number)))
        cams += [
            titled(zoom(look.image, box), name),
            titled(fit_panel(mark_box(over, box)), f"Grad-CAM, {name}"),
            titled(zoom(over, box), "Grad-CAM around it"),
        ]
    rows += [cams[start : start + 6] for start in range(0, len(cams), 6)]
    if len(found) > MOST_DETECTIONS:
        heading = f"{heading} (Grad-CAM of the best {MOST_DETECTIONS} detections)"
    return grid(rows, heading)
