"""What the trainer asks of an experiment."""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from yolox_gssam.data.cache import CacheKind
from yolox_gssam.data.device_loader import DeviceLoader
from yolox_gssam.data.training_set import TrainingSampler


class Experiment(Protocol):
    """Fields and methods of YOLOX's `Exp`, with the same meaning, and some of `DroneExp`."""

    exp_name: str
    output_dir: str
    max_epoch: int
    no_aug_epochs: int
    eval_interval: int
    print_interval: int
    patience: int
    save_history_ckpt: bool
    multiscale_range: int
    basic_lr_per_img: float
    ema: bool
    ema_decay: float
    ema_ramp: int
    freeze_norm: bool

    @property
    def run_seed(self) -> int: ...
    @property
    def class_names(self) -> Sequence[str]: ...
    @property
    def training_size(self) -> tuple[int, int]: ...
    @property
    def test_size(self) -> tuple[int, int]: ...

    def fields(self) -> dict[str, Any]: ...
    def stored_fields(self) -> dict[str, Any]: ...
    def get_model(self) -> nn.Module: ...
    def get_optimizer(self, batch_size: int) -> torch.optim.Optimizer: ...
    def get_lr_scheduler(self, lr: float, iters_per_epoch: int) -> Any: ...
    def get_evaluator(self, batch_size: int, is_distributed: bool) -> Any: ...
    def get_training_data(
        self, batch_size: int, cache: CacheKind | None, device: torch.device | None
    ) -> tuple[torch.utils.data.DataLoader[Any] | DeviceLoader, TrainingSampler]: ...
    def random_resize(self, data_loader: Any, epoch: int, rank: int, is_distributed: bool) -> tuple[int, int]: ...
    def preprocess(self, inputs: Tensor, targets: Tensor, tsize: tuple[int, int]) -> tuple[Tensor, Tensor]: ...
    def eval(self, model: nn.Module, evaluator: Any, is_distributed: bool) -> tuple[float, float, str]: ...
