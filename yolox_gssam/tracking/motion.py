"""Motion of one target as a Kalman filter, and motion of the whole picture where the camera pans."""

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 160
"""Pixels of the picture's longer side for `camera_shift`: a pan moves the whole picture, details say no more."""
_STILL = 1.0  # grey levels that the middle pixel may change by in a picture that stands still
_TEXTURE = 0.8  # aligned pictures must differ by at most this share of what they differed by before


class ConstantVelocity:
    """A Kalman filter of a point that flies on as it did, its acceleration unknown.

    The noise is alike in x and y, so both share one covariance of position and velocity.

    Args:
        centre: (2,) x and y in pixels.
        size: the target's side in pixels: how far it may go and how well its centre is known are told in sizes.
        velocity_sizes: standard deviation of a new target's velocity, in sizes a second.
        acceleration_sizes: standard deviation of its acceleration, in sizes a second squared.
        blur: standard deviation of a detected centre, in sizes.
    """

    def __init__(
        self,
        centre: NDArray[np.float64],
        size: float,
        velocity_sizes: float = 12.0,
        acceleration_sizes: float = 40.0,
        blur: float = 0.15,
    ) -> None:
        self.centre = np.array(centre, np.float64)
        self.velocity = np.zeros(2)
        self._acceleration = (acceleration_sizes * size) ** 2
        self._noise = max(0.5, blur * size) ** 2
        self._position_variance = self._noise
        self._covariance = 0.0
        self._velocity_variance = (velocity_sizes * size) ** 2

    @property
    def deviation(self) -> float:
        """Standard deviation of where it is, in pixels, in each axis."""
        return float(np.sqrt(self._position_variance))

    def predict(self, seconds: float) -> None:
        """Moves on by some time; white noise as acceleration."""
        self.centre = self.centre + seconds * self.velocity
        before = self._velocity_variance
        self._position_variance += 2 * seconds * self._covariance + seconds**2 * before
        self._position_variance += self._acceleration * seconds**4 / 4
        self._covariance += seconds * before + self._acceleration * seconds**3 / 2
        self._velocity_variance += self._acceleration * seconds**2

    def correct(self, centre: NDArray[np.float64]) -> None:
        """Takes in a centre (2,) that was seen."""
        total = self._position_variance + self._noise
        gain, velocity_gain = self._position_variance / total, self._covariance / total
        error = np.asarray(centre, np.float64) - self.centre
        self.centre = self.centre + gain * error
        self.velocity = self.velocity + velocity_gain * error
        self._velocity_variance -= velocity_gain * self._covariance
        self._covariance *= 1 - gain
        self._position_variance *= 1 - gain

    def shift(self, offset: NDArray[np.float64]) -> None:
        """Follows a picture that moved by `offset` (2,) pixels; the target's own velocity stays."""
        self.centre = self.centre + offset


class CameraMotion:
    """How far the picture moved since the frame before, by phase correlation of small grey pictures.

    Zoom and roll are not followed. Where alignment does not make the middle pixel differ less (clear sky, noise, a
    static picture with one thing flying, text over the picture), the answer is that nothing moved.
    """

    def __init__(self) -> None:
        self._previous: NDArray[np.float32] | None = None
        self._size_hw: tuple[int, ...] = ()

    def shift(self, image: NDArray[np.uint8]) -> NDArray[np.float64]:
        """(2,) x and y in pixels of `image` (H, W, 3), BGR, by which a fixed point moved; zeros at first."""
        factor = min(1.0, SIDE / max(image.shape[:2]))
        width, height = (max(1, round(side * factor)) for side in (image.shape[1], image.shape[0]))
        small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        grey = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY).astype(np.float32)
        previous, known = self._previous, self._size_hw == image.shape[:2]
        self._previous, self._size_hw = grey, image.shape[:2]
        if previous is None or not known or min(grey.shape) < 16 or _difference(previous, grey) <= _STILL:
            return np.zeros(2)
        window = cv2.createHanningWindow((width, height), cv2.CV_32F)
        # OpenCV multiplies the window into the pictures that it is given.
        (x, y), _ = cv2.phaseCorrelate(previous.copy(), grey.copy(), window)
        if not _aligns(previous, grey, x, y):
            return np.zeros(2)
        return np.array([x * image.shape[1] / width, y * image.shape[0] / height])


def _aligns(before: NDArray[np.float32], after: NDArray[np.float32], x: float, y: float) -> bool:
    """Whether the shift explains the difference of most pixels."""
    height, width = before.shape
    if abs(x) > width / 2 or abs(y) > height / 2 or max(abs(x), abs(y)) < 0.1:
        return False
    moved = np.asarray(
        cv2.warpAffine(before, np.array([[1, 0, x], [0, 1, y]], np.float32), (width, height)), np.float32
    )
    left, top = int(np.ceil(abs(x))), int(np.ceil(abs(y)))
    inner = (slice(top, height - top or None), slice(left, width - left or None))
    return _difference(moved[inner], after[inner]) < _TEXTURE * _difference(before[inner], after[inner])


def _difference(before: NDArray[np.float32], after: NDArray[np.float32]) -> float:
    """By how many grey levels the middle one of every fourth pixel differs."""
    return float(np.median(np.abs(before[::2, ::2] - after[::2, ::2])))
