"""Non-local blocks (Wang et al. 2018), position 1."""

from yolox_gssam.experiment import DroneExp


class Exp(DroneExp):
    def __init__(self) -> None:
        super().__init__()
        self.attention = "nonlocal"
        self.attention_position = 1
        # Blocks of 32 x 32 image pixels: every stage has 20 x 20 keys at 640 x 640. With every pixel as a key the stem
        # alone would take 10,000 million similarities an image.
        self.attention_options = {"pool_size": (16, 8, 4, 2, 1)}
