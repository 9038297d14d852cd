"""Plain YOLOX, the reference of Table 2."""

from yolox_gssam.experiment import DroneExp


class Exp(DroneExp):
    """YOLOX-s, 640 x 640, as `DroneExp` sets it."""
