"""What watching asks of a network, so that any detector can stand behind it, and none need be installed."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from yolox_gssam.detections import Detections


class FrameDetector(Protocol):
    """A detector of several frames at once."""

    def detect(self, frames: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        """The objects on each frame (H, W, 3), BGR, whose sizes may differ, in that frame's pixels."""
        ...
