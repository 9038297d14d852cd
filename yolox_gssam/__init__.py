"""YOLOX with global-sampling spatial attention, for small drones in images and video.

>>> from yolox_gssam import Detector
>>> detector = Detector.load()
>>> detections = detector(image_bgr)    # doctest: +SKIP
"""

import os
from typing import TYPE_CHECKING, Any

from yolox_gssam.common.version import __version__

if TYPE_CHECKING:
    from yolox_gssam.detections import Detections as Detections
    from yolox_gssam.detector import Detector as Detector

__all__ = ["Detections", "Detector", "__version__"]

# OpenMP's threads spin while they wait for one another: beside another busy program they take the time that the one
# they wait for needs, and training falls to a tenth. Read once, when torch is loaded; a user's own setting wins.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def __getattr__(name: str) -> Any:
    """The front door, imported at its first use."""
    if name == "Detector":
        from yolox_gssam.detector import Detector

        return Detector
    if name == "Detections":
        from yolox_gssam.detections import Detections

        return Detections
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
