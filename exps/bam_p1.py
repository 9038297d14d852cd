"""BAM (Park et al. 2018), position 1."""

from yolox_gssam.experiment import DroneExp


class Exp(DroneExp):
    def __init__(self) -> None:
        super().__init__()
        self.attention = "bam"
        self.attention_position = 1
