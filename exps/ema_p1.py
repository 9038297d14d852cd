"""EMA, efficient multi-scale attention (Ouyang et al. 2023), position 1. Not the average of weights."""

from yolox_gssam.experiment import DroneExp


class Exp(DroneExp):
    def __init__(self) -> None:
        super().__init__()
        self.attention = "ema_attention"
        self.attention_position = 1
        # 4 to 64 channels a group. The 16 channels of the stem of YOLOX-nano are fewer than the 32 groups of the paper.
        self.attention_options = {"groups": 8}
