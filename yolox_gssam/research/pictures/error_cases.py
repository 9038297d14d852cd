"""What a detector gets right and wrong on a split of a data set: enlarged examples of each kind."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.text import printable
from yolox_gssam.data.coco_reader import CocoSplit, read_image
from yolox_gssam.data.labelled import LabelledImage
from yolox_gssam.detections import Detections
from yolox_gssam.evaluation.matching import match_greedy, pairwise_iou
from yolox_gssam.inference.overlay import titled
from yolox_gssam.research.pictures.layout import grid, zoom

FOUND, CONFUSED, MISSED, FALSE_ALARM = "found", "taken for another class", "missed", "false alarm"
KINDS = (FOUND, CONFUSED, MISSED, FALSE_ALARM)


@dataclass(frozen=True, eq=False)
class Case:
    """One detection, or one object that was missed.

    Attributes:
        box_xyxy: (4,), pixels of the image.
        title: what it is, and what it was taken for, with the score.
        score: 0 where the object was missed.
    """

    image: LabelledImage
    box_xyxy: NDArray[np.float32]
    title: str
    score: float


def find_cases(
    split: CocoSplit, detections: Mapping[int, Detections], iou_threshold: float = 0.5
) -> dict[str, list[Case]]:
    """All cases of each of `KINDS`, counted as in the confusion matrix.

    A false alarm's title has its greatest IoU with an object, if any: many are badly placed, or a second hit.
    """
    cases: dict[str, list[Case]] = {kind: [] for kind in KINDS}
    for image in split.images:
        found = detections.get(image.image_id, Detections.empty())
        matches = match_greedy(found, image, iou_threshold)
        overlaps = pairwise_iou(found, image.boxes_xyxy)
        for number, index in enumerate(matches.truth_index.tolist()):
            box, score = found.boxes_xyxy[number], float(found.scores[number])
            title = f"{split.classes[found.labels[number]]} {score:.0%}"
            if index < 0:
                if not matches.on_crowd[number]:
                    overlap = overlaps[number].max(initial=0.0)
                    title = f"{title}, IoU {overlap:.2f}" if overlap else title
                    cases[FALSE_ALARM].append(Case(image, box, title, score))
                continue
            kind = FOUND
            if image.labels[index] != found.labels[number]:
                kind, title = CONFUSED, f"{split.classes[image.labels[index]]} taken for {title}"
            cases[kind].append(Case(image, box, title, score))
        for index in np.setdiff1d(np.arange(len(image.labels)), matches.truth_index):
            box = image.boxes_xyxy[index].astype(np.float32)
            cases[MISSED].append(Case(image, box, split.classes[image.labels[index]], 0.0))
    return cases


def error_picture(
    split: CocoSplit, cases: Mapping[str, Sequence[Case]], count: int, seed: int, heading: str
) -> NDArray[np.uint8]:
    """A row (BGR) for each kind that there is, of at most `count` cases, no two of one clip.

    Found and missed ones are drawn by `seed`; of the others those of the highest scores are shown.

    Raises:
        UserError: there is nothing to show, or an image cannot be read.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for kind in KINDS:
        drawn = [cases[kind][index] for index in rng.permutation(len(cases[kind]))]
        if kind in (CONFUSED, FALSE_ALARM):
            drawn.sort(key=lambda case: -case.score)
        first: dict[str, Case] = {}
        for case in drawn:
            image = case.image  # one without a clip is a clip of its own
            first.setdefault(image.file_name if image.group is None else image.group, case)
        if first:
            panels = [_panel(split, case, kind) for case in list(first.values())[:count]]
            height = max(map(len, panels))
            rows.append([np.pad(panel, ((0, height - len(panel)), (0, 0), (0, 0))) for panel in panels])
    if not rows:
        raise UserError(f"{printable(split.path)}: nothing to show: no objects, and no detections")
    return grid(rows, f"{heading}: {count_cases(cases)}")


def count_cases(cases: Mapping[str, Sequence[Case]]) -> str:
    """How many there are of each kind, in words."""
    return ", ".join(f"{len(cases[kind])} {kind}{'s' if kind == FALSE_ALARM else ''}" for kind in KINDS)


def _panel(split: CocoSplit, case: Case, kind: str) -> NDArray[np.uint8]:
    image = read_image(split.image_path(case.image))
    title = case.title if kind == CONFUSED else f"{kind}: {case.title}"
    return titled(zoom(image, case.box_xyxy), title)
