"""Whether labels lie systematically beside their objects: a pixel aside, or in films a frame early or late.

Hints only: they are told by what is to be seen around some hundred boxes, and no fault.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.images import read_image
from yolox_gssam.common.progress import progress_bar
from yolox_gssam.data.coco_reader import CocoSplit
from yolox_gssam.data.formats.voc_coordinates import MIN_CLEAR, object_edges
from yolox_gssam.data.labelled import LabelledImage

MAX_BOXES = 300
"""Boxes that are looked up."""
MIN_SHIFT = 0.5
"""Pixels that labels must lie aside in the median, to be told."""
MIN_SHARE = 0.6
"""Of the clear objects that must lie on that side."""
MAX_FRAMES_APART = 10
"""Neighbours of a frame in a data set; frames further apart tell nothing of its labels."""


def label_hints(splits: Sequence[CocoSplit]) -> list[str]:
    """A line for each way in which the labels of a data set lie aside; empty where they do not or nothing tells."""
    found = [(split, image) for split in splits for image in split.images if len(image.boxes_xyxy)]
    step = max(1, len(found) // MAX_BOXES)
    offsets: list[list[float]] = []
    looked = 0
    with progress_bar(found[::step], description="hints", unit="images") as bar:
        for split, image in bar:
            if looked >= MAX_BOXES:
                break
            boxes = image.boxes_xyxy[: MAX_BOXES - looked]
            looked += len(boxes)
            pixels = _pixels(split.image_path(image))
            if pixels is not None:
                offsets += [found_at for box in boxes.tolist() if (found_at := _offset(pixels, box)) is not None]
    hints = [line for line in (shift_hint(np.array(offsets).reshape(-1, 4)),) if line]
    return hints + [line for line in (frame_hint(splits),) if line]


def shift_hint(offsets: NDArray[np.float64]) -> str | None:
    """What is said of labels whose centres lie aside of their objects; None where they do not.

    Args:
        offsets: (n, 4) pixels by which each edge of the labels, left, top, right and bottom, lies right of or below the
            object's.
    """
    if len(offsets) < MIN_CLEAR:
        return None
    centres = (offsets[:, :2] + offsets[:, 2:]) / 2
    aside = []
    most = np.zeros(len(centres), bool)
    for axis, (positive, negative) in enumerate((("right", "left"), ("below", "above"))):
        shift = float(np.median(centres[:, axis]))
        same = centres[:, axis] * np.sign(shift) >= MIN_SHIFT / 2
        if abs(shift) >= MIN_SHIFT and same.mean() >= MIN_SHARE:
            aside.append((abs(shift), positive if shift > 0 else negative))
            most = same if not most.any() else most & same
    if not aside:
        return None
    shown = " and ".join(f"{shift:.1f} px {side}" for shift, side in aside)
    return (
        f"hint: labels lie {shown} of their objects in {int(most.sum())} of {len(centres)} that are clear enough to "
        "compare: were they read by another rule than they were written (docs/data.md)?"
    )


def frame_hint(splits: Sequence[CocoSplit]) -> str | None:
    """What is said of films whose labels fit the frame before or after better than their own; None where none does.

    Frames are known by the number at the end of their names, `<clip>_<number>`, and must follow each other closely.
    """
    votes = {-1: 0, 0: 0, 1: 0}
    looked = 0
    for clip in _clips(splits):
        numbers = sorted(clip)
        for before, own, after in zip(numbers, numbers[1:], numbers[2:], strict=False):
            if looked >= MAX_BOXES or after - before > MAX_FRAMES_APART:
                continue
            _, image = clip[own]
            if len(image.boxes_xyxy) != 1:
                continue
            looked += 1
            frames = [clip[number] for number in (before, own, after)]
            vote = _vote([_pixels(of.image_path(frame)) for of, frame in frames], image)
            if vote is not None:
                votes[vote] += 1
    total = sum(votes.values())
    for offset, side, what in ((-1, "before", "late"), (1, "after", "early")):
        if total >= MIN_CLEAR and votes[offset] >= MIN_SHARE * total:
            return (
                f"hint: labels come a frame {what}: in {votes[offset]} of {total} clear frames "
                f"the object lies where the label is in the frame {side}"
            )
    return None


def _clips(splits: Sequence[CocoSplit]) -> list[dict[int, tuple[CocoSplit, LabelledImage]]]:
    """The frames of each clip by number."""
    clips: Mapping[str, dict[int, tuple[CocoSplit, LabelledImage]]] = defaultdict(dict)
    for split in splits:
        for image in split.images:
            match = re.fullmatch(r"(.+)_([0-9]{1,9})\.[A-Za-z]+", image.file_name)
            if match and image.group is not None:
                clips[match[1]][int(match[2])] = (split, image)
    return list(clips.values())


def _vote(pixels: Sequence[NDArray[np.uint8] | None], image: LabelledImage) -> int | None:
    """In which of three frames, -1, 0 or 1, an object lies in its box; None where it stands still or is not clear."""
    distances = []
    box = image.boxes_xyxy[0].tolist()
    for frame in pixels:
        offset = None if frame is None else _offset(frame, box)
        distances.append(np.inf if offset is None else float(np.abs(np.array(offset)).max()))
    best = int(np.argmin(distances))
    others = [distance for place, distance in enumerate(distances) if place != best]
    return best - 1 if min(others) - distances[best] >= 1 else None


def _offset(pixels: NDArray[np.uint8], box: Sequence[float]) -> list[float] | None:
    """How far each edge of a box lies right of or below that of its clear object; None where there is none."""
    edges = object_edges(pixels, box)
    return None if edges is None else [number - edge for number, edge in zip(box, edges, strict=True)]


def _pixels(path: Path) -> NDArray[np.uint8] | None:
    """An image; None where it cannot be read, which the check tells elsewhere."""
    try:
        return read_image(path)
    except UserError:
        return None
