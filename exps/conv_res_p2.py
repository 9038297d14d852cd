"""The ablation with a residual, position 2 (Table 3)."""

from yolox_gssam.experiment import CONV_STAGES, DroneExp


class Exp(DroneExp):
    def __init__(self) -> None:
        super().__init__()
        self.attention = "conv"
        self.attention_position = 2
        self.attention_options = {**CONV_STAGES, "residual": True}
