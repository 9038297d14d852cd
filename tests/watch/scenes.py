"""Films of bright squares (drones) and dark ones (birds), and a network that finds them without learning."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from yolox_gssam.detections import Detections

CLASSES = ("drone", "bird")
SIZE_WH = (160, 120)


class BrightSpots:
    """Bright spots are drones (class 0), dark ones birds (class 1); `batches` holds how many frames came at once."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def detect(self, frames: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        self.batches.append(len(frames))
        return [self._spots(frame) for frame in frames]

    def _spots(self, frame: NDArray[np.uint8]) -> Detections:
        grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
        boxes, labels = [], []
        for label, mask in enumerate((grey > 200, grey < 55)):
            count, _, spots, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
            for left, top, width, height, area in spots[1:count]:
                if area >= 9:
                    boxes.append((left, top, left + width, top + height))
                    labels.append(label)
        return Detections(np.array(boxes, np.float32), np.full(len(boxes), 0.8), np.array(labels))


def picture(*spots: tuple[float, float, int]) -> NDArray[np.uint8]:
    """A grey picture with squares of 8 pixels at x, y of a grey value."""
    image = np.full((SIZE_WH[1], SIZE_WH[0], 3), 128, np.uint8)
    for x, y, value in spots:
        image[int(y) : int(y) + 8, int(x) : int(x) + 8] = value
    return image


def write_film(path: Path, frames: Sequence[NDArray[np.uint8]], rate: float = 10) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), rate, SIZE_WH)
    for frame in frames:
        writer.write(frame)
    writer.release()
    return path


def drone_film(path: Path, frames: int = 60) -> Path:
    """A drone from frame 20 to 39, a bird all along."""
    return write_film(
        path,
        [
            picture((10 + frame, 90, 10), *(((20 + 3 * (frame - 20), 20, 250),) if 20 <= frame < 40 else ()))
            for frame in range(frames)
        ],
    )
