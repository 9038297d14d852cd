"""YOLOX-nano with GSSAM on the synthetic set, for a few minutes on two CPU cores: the recipe of `make demo`."""

from yolox_gssam.experiment import GSSAM_STAGES, DroneExp


class Exp(DroneExp):
    def __init__(self) -> None:
        super().__init__()
        self.data_dir = "datasets/synthetic"
        self.depth = 0.33
        self.width = 0.25
        self.depthwise = True
        self.attention = "gssam"
        self.attention_position = 1
        self.attention_options = {**GSSAM_STAGES, "norm": "sigmoid", "residual": True}
        # The images measure 320 x 320. Enlarged by half, a drone of 12 pixels spans two cells of the finest grid.
        self.input_size = (480, 480)
        # A crop is a fourteenth of the image and holds about 1 of its 2.3 objects: in the same minutes the network sees
        # about six times as many objects as with whole images.
        self.crop_size = (128, 128)
        self.multiscale_range = 0
        self.mosaic_prob = 0.0
        self.max_epoch = 72
        # Three epochs: with one, single seeds lost ten points of AP50 to a bad start.
        self.warmup_epochs = 3
        self.no_aug_epochs = 6
        # 0.04 a step of 32, eight times what YOLOX has for an image: there are only some 1,440 steps.
        self.basic_lr_per_img = 0.04 / 32
        # An average over some 100 steps: single steps of so short a run swing by several points of AP.
        self.ema_decay = 0.99
        self.ema_ramp = 50
        self.eval_interval = 36
        # Loading in the training process: both cores compute already.
        self.data_num_workers = 0
