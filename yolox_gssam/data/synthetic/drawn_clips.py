"""A synthetic clip: a drone and a bird over a slowly moving background."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.files import atomic_path
from yolox_gssam.common.progress import progress_bar
from yolox_gssam.data.synthetic.backgrounds import Image, draw_background
from yolox_gssam.data.synthetic.camera import compress
from yolox_gssam.data.synthetic.scenes import check_request
from yolox_gssam.data.synthetic.silhouettes import BUILDERS, in_pose
from yolox_gssam.data.synthetic.sprites import Floats, Sprite, draw_sprite, lay_over, sample_tones

FRAME_RATE = 25
_NOISE, _QUALITY = 1.5, 90  # levels of grey, JPEG


@dataclass(frozen=True, eq=False)
class Flyer:
    """An object on its way: `swing` (4,) holds the phases of its path and of its slow turns, in turns."""

    name: str
    seed: int
    side: float
    start_uv: Floats
    end_uv: Floats
    tones_bgr: Floats
    swing: Floats

    def draw(self, share: float, phase: float) -> Sprite:
        """What is seen after `share` in 0..1 of the clip, at `phase` of its wing beat or rotor."""
        waves = np.sin(2 * np.pi * (share * np.array([1, 1.5, 2, 1]) + self.swing))
        tilt, narrow = float(waves[2]), float(waves[3])
        mirror = 1.0 if self.end_uv[0] > self.start_uv[0] else -1.0
        silhouette = BUILDERS[self.name](np.random.default_rng(self.seed), phase)
        parts = in_pose(silhouette, 0.2 * tilt, (mirror * (0.9 + 0.1 * narrow), 1.0))
        centre = self.start_uv + (self.end_uv - self.start_uv) * share + self.side * 0.6 * waves[:2]
        side = self.side * (1 + 0.15 * narrow)
        return draw_sprite(parts, side, (float(centre[0]), float(centre[1])), self.tones_bgr)


def render_clip(seed: int, size_hw: tuple[int, int], frames: int) -> Iterator[NDArray[np.uint8]]:
    """The frames (height, width, 3) uint8 BGR of a clip, a pure function of the arguments.

    Raises:
        UserError: see `render_scene`.
    """
    check_request(seed, size_hw)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1,)))  # none of the pictures' own
    height, width = size_hw
    travel = np.array([rng.uniform(0.1, 0.2) * width, rng.uniform(0.02, 0.06) * height])
    background = draw_background(rng, (int(height + travel[1]) + 2, int(width + travel[0]) + 2))
    flyers = [_sample_flyer(rng, name, side, background.image, size_hw) for name, side in (("drone", 34), ("bird", 24))]
    for frame in range(frames):
        share = frame / max(frames - 1, 1)
        image = _window(background.image, travel * share, size_hw)
        for flyer in flyers:
            lay_over(image, flyer.draw(share, frame * 3.2 / FRAME_RATE % 1.0))
        noise = rng.standard_normal(image.shape, dtype=np.float32) * np.float32(_NOISE)
        yield compress(np.clip(np.round(image + noise), 0, 255).astype(np.uint8), _QUALITY)


def write_clip(path: str | os.PathLike[str], seed: int, size_hw: tuple[int, int], frames: int) -> None:
    """Writes `render_clip` as MP4 (codec mp4v) of FRAME_RATE frames per second, whole or not at all.

    Raises:
        UserError: the file could not be written, this OpenCV cannot write MP4, or see `render_scene`.
    """
    with atomic_path(path) as part:
        writer = cv2.VideoWriter(str(part), cv2.VideoWriter.fourcc(*"mp4v"), FRAME_RATE, (size_hw[1], size_hw[0]))
        if not writer.isOpened():
            raise UserError(f"{path}: this OpenCV cannot write it; take a name that ends in .mp4")
        try:
            clip = render_clip(seed, size_hw, frames)
            for image in progress_bar(clip, description="clip", unit="frames", total=frames):
                writer.write(image)
        finally:
            writer.release()
        written = cv2.VideoCapture(str(part)).get(cv2.CAP_PROP_FRAME_COUNT)
        if written != frames:  # OpenCV is silent about a full disk
            raise UserError(f"{path}: only {written:.0f} of {frames} frames could be written; is the disk full?")


def _sample_flyer(rng: Generator, name: str, side: float, background: Image, size_hw: tuple[int, int]) -> Flyer:
    """An object that crosses most of the picture in its upper two thirds."""
    height, width = size_hw
    rows = rng.uniform(0.2, 0.65, 2) * height
    columns = np.array([rng.uniform(0.12, 0.3), rng.uniform(0.7, 0.88)]) * width
    if rng.random() < 0.5:
        columns = columns[::-1]
    middle = (float(columns.mean()), float(rows.mean()))
    tones = sample_tones(rng, background, middle, width / 2)
    ends = np.stack([columns, rows], axis=1)
    return Flyer(name, int(rng.integers(2**31)), side, ends[0], ends[1], tones, rng.random(4))


def _window(image: Image, shift_uv: Floats, size_hw: tuple[int, int]) -> Image:
    """The part of `image` that begins at `shift_uv`, to a fraction of a pixel."""
    matrix = np.array([[1, 0, -shift_uv[0]], [0, 1, -shift_uv[1]]])
    return np.asarray(cv2.warpAffine(image, matrix, (size_hw[1], size_hw[0])), dtype=np.float32)
