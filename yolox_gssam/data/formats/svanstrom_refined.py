"""Tight boxes for the Svanström clips, whose labels have two to five times the side of the object in them.

`svanstrom_refined.npz.xz` beside the package's data modules holds them for the published clips, every frame of both
sensors; `tools/prepare_dataset.py refine-svanstrom` makes it. Clips that it does not hold are measured likewise.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from yolox_gssam.common.progress import progress_bar
from yolox_gssam.data.formats.film_labels import FilmLabels
from yolox_gssam.data.formats.films import film_frames, without_colour
from yolox_gssam.data.formats.svanstrom import SVANSTROM_CLASSES, ClipLabels
from yolox_gssam.data.refinement.clip import Refined, padded_xywh, refine_clip
from yolox_gssam.data.refinement.packed import LooseBoxes, PackedClips

REFINED_PATH = Path(__file__).parents[1] / "svanstrom_refined.npz.xz"
"""The refined boxes of the published clips."""


def measure_clip(clip: Path, truth: ClipLabels) -> Refined:
    """The tight boxes of a clip, in the order of its labels, not padded.

    Raises:
        UserError: a clip that cannot be decoded or ends too early.
    """
    frames = ((number, without_colour(image)) for number, image in film_frames(clip, range(truth.frames)))
    return refine_clip(frames, truth.boxes_xywh, truth.frame, truth.labels)


def refine_labels(labels: Mapping[Path, ClipLabels], packed: PackedClips) -> dict[Path, ClipLabels]:
    """The same clips with padded tight boxes, the old ones kept beside them; shows a progress bar.

    Args:
        packed: what is known already; other clips, and those whose labels have changed since, are measured.
    """
    refined = {}
    with progress_bar(labels.items(), description="boxes", unit="clips") as bar:
        for clip, truth in bar:
            found = packed.find(clip.stem, loose_boxes(truth)) or measure_clip(clip, truth)
            boxes = padded_xywh(found.boxes_xyxy)
            refined[clip] = replace(truth, boxes_xywh=boxes, loose_xywh=truth.boxes_xywh, way=found.way)
    return refined


def refine_film_labels(labels: FilmLabels, packed: PackedClips) -> FilmLabels:
    """The same labels with padded tight boxes; as they were where they are not those of a clip that is known."""
    if not labels.boxes or not {box.name for box in labels.boxes} <= set(SVANSTROM_CLASSES):
        return labels
    loose = LooseBoxes(
        np.array([box.box for box in labels.boxes], np.float64),
        np.array([box.frame for box in labels.boxes], np.int64),
        np.array([SVANSTROM_CLASSES.index(box.name) for box in labels.boxes], np.int64),
    )
    found = packed.find(labels.film.stem, loose)
    if found is None:
        return labels
    tight = padded_xywh(found.boxes_xyxy).tolist()
    boxes = [replace(box, box=tuple(own)) for box, own in zip(labels.boxes, tight, strict=True)]
    return replace(labels, boxes=boxes)


def loose_boxes(truth: ClipLabels) -> LooseBoxes:
    """The labels of a clip as the packed file knows them."""
    return LooseBoxes(truth.boxes_xywh, truth.frame, truth.labels)
