"""What a classifier is trained with."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from yolox.utils import LRScheduler

from yolox_gssam.classification.networks import Classifier, build_classifier, default_options
from yolox_gssam.common.errors import UserError

MIN_IMAGE_SIZE = 64
"""Pixels: below, the fifth map is a single pixel, which stands out from nothing."""
SCHEDULES = ("cosine", "step")
PRECISIONS = ("float32", "float16", "bfloat16")
WARMUP_EPOCHS = 1
"""Of the cosine schedule, in which the rate rises."""


@dataclass(frozen=True)
class ClassifierRecipe:
    """What is trained, and how: all that decides the result beside the data.

    Attributes:
        network, attention, pretrained: as `build_classifier` takes them.
        attention_options: likewise; None: `default_options`.
        image_size: side of the square input in pixels.
        lr: learning rate at its highest.
        schedule: "cosine" to nearly 0, or "step": a tenth after half and after three quarters of the epochs.
        eval_interval: epochs from one validation to the next; the last epoch is always validated.
        precision: "float32", or the type of mixed precision.
        seed: of the first weights, the order and the augmentation.

    Raises:
        UserError: a value out of its range.
    """

    network: str
    attention: str = "none"
    attention_options: Mapping[str, Any] | None = None
    pretrained: bool = False
    image_size: int = 244
    epochs: int = 100
    batch_size: int = 64
    lr: float = 0.05
    weight_decay: float = 5e-4
    schedule: str = "cosine"
    eval_interval: int = 1
    precision: str = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "eval_interval"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.image_size < MIN_IMAGE_SIZE:
            raise UserError(
                f"image_size must be at least {MIN_IMAGE_SIZE} pixels, not {self.image_size}: the networks halve it "
                f"five times"
            )
        if not (0 < self.lr < math.inf and 0 <= self.weight_decay < math.inf and self.seed >= 0):
            raise UserError(
                f"lr must be above 0, weight_decay and seed at least 0, not {self.lr:g}, {self.weight_decay:g} and "
                f"{self.seed}"
            )
        if self.schedule not in SCHEDULES or self.precision not in PRECISIONS:
            raise UserError(
                f"schedule must be one of {', '.join(SCHEDULES)} and precision one of {', '.join(PRECISIONS)}, not "
                f"{self.schedule!r} and {self.precision!r}"
            )

    @property
    def options(self) -> dict[str, Any]:
        """Of the attention, those of `default_options` where none are given."""
        if self.attention_options is None:
            return default_options(self.network, self.attention)
        return dict(self.attention_options)

    def build(self, num_classes: int) -> Classifier:
        """The network with its first weights."""
        return build_classifier(
            self.network, self.attention, num_classes, attention_options=self.options, pretrained=self.pretrained
        )

    def to_json(self) -> dict[str, Any]:
        """Every field, the options filled in, as JSON gives them back."""
        fields: dict[str, Any] = json.loads(json.dumps({**asdict(self), "attention_options": self.options}))
        return fields

    def learning_rates(self, iterations_per_epoch: int) -> Any:
        """YOLOX's schedule: its `update_lr(n)` is the rate after n iterations, which may be a fraction."""
        if self.schedule == "step":
            milestones = [self.epochs * 0.5, self.epochs * 0.75]
            return LRScheduler("multistep", self.lr, iterations_per_epoch, self.epochs, milestones=milestones)
        warmup = min(WARMUP_EPOCHS, self.epochs - 1)
        return LRScheduler("warmcos", self.lr, iterations_per_epoch, self.epochs, warmup_epochs=warmup)
