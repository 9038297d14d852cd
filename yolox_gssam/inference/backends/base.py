"""What a backend is: something that runs a network."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


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

    def candidates(self, batch: NDArray[np.uint8], score_threshold: float) -> Tensor:
        """The candidates (n, 6 + classes) float32 of images (B, H, W, 3), BGR; see `yolox_gssam.models.inference`."""

    def synchronize(self) -> None:
        """Waits until the device has done all it was given."""
