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
        # A crop is a ninth of the image and holds 1.1 of its 2.3 objects on average: in the same minutes the network
        # sees about four times as many objects as with whole images.
        self.crop_size = (160, 160)
        self.multiscale_range = 0
        self.mosaic_prob = 0.0
        self.max_epoch = 46
        self.warmup_epochs = 1
        self.no_aug_epochs = 6
        # 0.01 a step of 16, as high as YOLOX has it for 64: there are only some 1,800 steps.
        self.basic_lr_per_img = 0.01 / 16
        # An average over some 200 steps: single steps of so short a run swing by several points of AP.
        self.ema_decay = 0.995
        self.ema_ramp = 100
        self.eval_interval = 23
        # Loading in the training process: both cores compute already.
        self.data_num_workers = 0
