"""What a cheap camera does to a picture: vignette, soft lens, sharpening, noise and JPEG."""

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from yolox_gssam.data.synthetic.backgrounds import Image


def photograph(rng: Generator, image: Image) -> NDArray[np.uint8]:
    """The picture (height, width, 3) float32 BGR in 0..255 as a camera delivers it, uint8."""
    height, width = image.shape[:2]
    v = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    u = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    vignette = np.asarray(1 - np.float32(rng.uniform(0, 0.15)) * (u * u + v * v) / 2, dtype=np.float32)
    taken = image * vignette[..., None]
    kind = rng.random()
    if kind < 0.3:  # out of focus
        taken = np.asarray(cv2.GaussianBlur(taken, (0, 0), rng.uniform(0.3, 0.7)), dtype=np.float32)
    elif kind < 0.6:  # sharpened, with a halo
        taken = taken + (taken - cv2.GaussianBlur(taken, (0, 0), 1.0)) * np.float32(rng.uniform(0.2, 0.9))
    strength = rng.uniform(0.3, 2.0) if rng.random() < 0.7 else rng.uniform(2.0, 5.0)
    noise = rng.standard_normal((height, width, 3), dtype=np.float32)
    if rng.random() < 0.5:  # colour filter and noise reduction make the grains larger
        noise = cv2.GaussianBlur(noise, (0, 0), 0.6) * np.float32(2.0)
    shot_noise = np.float32(0.5) + np.sqrt(np.maximum(taken, 0)) * np.float32(1 / 16)
    taken = taken + noise * (shot_noise * np.float32(strength))
    pixels = np.clip(np.round(taken), 0, 255).astype(np.uint8)
    return compress(pixels, quality=int(rng.integers(55, 98)))


def compress(pixels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """The picture after JPEG of `quality` in 0..100."""
    _, encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), dtype=np.uint8)
