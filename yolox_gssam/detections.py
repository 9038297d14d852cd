"""Boxes on one image: the value that inference, evaluation, drawing and files of detections pass to one another."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolox_gssam.common.errors import UserError


@dataclass(frozen=True, eq=False)
class Detections:
    """Detected (or, with scores of 1, true) objects of one image, best score first where it matters.

    Attributes:
        boxes_xyxy: (n, 4) float32, pixels of the original image, x1 <= x2, y1 <= y2; not clipped.
        scores: (n,) float32 in [0, 1].
        labels: (n,) int64, index into the class names, from 0.
        class_names: of all classes, in the order of the labels; empty where they are not known.

    Raises:
        ValueError: shapes that do not match, a number that is not finite, a box turned inside out,
            a score outside [0, 1] or a negative label.
    """

    boxes_xyxy: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...] = ()

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
    def empty(cls, class_names: Sequence[str] = ()) -> "Detections":
        """No objects."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64), tuple(class_names))

    @property
    def names(self) -> list[str]:
        """The class name of each object; its number where the name is not known."""
        known = self.class_names
        return [known[label] if label < len(known) else str(label) for label in self.labels.tolist()]

    def above(self, score: float) -> "Detections":
        """Those with a score of at least `score`."""
        keep = self.scores >= score
        return Detections(self.boxes_xyxy[keep], self.scores[keep], self.labels[keep], self.class_names)

    def to_dicts(self) -> list[dict[str, Any]]:
        """One dict an object: class, score (five decimals), x, y (top left), width and height (three), in pixels."""
        return [
            {
                "class": name,
                "score": round(score, 5),
                "x": round(left, 3),
                "y": round(top, 3),
                "width": round(right - left, 3),
                "height": round(bottom - top, 3),
            }
            for (left, top, right, bottom), score, name in zip(
                self.boxes_xyxy.tolist(), self.scores.tolist(), self.names, strict=True
            )
        ]

    def to_coco(self, image_id: int, category_ids: Sequence[int] | None = None) -> list[dict[str, Any]]:
        """The entries of a results file of COCO, with boxes as [x, y, width, height].

        Args:
            category_ids: the data set's id of each class, in the order of the labels; by default label + 1.
        """
        ids = (self.labels + 1 if category_ids is None else np.asarray(category_ids)[self.labels]).tolist()
        # Differences in float32, as YOLOX's evaluator takes them, so that both see the same boxes.
        boxes = np.hstack((self.boxes_xyxy[:, :2], self.boxes_xyxy[:, 2:] - self.boxes_xyxy[:, :2]))
        return [
            {"image_id": image_id, "category_id": category_id, "bbox": box, "score": score}
            for box, score, category_id in zip(boxes.tolist(), self.scores.tolist(), ids, strict=True)
        ]

    def to_supervision(self) -> Any:
        """The same as `supervision.Detections`, with the names under data["class_name"].

        Raises:
            UserError: the package supervision is not installed.
        """
        try:
            import supervision
        except ModuleNotFoundError as error:
            raise UserError("to_supervision needs supervision: pip install supervision") from error
        return supervision.Detections(
            xyxy=self.boxes_xyxy.copy(),
            confidence=self.scores.copy(),
            class_id=self.labels.copy(),
            data={"class_name": np.array(self.names, dtype=str)},
        )
