"""Drawn films in which a square's place tells the number of its frame."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

SIZE_WH = (160, 96)
SIDE = 8


def box_of(frame: int) -> tuple[int, int, int, int]:
    """Where the square is in a frame: x, y, width, height."""
    return 4 + 3 * frame, 20 + 10 * (frame % 5), SIDE, SIDE


def draw(frame: int) -> NDArray[np.uint8]:
    image = np.full((SIZE_WH[1], SIZE_WH[0], 3), 60, np.uint8)
    x, y, w, h = box_of(frame)
    image[y : y + h, x : x + w] = 230
    return image


def write_film(path: Path, count: int, fps: float = 25.0, darker: int = 0) -> Path:
    """A film, by so many grey values darker than others, so that its frames are not those of another one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, SIZE_WH)
    assert writer.isOpened()
    for frame in range(count):
        writer.write(cv2.subtract(draw(frame), np.full_like(draw(frame), darker)))
    writer.release()
    return path


def write_frames(folder: Path, count: int, first: int = 1) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for frame in range(count):
        cv2.imwrite(str(folder / f"{frame + first:06d}.png"), draw(frame))
    return folder


def shown_box(image: NDArray[np.uint8]) -> list[float]:
    """The box of the bright square as it is to be seen, half-way up its edges; empty without one."""
    grey = image if image.ndim == 2 else image[..., 0]
    rows, columns = np.nonzero(grey > 145)
    if not len(rows):
        return []
    left, top = int(columns.min()), int(rows.min())
    return [left, top, int(columns.max()) + 1 - left, int(rows.max()) + 1 - top]
