"""What stands out inside a loose box: candidates for the tight box of the object in it.

What differs from the background (see `background`) by more than the noise, and by more than a share of its own
peak, is the object.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from yolox_gssam.data.refinement.background import Contrast, contrasts

MARGIN = 0.35
"""Width of the window around the loose box over the box's longer side, within `MARGIN_PIXELS`."""
MARGIN_PIXELS = (5.0, 40.0)
LONGEST_SIDE = 160
"""Longer sides of a box are measured at a smaller scale."""
SPILL = 0.2
"""How far an object may reach out of its loose box, over the box's side."""
EDGE_SHARES = ((7.0, 0.22), (16.0, 0.08))
"""An object ends where its contrast has fallen to a share of its peak: longer side in pixels and share, between which
it is interpolated. Around small objects compression leaves ripples; large ones have thin wings and rotors."""
GREY_EDGE_SHARES = ((10.0, 0.22), (40.0, 0.07))
"""The same without colour: infrared cameras blur."""
EDGE_SIGMAS = 3.5
"""An object ends where its contrast has fallen to so much noise."""
SURE_SIGMAS = 6.0
"""Contrast over noise of an object's peak from which it stands out."""
FAINT_SIGMAS = 4.0
"""Contrast over noise, in a smoothed window, from which something may be the object that the neighbours show."""
CLEAR_SIGMAS = 10.0
"""Fainter peaks are also looked for in the smoothed window."""
MIN_SIDE = 2.0
"""Pixels of the window: optics and compression show nothing smaller."""
WHOLE_SHARE = 0.3
"""Something whole goes before torn pieces from this share of their contrast over noise."""
MAX_CANDIDATES = 3
"""Candidates against one background."""


@dataclass(frozen=True)
class Candidate:
    """Something that stands out in a loose box.

    Attributes:
        box_xyxy: its tight box in pixels of the image, not padded; edges between pixels by interpolation.
        sigmas: contrast of its peak over the noise.
        score: the larger the likelier to be the object, comparable within one box.
        torn: it is the brightest piece of something that reaches far out of the box, such as a vapour trail.
    """

    box_xyxy: tuple[float, float, float, float]
    sigmas: float
    score: float
    torn: bool = False


@dataclass(frozen=True, eq=False)
class _Window:
    """The surroundings of a loose box.

    Attributes:
        grey: (h, w) float32.
        origin_xy: of the window in the image.
        scale_xy: pixels of the image in one of the window.
        box_xyxy: the loose box in pixels of the window.
        edge_shares: `EDGE_SHARES`, or those without colour.
        closeness: (h, w) 1 in the middle of the box, 0.6 at its sides, falling on outside.
    """

    grey: NDArray[np.float32]
    origin_xy: tuple[int, int]
    scale_xy: tuple[float, float]
    box_xyxy: NDArray[np.float64]
    edge_shares: tuple[tuple[float, float], ...]
    closeness: NDArray[np.float32]

    def inside(self) -> tuple[slice, slice]:
        """Rows and columns of the loose box."""
        left, top, right, bottom = self.box_xyxy
        return (
            slice(max(0, math.floor(top)), max(0, math.ceil(bottom))),
            slice(max(0, math.floor(left)), max(0, math.ceil(right))),
        )


def measure_box(image: NDArray[np.uint8], box_xywh: Sequence[float]) -> list[Candidate]:
    """What stands out in a loose box, the likeliest first; empty where nothing does.

    Args:
        image: (h, w) grey or (h, w, 3) BGR.
        box_xywh: the loose box in pixels of the image.
    """
    window = _cut(image, box_xywh)
    if window is None:
        return []
    candidates: list[Candidate] = []
    for contrast in contrasts(window.grey, window.box_xyxy):
        found, clean = _find(contrast, window)
        if not found or found[0].sigmas < CLEAR_SIGMAS:
            smooth, _ = _find(contrast.smooth(), window)
            if smooth and (not found or smooth[0].sigmas > 1.3 * found[0].sigmas):
                found = smooth
        candidates += found
        if clean and found and found[0].sigmas >= SURE_SIGMAS:
            break
    clearest = max((candidate.sigmas for candidate in candidates), default=0.0)
    return sorted(candidates, key=lambda candidate: _doubt(candidate, clearest))


def _doubt(candidate: Candidate, clearest: float) -> int:
    """Order of trust: whole and clear, torn, whole but far fainter, unsure."""
    if candidate.sigmas < SURE_SIGMAS:
        return 3
    if candidate.torn:
        return 1
    return 0 if candidate.sigmas > WHOLE_SHARE * clearest else 2


