"""Boxes on one image: the value that inference, evaluation, drawing and export pass to one another."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Detections:
    """Detected (or, with scores of 1, true) objects of one image, best score first where it matters.

    Attributes:
        boxes_xyxy: (n, 4) float32, pixels of the original image, x1 <= x2, y1 <= y2; not clipped.
        scores: (n,) float32 in [0, 1].
        labels: (n,) int64, index into the class names, from 0.

    Raises:
        ValueError: shapes that do not match, a number that is not finite, a box turned inside out,
            a score outside [0, 1] or a negative label.
    """

    boxes_xyxy: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        boxes = np.asarray(self.boxes_xyxy, dtype=np.float32).reshape(-1, 4)
        scores = np.asarray(self.scores, dtype=np.float32).reshape(-1)
        labels = np.asarray(self.labels, dtype=np.int64).reshape(-1)
        if not len(boxes) == len(scores) == len(labels):
            raise ValueError(f"boxes, scores and labels differ in length: {len(boxes)}, {len(scores)}, {len(labels)}")
        if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
            raise ValueError("boxes_xyxy and scores must be finite")
        if (boxes[:, 2:] < boxes[:, :2]).any():
            raise ValueError("boxes_xyxy must hold x1 <= x2 and y1 <= y2")
        if ((scores < 0) | (scores > 1)).any() or (labels < 0).any():
            raise ValueError("scores must lie in [0, 1] and labels must not be negative")
        object.__setattr__(self, "boxes_xyxy", boxes)
        object.__setattr__(self, "scores", scores)
        object.__setattr__(self, "labels", labels)

    def __len__(self) -> int:
        return len(self.scores)

    @classmethod
    def empty(cls) -> "Detections":
        """No objects."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))

    def above(self, score: float) -> "Detections":
        """Those with a score of at least `score`."""
        keep = self.scores >= score
        return Detections(self.boxes_xyxy[keep], self.scores[keep], self.labels[keep])
