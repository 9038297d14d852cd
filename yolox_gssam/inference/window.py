"""A window on the screen for annotated frames."""

import os
import sys

import cv2
import numpy as np
from numpy.typing import NDArray

from yolox_gssam.common.errors import UserError

_KEYS_TO_QUIT = (27, ord("q"), ord("Q"))


def check_display() -> None:
    """Raises UserError where there is no screen: OpenCV would end the whole program."""
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise UserError("--show: no display here; leave it out, the results are written to files anyway")


def show(image: NDArray[np.uint8], wait_ms: int) -> bool:
    """Shows the image (BGR) for `wait_ms` milliseconds, 0: until a key is pressed. False: Esc or q was pressed.

    Raises:
        UserError: this OpenCV was built without windows.
    """
    try:
        cv2.imshow("yolox_gssam", image)
        return (cv2.waitKey(wait_ms) & 0xFF) not in _KEYS_TO_QUIT
    except cv2.error as error:
        raise UserError(
            "--show: this OpenCV has no windows; install opencv-python, not its headless variant"
        ) from error
