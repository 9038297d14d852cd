"""GSSAM, sigmoid, position 2 (Tables 2 and 3)."""

from yolox_gssam.experiment import GSSAM_STAGES, DroneExp


class Exp(DroneExp):
    def __init__(self) -> None:
        super().__init__()
        self.attention = "gssam"
        self.attention_position = 2
        self.attention_options = {**GSSAM_STAGES, "norm": "sigmoid"}
