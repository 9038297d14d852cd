"""The filter against one written with matrices, and the picture's motion on moved noise."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from yolox_gssam.tracking.motion import CameraMotion, ConstantVelocity


def test_filter_is_the_textbook_one() -> None:
    """Four states and 4 x 4 matrices."""
    rng = np.random.default_rng(0)
    size, own = 10.0, ConstantVelocity(np.array([3.0, 4.0]), 10.0)
    state = np.array([3.0, 4.0, 0, 0])
    noise = (0.15 * size) ** 2
    covariance = np.diag([noise, noise, (12 * size) ** 2, (12 * size) ** 2])
    look = np.eye(2, 4)
    for seconds in rng.uniform(0.01, 0.3, 20):
        move = np.eye(4) + seconds * np.eye(4, k=2)
        push = np.vstack((np.eye(2) * seconds**2 / 2, np.eye(2) * seconds))
        state = move @ state
        covariance = move @ covariance @ move.T + (40 * size) ** 2 * push @ push.T
        seen = rng.uniform(0, 50, 2)
        gain = covariance @ look.T @ np.linalg.inv(look @ covariance @ look.T + noise * np.eye(2))
        state = state + gain @ (seen - look @ state)
        covariance = (np.eye(4) - gain @ look) @ covariance
        own.predict(seconds)
        own.correct(seen)
        assert own.centre == pytest.approx(state[:2])
        assert own.velocity == pytest.approx(state[2:])
        assert own.deviation == pytest.approx(np.sqrt(covariance[0, 0]))


def scene(seed: int = 0) -> NDArray[np.uint8]:
    """A landscape of blurred noise, 700 x 900."""
    noise = np.random.default_rng(seed).integers(0, 256, (700, 900, 3), dtype=np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 9), None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


@pytest.mark.parametrize("pan", [(8, 0), (0, -12), (-35, 20), (60, 3)])
def test_a_pan_is_measured(pan: tuple[int, int]) -> None:
    picture, motion = scene(), CameraMotion()
    assert motion.shift(picture[100:580, 100:740]) == pytest.approx([0, 0])
    x, y = pan
    assert motion.shift(picture[100 - y : 580 - y, 100 - x : 740 - x]) == pytest.approx(pan, abs=1.5)


def test_what_flies_before_still_or_plain_or_noisy_background_is_no_pan() -> None:
    rng = np.random.default_rng(0)
    for background in (scene()[:480, :640], np.full((480, 640, 3), 200, np.uint8)):
        motion = CameraMotion()
        for frame in range(5):
            image = background.copy()
            image[100:120, 20 + 15 * frame : 40 + 15 * frame] = 0
            assert motion.shift(image) == pytest.approx([0, 0])
    motion = CameraMotion()
    for _ in range(5):
        assert motion.shift(rng.integers(0, 256, (480, 640, 3), dtype=np.uint8)) == pytest.approx([0, 0])


def test_a_frame_of_another_size_begins_anew() -> None:
    motion = CameraMotion()
    motion.shift(scene()[:480, :640])
    assert motion.shift(scene()[20:380, 30:510]) == pytest.approx([0, 0])
