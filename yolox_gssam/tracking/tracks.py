"""Tracks of small targets: boxes of one thing over time, with what they say about its class.

A target of 5 to 30 pixels jumps further than its size from frame to frame, so boxes are matched by the distance of
their centres from where the target was expected, in sizes of the target, and not by overlap.
"""

import math
from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from yolox_gssam.detections import Detections
from yolox_gssam.tracking.motion import ConstantVelocity

_TRAIL = 64  # centres kept for drawing
_LEAST_SIZE = 6.0  # pixels; of a smaller box the border is a guess
_GREATEST_SCORE = 0.99  # one frame never says more than this


@dataclass(frozen=True)
class TrackOptions:
    """How boxes become tracks.

    Attributes:
        start_score: least score of a box that begins a track.
        keep_score: least score of a box that goes on with one.
        reach: greatest distance from the expected centre, in sizes plus standard deviations of the expectation.
        size_ratio: greatest factor between the sides of a track and of a box that goes on with it.
        lost_s: seconds unseen after which a track ends.
        sure_hits: boxes after which a track counts; one with fewer ends at its second frame without a box.
        frame_s: seconds that one full piece of evidence stands for: frames closer together say less each, so that
            the sum does not depend on the frame rate.
        memory: full pieces of evidence after which an older one counts 1/e of what it did: what flies by for a minute
            must not become an alarm by a little doubt in each frame.
    """

    start_score: float = 0.25
    keep_score: float = 0.05
    reach: float = 2.0
    size_ratio: float = 3.0
    lost_s: float = 1.0
    sure_hits: int = 2
    frame_s: float = 0.1
    memory: float = 5.0

    @classmethod
    def from_score(cls, score: float) -> "TrackOptions":
        """Tracks that begin with boxes of a score, 0 to 1, and go on with those of a fifth of it."""
        return cls(start_score=score, keep_score=0.2 * score)


@dataclass(eq=False)
class Track:
    """One thing seen over time.

    Attributes:
        track_id: number in its source, from 1.
        box_xyxy: (4,) last box seen, in pixels.
        score: of that box.
        started_s, seen_s: time of the first and the last box.
        motion: where it is expected.
        hits: boxes so far.
        missed: frames without a box since the last one.
        best_score: greatest score so far, of any class.
        evidence: label -> sum of -log(1 - score), which grows with each frame and with certainty, and fades.
        trail: last centres.
    """

    track_id: int
    box_xyxy: NDArray[np.float32]
    score: float
    started_s: float
    seen_s: float
    motion: ConstantVelocity
    hits: int = 0
    missed: int = 0
    best_score: float = 0.0
    evidence: dict[int, float] = field(default_factory=dict)
    trail: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=_TRAIL))

    @property
    def label(self) -> int:
        """The class that most evidence is for."""
        return max(self.evidence, key=lambda label: self.evidence[label])

    @property
    def size(self) -> float:
        """Side in pixels: root of the box's area, of a tiny one at least 6."""
        width, height = self.box_xyxy[2:] - self.box_xyxy[:2]
        return max(_LEAST_SIZE, float(np.sqrt(width * height)))

    def evidence_for(self, labels: frozenset[int], others_weight: float = 1.5) -> float:
        """Evidence of the classes `labels` less `others_weight` times that of all others."""
        own = sum(value for label, value in self.evidence.items() if label in labels)
        return own - others_weight * sum(value for label, value in self.evidence.items() if label not in labels)


