"""Label files in YOLO's format: a line an object, in fractions of the image.

Formats: https://docs.ultralytics.com/datasets/detect, and segment, obb and pose beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from yolox_gssam.common.text import printable, shorten
from yolox_gssam.data.faults import Fault, Report, check_objects
from yolox_gssam.data.formats.samples import read_text

MAX_OVERHANG = 0.01
"""A coordinate may leave 0..1 by so much: rounding. More means that it is not a fraction of the image."""

LineKind = Literal["polygons", "key-points"]
"""What a line of more than a class and four numbers holds: the corners of a polygon, or a box and key points."""


@dataclass
class _LongLines:
    """Whether the lines taken for polygons are rather boxes with key points, whose set does not say so.

    Key points are as many on every line and lie in the box of the first four numbers. A set is taken for polygons as
    soon as one line cannot be read so, and where all lines are convex polygons whose second corner, otherwise a width
    and a height, lies near the others.
    """

    counts: set[int] = field(default_factory=set)
    excluded: bool = False
    doubtful: tuple[Path, int] | None = None

    def add(self, path: Path, line: int, numbers: Sequence[float]) -> None:
        """Looks at the numbers after the class of one line."""
        if self.excluded:
            return
        self.counts.add(len(numbers))
        self.excluded = len(self.counts) > 1 or not _may_be_key_points(numbers)
        if self.doubtful is None and not (_is_convex(numbers) and _second_corner_is_near(numbers)):
            self.doubtful = (path, line)

    def fault(self) -> Fault | None:
        """Which line can hardly be a polygon, and what to do; None where there is none or not all may be key points."""
        if self.excluded or self.doubtful is None:
            return None
        path, line = self.doubtful
        message = (
            "may hold a box and key points, or a polygon, and so may every long line of the set; for key points write "
            "kpt_shape: [number, 2 or 3] into data.yaml or give --lines key-points, for polygons --lines polygons"
        )
        return Fault(path, f"line {line}", message)


@dataclass
class LabelLines:
    """How the lines of one set's label files are read, and what was met in them.

    Attributes:
        num_classes: labels are below it.
        kind: what long lines hold; None: polygons, unless `finish` finds that all of them look like key points.
        kpt_numbers: how many numbers follow the box; None: not known, any.
    """

    num_classes: int
    kind: LineKind | None = None
    kpt_numbers: int | None = None
    _doubled: list[Fault] = field(default_factory=list)
    _long: _LongLines = field(default_factory=_LongLines)

    def read(self, path: Path, report: Report) -> tuple[list[list[float]], list[int]]:
        """Boxes [x, y, width, height] with their left upper corner, in fractions of the image, and the labels.

        Of objects of one class and the same box, one is kept.

        Raises:
            UserError: the file cannot be read; and whatever `report` raises.
        """
        objects: dict[tuple[float, ...], None] = {}
        lines = [(number, line) for number, line in enumerate(read_text(path).splitlines(), 1) if line.strip()]
        check_objects(len(lines), path)
        for number, line in lines:
            words = line.split()
            box, problem = self._parse(words)
            if problem:
                report(Fault(path, f"line {number}", problem))
                continue
            if self.kind is None and len(words) > 5:
                self._long.add(path, number, [float(word) for word in words[1:]])
            row = (float(words[0]), *box)
            if box[2] <= 0 or box[3] <= 0:
                report(Fault(path, f"line {number}", "the box has no area", fatal=False))
            elif row in objects:
                self._doubled.append(Fault(path, f"line {number}", ""))
            else:
                objects[row] = None
        return [list(row[1:]) for row in objects], [int(row[0]) for row in objects]

    def finish(self, root: Path, report: Report) -> None:
        """Tells what can be said only of all files together."""
        if self._doubled:
            first = self._doubled[0]
            message = (
                f"{len(self._doubled)} lines repeat an object of their file, the same class and box, and are left out; "
                f"the first: {printable(first.path)}: {first.where}"
            )
            report(Fault(root, "", message, fatal=False, of_set=True))
        fault = self._long.fault()
        if fault:
            report(fault)

    def _parse(self, words: Sequence[str]) -> tuple[list[float], str | None]:
        """The box of one line and what is wrong with the line."""
        try:
            label, *numbers = (float(word) for word in words)
        except ValueError:
            return [], f"must hold numbers only, not {shorten(' '.join(words))}"
        if not (0 <= label < self.num_classes and label == int(label)):
            return [], f"class {shorten(words[0])} is not one of 0 to {self.num_classes - 1}"
        problem = self._count_fault(len(numbers))
        if problem:
            return [], problem
        fractions = numbers[:4] if self.kind == "key-points" else numbers
        if not all(-MAX_OVERHANG <= number <= 1 + MAX_OVERHANG for number in fractions):
            key_points = "" if len(numbers) == 4 or self.kind else "; lines with key points need kpt_shape in data.yaml"
            return [], f"must hold fractions of the image from 0 to 1, not {shorten(' '.join(words[1:]))}{key_points}"
        if len(fractions) == 4:
            x, y, width, height = fractions
            return [x - width / 2, y - height / 2, width, height], None
        left, top = min(numbers[::2]), min(numbers[1::2])
        return [left, top, max(numbers[::2]) - left, max(numbers[1::2]) - top], None

    def _count_fault(self, count: int) -> str | None:
        """What is wrong with so many numbers after the class."""
        if count == 4:
            return None
        if self.kind == "key-points":
            stated = "" if self.kpt_numbers is None else f" ({self.kpt_numbers} numbers by kpt_shape)"
            if count > 4 and self.kpt_numbers in (None, count - 4):
                return None
            message = f"must hold a class, x y width height and key points{stated}"
            return f"{message}, not {count} numbers after the class"
        if count >= 6 and count % 2 == 0:
            return None
        advice = "; lines with key points need kpt_shape in data.yaml" if count > 4 and self.kind is None else ""
        return f"must hold a class and x y width height (or a polygon), not {count} numbers after the class{advice}"


def _may_be_key_points(numbers: Sequence[float]) -> bool:
    """Whether the first four are a box in the image and the others points in it, in pairs or with a visibility."""
    centre, reach = np.array(numbers[:2]), np.array(numbers[2:4]) / 2
    low, high = centre - reach, centre + reach
    if (reach <= 0).any() or (low < -MAX_OVERHANG).any() or (high > 1 + MAX_OVERHANG).any():
        return False
    rest = np.array(numbers[4:])
    for size in (2, 3):
        if len(rest) % size:
            continue
        points = rest.reshape(-1, size)
        if size == 3 and not np.isin(points[:, 2], (0, 1, 2)).all():
            continue
        shown = points[:, :2].any(axis=1)  # (0, 0) stands for a point that was not marked
        if (np.abs(points[shown, :2] - centre) <= reach + MAX_OVERHANG).all():
            return True
    return False


def _is_convex(numbers: Sequence[float]) -> bool:
    """Whether one walks around the points by turns to one side only."""
    points = np.array(numbers).reshape(-1, 2)
    edges = np.roll(points, -1, axis=0) - points
    following = np.roll(edges, -1, axis=0)
    turns = edges[:, 0] * following[:, 1] - edges[:, 1] * following[:, 0]
    rounding = 1e-6  # labels have six decimals
    return bool((turns >= -rounding).all() or (turns <= rounding).all())


def _second_corner_is_near(numbers: Sequence[float]) -> bool:
    """Whether the second of the points is no farther from the box of the others than that box is long."""
    points = np.array(numbers).reshape(-1, 2)
    others = np.delete(points, 1, axis=0)
    low, high = others.min(axis=0), others.max(axis=0)
    reach = (high - low).max() + 1e-6
    return bool(((points[1] >= low - reach) & (points[1] <= high + reach)).all())
