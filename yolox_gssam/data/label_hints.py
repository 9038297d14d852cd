"""Whether labels lie systematically beside their objects: a pixel aside, or in films a frame early or late.

Hints only: they are told by what is to be seen around some hundred boxes, and no fault.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.images import read_image
from yolox_gssam.data.coco_reader import CocoSplit
from yolox_gssam.data.formats.voc_coordinates import MAX_BOXES, MIN_CLEAR, box_offset, box_offsets
from yolox_gssam.data.labelled import LabelledImage

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
    files = [(split.image_path(image), image.boxes_xyxy.tolist()) for split, image in found[::step]]
    hints = shift_hint(box_offsets(files, "hints")), frame_hint(splits)
    return [hint for hint in hints if hint]


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
            vote = _vote([clip[number] for number in (before, own, after)])
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


def _vote(frames: Sequence[tuple[CocoSplit, LabelledImage]]) -> int | None:
    """In which of three frames, -1, 0 or 1, an object lies in the box of the middle one.

    None where it stands still, is not clear, or a frame cannot be read.
    """
    box = frames[1][1].boxes_xyxy[0].tolist()
    distances = []
    for split, image in frames:
        try:
            offset = box_offset(read_image(split.image_path(image)), box)
        except UserError:  # the check tells of it
            offset = None
        distances.append(np.inf if offset is None else float(np.abs(offset).max()))
    nearest, next_nearest, _ = sorted(distances)
    return distances.index(nearest) - 1 if next_nearest - nearest >= 1 else None
