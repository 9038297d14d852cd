"""YOLOX with global-sampling spatial attention, for small drones in images and video."""

from importlib.util import find_spec

__version__ = "0.1.0"

if find_spec("yolox") is None:
    raise ImportError(
        "yolox_gssam needs yolox: install torch and torchvision, then run "
        "`pip install --no-deps --no-build-isolation yolox==0.3.0` (g++ and ninja build it)"
    )
