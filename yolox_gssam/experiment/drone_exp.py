"""DroneExp: the model, data and recipe of one run, as a YOLOX experiment.

An exp file subclasses it and holds only what differs. Everything is built from here: `get_model`, `get_data_loader`,
`get_trainer`, `get_evaluator` have YOLOX's names and meaning, so YOLOX's own tools take these exp files too.
"""

import inspect
import os
import random
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from yolox.exp import Exp
from yolox.utils import get_rank, get_world_size

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.letterbox import STRIDE
from yolox_gssam.data.augmentation import Augmentation
from yolox_gssam.data.cache import CacheKind
from yolox_gssam.data.coco_reader import CocoSplit
from yolox_gssam.data.cutouts.bank import CutoutBank
from yolox_gssam.data.cutouts.paste import Paster, PasteRule
from yolox_gssam.data.device_loader import DeviceLoader
from yolox_gssam.data.training_set import TrainingSampler, TrainingSet
from yolox_gssam.engine.evaluator import DroneEvaluator
from yolox_gssam.engine.trainer import Trainer
from yolox_gssam.experiment.batches import find_split, make_batches
from yolox_gssam.experiment.field_checks import refuse_loaders
from yolox_gssam.experiment.overrides import PLAIN, parse_overrides
from yolox_gssam.models import FINE_STRIDES, STRIDES, add_attention, build_yolox

# One value for each of stem, dark2, dark3, dark4 and dark5 (strides 2 to 32). Blocks of 32 x 32 image pixels give every
# stage the same number of base points, 20 x 20 at 640 x 640; the convolutions are the fewest whose receptive field,
# 1 + 2 n, covers a block.
CONV_STAGES: dict[str, Any] = {"num_convs": (8, 4, 2, 1, 0)}
GSSAM_STAGES: dict[str, Any] = {"pool_size": (16, 8, 4, 2, 1), **CONV_STAGES}


