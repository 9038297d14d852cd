"""Coordinate attention (Hou et al. 2021), position 1."""

from yolox_gssam.experiment import DroneExp


class Exp(DroneExp):
    def __init__(self) -> None:
        super().__init__()
        self.attention = "coordinate"
        self.attention_position = 1
