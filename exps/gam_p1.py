"""GAM (Liu et al. 2021), position 1."""

from yolox_gssam.experiment import DroneExp


class Exp(DroneExp):
    def __init__(self) -> None:
        super().__init__()
        self.attention = "gam"
        self.attention_position = 1
        # Grouped where C is large: without groups dark5 alone would take 6.6 million parameters; all of plain
        # YOLOX-s has 8.9 million.
        self.attention_options = {"groups": (1, 1, 1, 4, 4)}