class DroneExp(Exp):
    """YOLOX-s at 640 x 640 on a drone data set, without attention.

    Fields not explained here have YOLOX's meaning (`yolox/exp/yolox_base.py`).
    """

    def __init__(self) -> None:
        super().__init__()
        self.exp_name = Path(inspect.getfile(type(self))).stem

        # ---------------- data ---------------- #
        # A data set as tools/prepare_dataset.py makes it: annotations/{train,val,test}.json and images/.
        self.data_dir = "datasets/svanstrom"
        self.train_ann = "train.json"
        self.val_ann = "val.json"
        self.test_ann = "test.json"
        # Of a data set made with --folds: the number of the fold to train and test on, from 0. None: the set's own
        # splits, which are those of fold 0.
        self.fold: int | None = None
        # None: the data set's own classes and how many they are.
        self.num_classes = None
        # Processes that load images; 0 loads them in the training process.
        self.data_num_workers = min(4, os.cpu_count() or 1)

        # None: train on whole images of input_size. (height, width): on crops of this size, at the same scale, each
        # with an object in it. A crop costs less than the sky around it and teaches as much.
        self.crop_size: tuple[int, int] | None = None

        # ---------------- model ---------------- #
        self.depth = 0.33
        self.width = 0.50
        # True for YOLOX-nano: depthwise separable convolutions.
        self.depthwise = False
        # Of the levels that objects are found at. (4, 8, 16, 32): one more than YOLOX, for objects of a few pixels.
        self.strides: tuple[int, ...] = STRIDES
        # A registered attention ("gssam", "conv", your own) or "none".
        self.attention = "none"
        # 1: before a stage's output is extracted (the neck sees it too); 2: after.
        self.attention_position = 1
        # Its keyword arguments; a tuple of five holds one value for each of stem, dark2, dark3, dark4, dark5.
        self.attention_options: dict[str, Any] = {}

        # ---------------- augmentation: see yolox_gssam/data/augmentation.py for why ---------------- #
        self.mosaic_scale = (0.8, 1.6)
        self.mixup_prob = 0.3
        self.mixup_scale = (0.8, 1.25)
        self.degrees = 5.0
        # Largest shift of hue, saturation and value. 0,0,30 for grey images, which the first two would tint.
        self.hsv_gains = (5, 30, 30)

        # Objects to paste into training images: a bank of tools/prepare_dataset.py cutouts, or "shipped" for the one
        # that comes along ("": none), and the share of images that get some.
        self.paste_bank = ""
        self.paste_prob = 0.5

        # ---------------- training ---------------- #
        self.warmup_lr = 0.0
        self.max_epoch = 100
        self.eval_interval = 1
        # Stop after so many epochs without a better validation AP; 0: never.
        self.patience = 0
        self.save_history_ckpt = False
        # A run writes to output_dir / experiment name.
        self.output_dir = "runs"
        # The averaged weights' decay, and the steps in which it is (all but) reached. YOLOX's values, for long runs: in
        # one of 2,000 steps next to nothing is averaged.
        self.ema_decay = 0.9998
        self.ema_ramp = 2000
        # Keep BatchNorm's statistics as they are, for fine-tuning with small batches.
        self.freeze_norm = False

        # ---------------- testing ---------------- #
        # None: the input size.
        self.test_size = None

    # ---------------- fields ---------------- #

    @property
    def num_classes(self) -> int:
        """Classes the network tells apart: as set, or as many as the data set has."""
        return len(self.class_names) if self._num_classes is None else self._num_classes

    @num_classes.setter
    def num_classes(self, value: int | None) -> None:
        self._num_classes = value

    @property
    def test_size(self) -> tuple[int, int]:
        """Input size (height, width) at test time: as set, or the training one."""
        return self.input_size if self._test_size is None else self._test_size

    @test_size.setter
    def test_size(self, value: tuple[int, int] | None) -> None:
        self._test_size = value

    @property
    def training_size(self) -> tuple[int, int]:
        """Size (height, width) of what the network is trained on: crop_size, or else input_size."""
        return self.input_size if self.crop_size is None else self.crop_size

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, as the training annotations list them."""
        return self.load_split("train").classes

    def fields(self) -> dict[str, Any]:
        """Every field that can be set from the command line, with its present value.

        num_classes and test_size stand as they were set: None where they follow the data and the input size.
        """
        own = {
            name: value
            for name, value in vars(self).items()
            if not name.startswith("_") and name != "class_names" and isinstance(value, PLAIN)
        }
        return {**own, "num_classes": self._num_classes, "test_size": self._test_size}

    def stored_fields(self) -> dict[str, Any]:
        """The fields as a checkpoint keeps them, with the number of classes and the size that it was made with."""
        return {**self.fields(), "num_classes": self.num_classes, "test_size": self.test_size}

    def merge(self, cfg_list: Sequence[Any]) -> None:
        """Sets fields from (name, value, name, value, ...).

        Raises:
            UserError: an unknown name, or a value of the wrong type.
        """
        fields = {**self.fields(), "fold": None}  # None is a value for it, whatever a checkpoint has set it to
        for name, value in parse_overrides(fields, cfg_list, any_length=("strides",)).items():
            setattr(self, name, value)
        self.check()

    def check(self) -> None:
        """Raises UserError where fields cannot be right together."""
        for name in ("input_size", "test_size", "training_size"):
            size = getattr(self, name)
            if not (isinstance(size, tuple) and len(size) == 2 and all(s > 0 and s % STRIDE == 0 for s in size)):
                raise UserError(
                    f"{name} must be (height, width), two multiples of {STRIDE} such as (416, 416), not {size!r}"
                )
        for name, lowest in (("seed", 0), ("num_classes", 1), ("fold", 0)):
            value = self.fields()[name]
            if value is not None and not (type(value) is int and value >= lowest):
                raise UserError(f"{name} must be None or a whole number of at least {lowest}, not {value!r}")
        if self.strides not in (STRIDES, FINE_STRIDES):
            raise UserError(f"strides must be {STRIDES}, as in YOLOX, or {FINE_STRIDES}, not {self.strides!r}")
        if self.attention_position not in (1, 2):
            raise UserError(f"attention_position must be 1 or 2, not {self.attention_position!r}")
        if self.no_aug_epochs + self.warmup_epochs > self.max_epoch:
            raise UserError(
                f"max_epoch {self.max_epoch} must be at least warmup_epochs {self.warmup_epochs} + no_aug_epochs "
                f"{self.no_aug_epochs}: set these lower, or max_epoch higher"
            )

    # ---------------- parts ---------------- #

    def load_split(self, name: str) -> CocoSplit:
        """The split "train", "val" or "test" of the data set.

        Raises:
            UserError: it is missing or faulty.
        """
        return find_split(Path(self.data_dir), name, getattr(self, f"{name}_ann"), self.fold)

    def get_model(self) -> nn.Module:
        """The network, built once, in training mode."""
        if "model" not in vars(self):
            self.check()
            model = build_yolox(
                self.num_classes,
                self.depth,
                self.width,
                act=self.act,
                depthwise=self.depthwise,
                strides=self.strides,
            )
            if self.attention != "none":
                model = add_attention(model, self.attention, self.attention_position, self.attention_options)
            self.model = model
        return self.model.train()

    def get_data_loader(
        self, batch_size: int, is_distributed: bool, no_aug: bool = False, cache_img: bool = False
    ) -> DataLoader[Any] | DeviceLoader:
        """Batches of the first epoch of the training split, see `get_training_data`."""
        loader, sampler = self.get_training_data(batch_size, "ram" if cache_img else None)
        sampler.set_epoch(0, mosaic=not no_aug)
        return loader

    def get_training_data(
        self, batch_size: int, cache: CacheKind | None = None, device: torch.device | None = None
    ) -> tuple[DataLoader[Any] | DeviceLoader, TrainingSampler]:
        """Batches of the training split, see `make_batches`, and the sampler that chooses the epoch they come from.

        Args:
            batch_size: of all processes together; this one gets its share.
            cache: "ram" or "gpu", see `make_batches`.
            device: that trains; the CPU by default.

        Raises:
            UserError: num_classes is not the data set's.
        """
        split = self.load_split("train")
        if self.num_classes != len(split.classes):
            raise UserError(
                f"num_classes is {self.num_classes}, but {split.path} has {len(split.classes)} classes; leave "
                f"num_classes at None to follow the data set"
            )
        sampler = TrainingSampler(len(split.images), batch_size, self.run_seed, get_rank(), get_world_size())
        dataset = TrainingSet(split, self.input_size, self.augmentation(), self.run_seed, self.crop_size)
        if self.paste_bank:
            if cache == "gpu":
                raise UserError("paste_bank works on the processor: leave --cache gpu out, or paste_bank")
            rule = PasteRule(prob=self.paste_prob)
            dataset.paster = Paster(CutoutBank.load(Path(self.paste_bank)), split.classes, rule)
        device = torch.device("cpu") if device is None else device
        return make_batches(dataset, sampler, cache, device, self.data_num_workers), sampler

    def augmentation(self) -> Augmentation:
        return Augmentation(
            mosaic_prob=self.mosaic_prob,
            mixup_prob=self.mixup_prob if self.enable_mixup else 0.0,
            hsv_prob=self.hsv_prob,
            hsv_gains=self.hsv_gains,
            flip_prob=self.flip_prob,
            degrees=self.degrees,
            shear=self.shear,
            translate=self.translate,
            mosaic_scale=self.mosaic_scale,
            mixup_scale=self.mixup_scale,
        )

    @property
    def run_seed(self) -> int:
        """The seed, 0 where none was set."""
        return 0 if self.seed is None else self.seed

    def random_resize(self, data_loader: Any, epoch: int, rank: int, is_distributed: bool) -> tuple[int, int]:
        """A size (height, width) for the next iterations, up to `multiscale_range` times 32 from the training size.

        Drawn from Python's random generator, which the trainer seeds alike in all processes.
        """
        size = self.training_size
        steps = size[0] // STRIDE
        low, high = getattr(self, "random_size", (steps - self.multiscale_range, steps + self.multiscale_range))
        height = random.randint(max(low, 1), high)
        return STRIDE * height, STRIDE * max(int(height * size[1] / size[0]), 1)

    def preprocess(self, inputs: Tensor, targets: Tensor, tsize: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Scales images (B, 3, H, W) and targets (B, n, 5) from the training size to `tsize` (height, width)."""
        if tsize == self.training_size:
            return inputs, targets
        ratio_y, ratio_x = tsize[0] / self.training_size[0], tsize[1] / self.training_size[1]
        inputs = nn.functional.interpolate(inputs, size=tsize, mode="bilinear", align_corners=False)
        return inputs, targets * targets.new_tensor([1, ratio_x, ratio_y, ratio_x, ratio_y])

    def get_optimizer(self, batch_size: int) -> torch.optim.Optimizer:
        """SGD with Nesterov momentum; weight decay on the matrices, none on biases and norms, as in YOLOX.

        Every parameter of the network is in it, whatever its name: YOLOX's own picks `weight` and `bias` by name.
        """
        if "optimizer" not in vars(self):
            lr = self.warmup_lr if self.warmup_epochs > 0 else self.basic_lr_per_img * batch_size
            parameters = list(self.get_model().parameters())
            groups = [
                {"params": [p for p in parameters if p.ndim <= 1]},
                {"params": [p for p in parameters if p.ndim > 1], "weight_decay": self.weight_decay},
            ]
            self.optimizer = torch.optim.SGD(groups, lr=lr, momentum=self.momentum, nesterov=True, fused=True)
        return self.optimizer

    def get_evaluator(
        self, batch_size: int, is_distributed: bool, testdev: bool = False, legacy: bool = False
    ) -> DroneEvaluator:
        """Measures AP on the validation split (`testdev`: on the test split)."""
        return DroneEvaluator(
            self.load_split("test" if testdev else "val"),
            test_size=self.test_size,
            score_threshold=self.test_conf,
            nms_threshold=self.nmsthre,
            batch_size=batch_size,
            workers=self.data_num_workers,
        )

    def get_trainer(self, args: Any) -> Trainer:
        """The trainer of this run; `args` as tools/train.py (or YOLOX's) parses them.

        Raises:
            UserError: the exp file has loaders of its own.
        """
        refuse_loaders(self, DroneExp)
        return Trainer(self, args)
