"""YOLOX with global-sampling spatial attention, for small drones in images and video."""

__version__ = "0.1.0"