def _cut(image: NDArray[np.uint8], box_xywh: Sequence[float]) -> _Window | None:
    """The window of a box; None where the box has hardly a pixel in the image."""
    x, y, width, height = (float(value) for value in box_xywh)
    margin = min(max(MARGIN * max(width, height), MARGIN_PIXELS[0]), MARGIN_PIXELS[1])
    left, top = max(0, math.floor(x - margin)), max(0, math.floor(y - margin))
    right = min(image.shape[1], math.ceil(x + width + margin))
    bottom = min(image.shape[0], math.ceil(y + height + margin))
    if min(right, math.ceil(x + width)) - max(left, x) < 1 or min(bottom, math.ceil(y + height)) - max(top, y) < 1:
        return None
    crop = image[top:bottom, left:right]
    is_grey = crop.ndim == 2 or bool((crop[::3, ::3, :1] == crop[::3, ::3, 1:]).all())
    if crop.ndim == 3:
        crop = np.asarray(cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY), np.uint8)
    grey = crop.astype(np.float32)
    factor = math.ceil(max(width, height) / LONGEST_SIDE)
    if factor > 1:
        size_wh = (max(8, grey.shape[1] // factor), max(8, grey.shape[0] // factor))
        grey = np.asarray(cv2.resize(grey, size_wh, interpolation=cv2.INTER_AREA), np.float32)
    scale_x, scale_y = (right - left) / grey.shape[1], (bottom - top) / grey.shape[0]
    box = np.array([(x - left) / scale_x, (y - top) / scale_y, width / scale_x, height / scale_y])
    box[2:] += box[:2]
    edge_shares = GREY_EDGE_SHARES if is_grey else EDGE_SHARES
    return _Window(grey, (left, top), (scale_x, scale_y), box, edge_shares, _closeness(grey.shape, box))


def _closeness(shape: tuple[int, ...], box_xyxy: NDArray[np.float64]) -> NDArray[np.float32]:
    left, top, right, bottom = box_xyxy
    across = (np.arange(shape[1]) + 0.5 - (left + right) / 2) / ((right - left) / 2)
    down = (np.arange(shape[0]) + 0.5 - (top + bottom) / 2) / ((bottom - top) / 2)
    return np.outer(np.exp(-0.5 * down**2), np.exp(-0.5 * across**2)).astype(np.float32)


def _find(contrast: Contrast, window: _Window) -> tuple[list[Candidate], bool]:
    """Objects against one background by falling score, and whether nothing had to be cut off from them."""
    strength = _one_sided(contrast, window)
    near = (strength * window.closeness)[window.inside()]
    peak = float(near.max()) if near.size else 0.0
    if peak < FAINT_SIGMAS * contrast.noise:
        return [], True
    limit, clean = max(EDGE_SIGMAS * contrast.noise, window.edge_shares[0][1] * peak), True
    torn = False
    found: list[_Part] = []
    for _ in range(6):
        found, clean_here = _parts(strength, limit, window)
        clean = clean and clean_here
        if found or limit > peak:
            break
        limit, clean, torn = 1.4 * limit, False, True
    if found and clean:
        found = _grown(found, strength, limit, contrast.noise, window)
    elif found:
        found = _freed(found, strength, limit, window) + found
    if torn and not found:  # as bright all along
        left, top, right, bottom = window.box_xyxy.tolist()
        found = [_Part((left, top, right, bottom), peak, 0.0)]
    return [_candidate(part, contrast.noise, window, torn) for part in found[:MAX_CANDIDATES]], clean


def _one_sided(contrast: Contrast, window: _Window) -> NDArray[np.float32]:
    """Strength of the contrast, of one sign only where that sign rules the box: ringing has the other one."""
    inside = contrast.values[window.inside()] * window.closeness[window.inside()]
    clear = EDGE_SIGMAS * contrast.noise
    bright, dark = float(inside[inside > clear].sum()), -float(inside[inside < -clear].sum())
    if bright > 3 * dark:
        return np.maximum(contrast.values, 0)
    if dark > 3 * bright:
        return np.maximum(-contrast.values, 0)
    return np.asarray(np.abs(contrast.values), np.float32)


@dataclass(frozen=True)
class _Part:
    """A connected region, or some near each other, above a limit; edges in pixels of the window."""

    edges_xyxy: tuple[float, float, float, float]
    peak: float
    score: float

    def longer(self) -> float:
        """Its longer side."""
        return max(self.edges_xyxy[2] - self.edges_xyxy[0], self.edges_xyxy[3] - self.edges_xyxy[1])


def _parts(strength: NDArray[np.float32], limit: float, window: _Window) -> tuple[list[_Part], bool]:
    """Regions above a limit by falling score, and whether the chief one lies well in the box.

    Only regions that lie in the box or reach little out of it; none where most of what stands out does not.
    """
    mask = (strength > limit).astype(np.uint8)
    count, numbered, table, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    if count == 1:
        return [], True
    regions, stats = np.asarray(numbered, np.int32), np.asarray(table, np.int32)
    weighted = (strength * window.closeness).ravel().astype(np.float64)
    weights = np.asarray(np.bincount(regions.ravel(), weighted, minlength=count), np.float64)
    starts, ends = stats[:, :2], stats[:, :2] + stats[:, 2:4]
    low, high = window.box_xyxy[:2], window.box_xyxy[2:]
    spill = np.maximum(1.5, SPILL * (high - low))
    middle = (starts + ends) / 2
    inside = (starts >= low - spill) & (ends <= high + spill) & (middle > low) & (middle < high)
    fits = np.asarray(inside.all(axis=1), bool)
    fits[0] = False
    order = sorted(np.flatnonzero(fits).tolist(), key=lambda index: -weights[index])
    if not order or weights[order[0]] < 0.1 * weights[1:][~fits[1:]].sum():
        return [], True
    chief = order[0]
    over = np.maximum(low - starts[chief], ends[chief] - high) / (high - low)
    found, used = [], set[int]()
    for index in order[: 2 * MAX_CANDIDATES]:
        if index in used or weights[index] < 0.08 * weights[chief]:
            continue
        members = _joined(index, order, starts, ends, weights)
        used |= members
        found.append(_part(strength, regions, sorted(members), limit, float(weights[index])))
    return found, bool(over.max() < 0.06)


def _joined(
    index: int,
    order: list[int],
    starts: NDArray[np.int32],
    ends: NDArray[np.int32],
    weights: NDArray[np.float64],
) -> set[int]:
    """A region and the pieces beside it that belong to it: near, and not much fainter."""
    reach = max(2.0, 0.2 * float((ends[index] - starts[index]).max()))
    return {index} | {
        other
        for other in order
        if 0.1 * weights[index] <= weights[other] <= weights[index]
        and max(*(starts[other] - ends[index]), *(starts[index] - ends[other])) < reach
    }


def _part(
    strength: NDArray[np.float32], regions: NDArray[np.int32], members: list[int], limit: float, score: float
) -> _Part:
    """The part made of some regions; its edges are where the strength falls below the limit, between pixels."""
    own = regions == members[0]
    for index in members[1:]:
        own |= regions == index
    rows, columns = np.flatnonzero(own.any(axis=1)), np.flatnonzero(own.any(axis=0))
    near = np.where(cv2.dilate(own.astype(np.uint8), np.ones((3, 3), np.uint8)), strength, 0)
    left, right = _ends(near.max(axis=0), int(columns[0]), int(columns[-1]), limit)
    top, bottom = _ends(near.max(axis=1), int(rows[0]), int(rows[-1]), limit)
    short_x, short_y = max(0.0, MIN_SIDE - (right - left)) / 2, max(0.0, MIN_SIDE - (bottom - top)) / 2
    return _Part((left - short_x, top - short_y, right + short_x, bottom + short_y), float(near.max()), score)


def _ends(profile: NDArray[np.float32], first: int, last: int, limit: float) -> tuple[float, float]:
    """Start and end of a profile's part above the limit; pixel n reaches from n to n + 1."""

    def share(inner: int, outer: int) -> float:
        """How far from the middle of the pixel inside to that of the pixel outside the limit is crossed."""
        beyond = float(profile[outer]) if 0 <= outer < len(profile) else 0.0
        within = float(profile[inner])
        return min(1.0, max(0.0, (within - limit) / max(within - beyond, 1e-6)))

    return first + 0.5 - share(first, first - 1), last + 0.5 + share(last, last + 1)


def _grown(
    found: list[_Part], strength: NDArray[np.float32], limit: float, noise: float, window: _Window
) -> list[_Part]:
    """The same with the chief part out to a lower limit, where it is large enough to have thin wings."""
    chief = found[0]
    sizes, shares = zip(*window.edge_shares, strict=True)
    longer = chief.longer() * max(window.scale_xy)
    lower = max(EDGE_SIGMAS * noise, float(np.interp(longer, sizes, shares)) * chief.peak)
    if lower > 0.9 * limit:
        return found
    wider, clean = _parts(strength, lower, window)
    if not wider or not clean or wider[0].longer() > 2 * chief.longer() or not _holds(wider[0], chief):
        return found
    return [wider[0], *(part for part in found[1:] if not _holds(wider[0], part))]


def _freed(found: list[_Part], strength: NDArray[np.float32], limit: float, window: _Window) -> list[_Part]:
    """What is left at twice the limit where that is far smaller: an object in front of a cloud's edge. Or nothing."""
    inner, clean = _parts(strength, 2 * limit, window)
    return inner[:1] if inner and clean and inner[0].longer() < 0.6 * found[0].longer() else []


def _holds(outer: _Part, inner: _Part) -> bool:
    """Whether a part lies in another, a pixel more or less."""
    (left, top, right, bottom), own = outer.edges_xyxy, inner.edges_xyxy
    return left <= own[0] + 1 and top <= own[1] + 1 and right >= own[2] - 1 and bottom >= own[3] - 1


def _candidate(part: _Part, noise: float, window: _Window, torn: bool) -> Candidate:
    """A part in pixels of the image."""
    (left, top, right, bottom), (scale_x, scale_y) = part.edges_xyxy, window.scale_xy
    x, y = window.origin_xy
    box = (x + left * scale_x, y + top * scale_y, x + right * scale_x, y + bottom * scale_y)
    return Candidate(box, part.peak / noise, part.score, torn)
