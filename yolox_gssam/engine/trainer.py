"""The training loop, with the hooks of YOLOX's `Trainer`, on CUDA, Apple MPS and the CPU."""

import math
import random
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from loguru import logger
from torch import Tensor
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel
from torch.utils.tensorboard import SummaryWriter
from yolox.utils import ModelEMA, get_model_info, get_rank, get_world_size, synchronize

from yolox_gssam.device import autocast, choose_device, describe_device, half_dtype
from yolox_gssam.engine.checkpoint import load_checkpoint, load_weights, save_checkpoint
from yolox_gssam.engine.history import Row, plot_curves, write_csv
from yolox_gssam.engine.log import setup_log
from yolox_gssam.errors import UserError
from yolox_gssam.progress import progress_bar

if TYPE_CHECKING:
    from yolox_gssam.experiment.base import DroneExp

LOSSES = ("total_loss", "iou_loss", "conf_loss", "cls_loss", "l1_loss", "num_fg")


class Trainer:
    """Trains an experiment: epochs of warm-up cosine with EMA of weights, each followed by a validation.

    Writes to `exp.output_dir / args.experiment_name`: `latest_ckpt.pth`, `best_ckpt.pth`, `history.csv`, `curves.png`,
    `train_log.txt` and `tensorboard/`.

    Args:
        exp: what to train.
        args: as tools/train.py or YOLOX's own parse them.
    """

    def __init__(self, exp: "DroneExp", args: Any) -> None:
        self.exp = exp
        self.args = args
        self.rank = get_rank()
        self.is_distributed = get_world_size() > 1
        self.device = self._choose_device(getattr(args, "device", None))
        self.amp_dtype = self._choose_precision()
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.amp_dtype == torch.float16)
        self.max_epoch = exp.max_epoch
        self.input_size = exp.training_size
        self.start_epoch = 0
        self.best_ap = 0.0
        self.best_epoch = 0
        self.history: list[Row] = []
        self.output_dir = Path(exp.output_dir, args.experiment_name or exp.exp_name)
        setup_log(self.output_dir / "train_log.txt" if self.rank == 0 else None)

    def train(self) -> None:
        """Trains to the last epoch, or until `patience` epochs brought nothing better."""
        self.before_train()
        try:
            self.train_in_epoch()
        finally:
            self.after_train()

    def train_in_epoch(self) -> None:
        for epoch in range(self.start_epoch, self.max_epoch):
            self.epoch = epoch
            self.before_epoch()
            self.train_in_iter()
            self.after_epoch()
            if self.exp.patience and self.epoch + 1 - self.best_epoch >= self.exp.patience:
                logger.info(f"no better AP for {self.exp.patience} epochs: stopping early")
                break

    def train_in_iter(self) -> None:
        for iteration, (images, targets) in enumerate(self.train_loader):
            self.iter = iteration
            self.before_iter()
            self.train_one_iter(images, targets)
            self.after_iter()

    # ---------------- the hooks ---------------- #

    def before_train(self) -> None:
        # The same weights and the same sizes in every process and in every run of this seed.
        torch.manual_seed(self.exp.run_seed)
        model = self.exp.get_model()
        logger.info(
            f"{self.exp.exp_name} on {describe_device(self.device)}, {get_model_info(model, self.exp.test_size)}"
        )
        logger.info(f"fields: {self.exp.fields()}")
        # channels_last: 1.2 to 1.5 times faster on a CPU (YOLOX-nano, 416 x 416), and what tensor cores want on a GPU.
        model.to(self.device).to(memory_format=torch.channels_last)
        self.optimizer = self.exp.get_optimizer(self.args.batch_size)
        self.train_loader, self.sampler = self.exp.get_training_data(self.args.batch_size, bool(self.args.cache))
        self.max_iter = len(self.train_loader)
        self.lr_scheduler = self.exp.get_lr_scheduler(self.exp.basic_lr_per_img * self.args.batch_size, self.max_iter)
        self.ema_model = self._average_weights(model) if self.exp.ema else None
        self._load_weights(model)
        self.model = self._wrap(model)
        self.evaluator = self.exp.get_evaluator(self.args.batch_size, self.is_distributed)
        self.writer = SummaryWriter(str(self.output_dir / "tensorboard")) if self.rank == 0 else None
        self.bar = progress_bar(
            description="training",
            unit="img",
            total=self.max_epoch * self.max_iter * self.args.batch_size,
            initial=self.start_epoch * self.max_iter * self.args.batch_size,
            disable=self.rank != 0,
        )

    def before_epoch(self) -> None:
        last_epochs = self.epoch >= self.max_epoch - self.exp.no_aug_epochs
        if last_epochs and (self.epoch == self.start_epoch or self.epoch == self.max_epoch - self.exp.no_aug_epochs):
            logger.info(f"epoch {self.epoch + 1}: from here on without mosaic and mixup, with the L1 loss")
        self.sampler.set_epoch(self.epoch, mosaic=not last_epochs)
        _plain(self.model).head.use_l1 = last_epochs
        self.model.train()
        self.epoch_losses = dict.fromkeys(LOSSES, 0.0)
        self.epoch_started = time.perf_counter()

    def before_iter(self) -> None:
        pass

    def train_one_iter(self, images: Tensor, targets: Tensor) -> None:
        """One step on images (B, 3, H, W) uint8 and targets (B, n, 5)."""
        images = images.to(self.device, non_blocking=True).float().contiguous(memory_format=torch.channels_last)
        targets = targets.to(self.device, non_blocking=True)
        images, targets = self.exp.preprocess(images, targets, self.input_size)
        with autocast(self.device, self.amp_dtype):
            outputs = self.model(images, targets)
        loss = outputs["total_loss"]
        losses = {name: float(torch.as_tensor(outputs[name]).detach()) for name in LOSSES}
        self._check_finite(losses["total_loss"])
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.ema_model is not None:
            self.ema_model.update(self.model)
        self.lr = self.lr_scheduler.update_lr(self.progress_in_iter + 1)
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr
        for name in LOSSES:
            self.epoch_losses[name] += losses[name] / self.max_iter

    def after_iter(self) -> None:
        self.bar.update(self.args.batch_size)
        if (self.progress_in_iter + 1) % self.exp.print_interval == 0:
            losses = {name: mean * self.max_iter / (self.iter + 1) for name, mean in self.epoch_losses.items()}
            self.bar.set_description(f"epoch {self.epoch + 1}/{self.max_epoch}", refresh=False)
            self.bar.set_postfix(loss=f"{losses['total_loss']:.2f}", best_AP=f"{100 * self.best_ap:.1f}", refresh=False)
            if self.writer is not None:
                for name, value in losses.items():
                    self.writer.add_scalar(f"train/{name}", value, self.progress_in_iter + 1)
                self.writer.add_scalar("train/lr", self.lr, self.progress_in_iter + 1)
        if self.exp.multiscale_range and (self.progress_in_iter + 1) % 10 == 0:
            # A function of the iteration alone, so that every process and a resumed run draw the same size.
            random.seed(f"{self.exp.run_seed} {self.progress_in_iter}")
            self.input_size = self.exp.random_resize(self.train_loader, self.epoch, self.rank, self.is_distributed)

    def after_epoch(self) -> None:
        seconds = time.perf_counter() - self.epoch_started
        row: Row = {
            "epoch": self.epoch + 1,
            "images_per_second": self.max_iter * self.args.batch_size / seconds,
            "lr": self.lr,
            **self.epoch_losses,
            "val_ap": math.nan,
            "val_ap50": math.nan,
        }
        self.history.append(row)
        if (self.epoch + 1) % self.exp.eval_interval == 0 or self.epoch + 1 == self.max_epoch:
            self.evaluate_and_save_model()
        self.save_ckpt("latest")
        if self.exp.save_history_ckpt:
            self.save_ckpt(f"epoch_{self.epoch + 1}")
        if self.rank == 0:
            write_csv(self.output_dir / "history.csv", self.history)

    def after_train(self) -> None:
        self.bar.close()
        if self.writer is not None:
            self.writer.close()
        if self.rank == 0 and self.history:
            plot_curves(self.output_dir / "curves.png", self.history, self.exp.exp_name)
            logger.info(
                f"best mAP50:95 {100 * self.best_ap:.2f} % after epoch {self.best_epoch}; all in {self.output_dir}"
            )

    def evaluate_and_save_model(self) -> None:
        """Validates the averaged weights; keeps them as best_ckpt.pth where they are the best so far."""
        ap, ap50 = 0.0, 0.0
        if self.rank == 0:
            model = _plain(self.model) if self.ema_model is None else self.ema_model.ema
            ap, ap50, summary = self.exp.eval(model, self.evaluator, self.is_distributed)
            model.train(self.ema_model is None)
            row = self.history[-1]
            logger.info(
                f"epoch {self.epoch + 1}: loss {row['total_loss']:.2f}, {row['images_per_second']:.1f} img/s, {summary}"
            )
            if self.writer is not None:
                self.writer.add_scalar("val/COCOAP50_95", ap, self.epoch + 1)
                self.writer.add_scalar("val/COCOAP50", ap50, self.epoch + 1)
        if self.is_distributed:
            shared = [ap, ap50]
            dist.broadcast_object_list(shared, src=0)
            ap, ap50 = shared
        self.history[-1].update(val_ap=ap, val_ap50=ap50)
        if ap > self.best_ap or not self.best_epoch:
            self.best_ap, self.best_epoch = ap, self.epoch + 1
            self.save_ckpt("best")
        synchronize()

    def save_ckpt(self, ckpt_name: str) -> None:
        """Writes `<ckpt_name>_ckpt.pth`: YOLOX's entries, what says what the weights are, and what a resume needs."""
        if self.rank != 0:
            return
        model = _plain(self.model)
        state = {
            "model": (model if self.ema_model is None else self.ema_model.ema).state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "start_epoch": self.epoch + 1,
            "best_ap": float(self.best_ap),
            "class_names": list(self.exp.class_names),
            "exp": {**self.exp.fields(), "num_classes": self.exp.num_classes, "test_size": self.exp.test_size},
            "training": {
                "model": model.state_dict(),
                "ema_updates": 0 if self.ema_model is None else self.ema_model.updates,
                "scaler": self.scaler.state_dict(),
                "input_size": self.input_size,
                "best_epoch": self.best_epoch,
                "history": self.history,
            },
        }
        save_checkpoint(self.output_dir / f"{ckpt_name}_ckpt.pth", state)

    def resume_train(self, model: torch.nn.Module) -> None:
        """Goes on from `-c`, or from the run's latest checkpoint, after its last whole epoch."""
        path = Path(self.args.ckpt or self.output_dir / "latest_ckpt.pth")
        state = load_checkpoint(path)
        if "training" not in state:
            raise UserError(
                f"{path}: cannot be resumed, it is not a checkpoint of a run here; start from it with -c alone"
            )
        training = state["training"]
        loaded = load_weights(model, training["model"])
        if not loaded.complete:
            raise UserError(
                f"{path}: does not fit {self.exp.exp_name}: {loaded}; resume with the exp file and fields of its run"
            )
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(training["scaler"])
        if self.ema_model is not None:
            self.ema_model.ema.load_state_dict(state["model"])
            self.ema_model.updates = training["ema_updates"]
        self.best_ap, self.best_epoch = state["best_ap"], training["best_epoch"]
        self.history = training["history"]
        self.input_size = training["input_size"]
        self.start_epoch = self.args.start_epoch - 1 if self.args.start_epoch else state["start_epoch"]
        logger.info(f"resuming {path} after epoch {self.start_epoch}")

    # ---------------- details ---------------- #

    @property
    def progress_in_iter(self) -> int:
        """Iterations done before this one, over all epochs."""
        return self.epoch * self.max_iter + self.iter

    def _choose_device(self, name: str | None) -> torch.device:
        """The device asked for; of several CUDA devices the one of this process's rank."""
        device = choose_device(name)
        if device.type == "cuda" and device.index is None:
            device = torch.device("cuda", self.rank % torch.cuda.device_count())
            torch.cuda.set_device(device)
        return device

    def _choose_precision(self) -> torch.dtype | None:
        """The 16-bit type of mixed precision that the flags ask for; None for plain float32."""
        if getattr(self.args, "bf16", False):
            return torch.bfloat16
        return half_dtype(self.device) if self.args.fp16 else None

    def _load_weights(self, model: torch.nn.Module) -> None:
        """Resumes, or starts from the weights of `-c`, or leaves the fresh ones."""
        if self.args.resume:
            self.resume_train(model)
        elif self.args.ckpt is not None:
            loaded = load_weights(model, load_checkpoint(self.args.ckpt)["model"])
            logger.info(f"fine-tuning {self.args.ckpt}: {'every weight loaded' if loaded.complete else loaded}")
            if self.ema_model is not None:
                self.ema_model.ema.load_state_dict(model.state_dict())

    def _average_weights(self, model: torch.nn.Module) -> ModelEMA:
        """YOLOX's EMA of weights, with the experiment's ramp in place of its fixed one."""
        average = ModelEMA(model)
        average.decay = lambda updates: self.exp.ema_decay * (1 - math.exp(-updates / self.exp.ema_ramp))
        return average

    def _wrap(self, model: torch.nn.Module) -> torch.nn.Module:
        if not self.is_distributed:
            return model
        return DistributedDataParallel(model, device_ids=[self.device] if self.device.type == "cuda" else None)

    def _check_finite(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise UserError(
                f"the loss became {loss} in epoch {self.epoch + 1}, iteration {self.iter + 1}: lower basic_lr_per_img, "
                f"train without --fp16, or check the data with tools/prepare_dataset.py check"
            )


def _plain(model: torch.nn.Module) -> Any:
    """The network itself, without the wrapper of distributed training."""
    return model.module if isinstance(model, DistributedDataParallel) else model
