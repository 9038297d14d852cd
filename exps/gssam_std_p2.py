"""GSSAM, min-max map, position 2 (Table 2)."""

from yolox_gssam.experiment import GSSAM_STAGES, DroneExp


class Exp(DroneExp):
    def __init__(self) -> None:
        super().__init__()
        self.attention = "gssam"
        self.attention_position = 2
        self.attention_options = {**GSSAM_STAGES, "norm": "standardize"}