class Tracker:
    """The tracks of one source.

    Args:
        options: see there.
    """

    def __init__(self, options: TrackOptions | None = None) -> None:
        self.options = options or TrackOptions()
        self._tracks: list[Track] = []
        self._last_id = 0
        self._time_s: float | None = None
        self._assigned: list[int] = []

    @property
    def tracks(self) -> list[Track]:
        """Those that count and were seen lately, oldest first."""
        return [track for track in self._tracks if track.hits >= self.options.sure_hits]

    @property
    def assigned(self) -> list[int]:
        """Whose each box of the last frame is: the id of a track, also of one that does not count yet; 0: of none."""
        return self._assigned

    def update(
        self, detections: Detections, time_s: float, shift: NDArray[np.float64] | tuple[float, float] = (0.0, 0.0)
    ) -> list[Track]:
        """Takes in one frame's boxes.

        Args:
            detections: in pixels of the frame.
            time_s: of the frame; a time before the last one counts as the same.
            shift: (2,) pixels by which the picture moved since the last frame, see `CameraMotion`.

        Returns:
            The tracks that ended with this frame; only those that counted.
        """
        elapsed = 0.0 if self._time_s is None else max(0.0, time_s - self._time_s)
        time_s = time_s if self._time_s is None else max(time_s, self._time_s)
        self._time_s = time_s
        for track in self._tracks:
            track.motion.predict(elapsed)
            track.motion.shift(np.asarray(shift, np.float64))
            track.missed += 1
        self._assigned = [0] * len(detections)
        sure = detections.scores >= self.options.start_score
        unsure = ~sure & (detections.scores >= self.options.keep_score)
        # Sure boxes choose first: beside a target a weak false box may lie nearer to where it was expected.
        left = self._match(detections, np.flatnonzero(sure), time_s)
        self._match(detections, np.flatnonzero(unsure), time_s)
        for index in left:
            self._begin(detections, int(index), time_s)
        return self._end_lost(time_s)

    def end_all(self) -> list[Track]:
        """Ends every track, as where a source is closed; those that counted."""
        ended, self._tracks = self.tracks, []
        return ended

    def _match(self, detections: Detections, rows: NDArray[np.int64], time_s: float) -> list[int]:
        """Gives the boxes of `rows` to tracks without one; those left."""
        free = [track for track in self._tracks if track.missed]
        if not len(rows) or not free:
            return [int(row) for row in rows]
        boxes = detections.boxes_xyxy[rows].astype(np.float64)
        costs = self._costs(free, boxes)
        first, second = linear_sum_assignment(np.minimum(costs, 1e3))
        taken = set()
        for number, column in zip(first, second, strict=True):
            if costs[number, column] <= 1:
                self._take(free[number], detections, int(rows[column]), time_s)
                taken.add(int(rows[column]))
        return [int(row) for row in rows if int(row) not in taken]

    def _costs(self, tracks: list[Track], boxes: NDArray[np.float64]) -> NDArray[np.float64]:
        """(tracks, boxes) distance as share of what is allowed; infinite where the sizes do not go together."""
        options = self.options
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        sizes = np.maximum(_LEAST_SIZE, np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1)))
        expected = np.array([track.motion.centre for track in tracks])
        own_sizes = np.array([track.size for track in tracks])
        deviations = np.array([track.motion.deviation for track in tracks])
        distances = np.linalg.norm(expected[:, None] - centres[None], axis=2)
        costs = distances / (options.reach * (own_sizes + deviations))[:, None]
        ratios = np.abs(np.log(own_sizes[:, None] / sizes[None]))
        return np.where(ratios <= np.log(options.size_ratio), costs, np.inf)

    def _begin(self, detections: Detections, row: int, time_s: float) -> None:
        self._last_id += 1
        box = detections.boxes_xyxy[row]
        size = max(_LEAST_SIZE, float(np.sqrt((box[2] - box[0]) * (box[3] - box[1]))))
        motion = ConstantVelocity((box[:2] + box[2:]).astype(np.float64) / 2, size)
        track = Track(self._last_id, box, 0.0, time_s, time_s - self.options.frame_s, motion)
        self._tracks.append(track)
        self._take(track, detections, row, time_s)

    def _take(self, track: Track, detections: Detections, row: int, time_s: float) -> None:
        self._assigned[row] = track.track_id
        box, score = detections.boxes_xyxy[row], float(detections.scores[row])
        weight = min(1.0, (time_s - track.seen_s) / self.options.frame_s)
        label = int(detections.labels[row])
        memory = self.options.memory
        faded = math.exp(-weight / memory)
        track.evidence = {known: faded * value for known, value in track.evidence.items()}
        # So that the sum of a steady score comes to `memory` pieces at every frame rate.
        piece = -memory * (1 - faded) * math.log1p(-min(score, _GREATEST_SCORE))
        track.evidence[label] = track.evidence.get(label, 0.0) + piece
        track.box_xyxy, track.score, track.seen_s = box, score, time_s
        track.best_score = max(track.best_score, score)
        track.hits, track.missed = track.hits + 1, 0
        track.motion.correct((box[:2] + box[2:]).astype(np.float64) / 2)
        track.trail.append((float(track.motion.centre[0]), float(track.motion.centre[1])))

    def _end_lost(self, time_s: float) -> list[Track]:
        options = self.options
        kept, ended = [], []
        for track in self._tracks:
            counts = track.hits >= options.sure_hits
            if time_s - track.seen_s > options.lost_s or (not counts and track.missed > 1):
                ended.extend([track] if counts else [])
            else:
                kept.append(track)
        self._tracks = kept
        return ended
