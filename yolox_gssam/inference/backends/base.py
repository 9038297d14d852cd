"""What a backend is: something that runs a network."""

import os
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

INPUTS = ("images", "score_threshold")
"""Names of an exported network's inputs: images (B, H, W, 3) uint8, and one number."""
OUTPUT = "candidates"


class Backend(Protocol):
    """Runs one network on one device.

    Attributes:
        name: as in `--backend`.
        description: name, device and precision, for people.
        streams: so many threads may call it at once, and are worth it.
    """

    name: str
    description: str
    streams: int

    def candidates(self, batch: NDArray[np.uint8], score_threshold: float) -> NDArray[np.float32]:
        """The anchors of images (B, H, W, 3), BGR, whose objectness reaches the threshold, in no particular order.

        Returns:
            (n, 6 + classes): number of the image in the batch, centre x, centre y, width, height in pixels of the
            input, objectness, class probabilities. The device is done when the call returns.
        """


def thread_count() -> int:
    """Threads for a network on the CPU: OMP_NUM_THREADS where it is set, as in torch, or else one for each core."""
    told = os.environ.get("OMP_NUM_THREADS", "")
    return int(told) if told.isdecimal() and int(told) > 0 else core_count()


def core_count() -> int:
    """CPU cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # macOS and Windows have none
    return (os.cpu_count() or 1) if affinity is None else len(affinity(0))
