"""The training loop, with the hooks of YOLOX's `Trainer`, on CUDA, Apple MPS and the CPU, in one process or several."""

import math
import random
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import torch
from loguru import logger
from torch import Tensor, nn
from yolox.models import YOLOX
from yolox.utils import get_model_info, get_rank, get_world_size, synchronize

from yolox_gssam.common.checkpoint import load_weights
from yolox_gssam.common.device import autocast, describe_device, half_dtype
from yolox_gssam.common.errors import UserError
from yolox_gssam.common.stop import Stopped
from yolox_gssam.common.text import printable
from yolox_gssam.engine.averaging import AveragedWeights
from yolox_gssam.engine.fine_tuning import frozen_state, hold_frozen, load_start
from yolox_gssam.engine.history import Display, Row, plot_curves, write_csv
from yolox_gssam.engine.identity import identify
from yolox_gssam.engine.launch import choose_own_device, from_first, share_buffers, unwrapped, wrapped
from yolox_gssam.engine.protocol import Experiment
from yolox_gssam.engine.run import BEST, LATEST, SAVE_EVERY_MINUTES, Run, seed_everything
from yolox_gssam.engine.step import PlainStep, StaticStep
from yolox_gssam.engine.training_data import TrainingData

# What is averaged over the steps of an epoch.
AVERAGED = ("total_loss", "iou_loss", "conf_loss", "cls_loss", "l1_loss", "num_fg", "grad_norm")
MOST_SKIPPED_IN_A_ROW = 20


class Trainer:
    """Trains an experiment: epochs of warm-up cosine with EMA of weights, each followed by a validation.

    Writes to `exp.output_dir / args.experiment_name`: checkpoints as of `Run`, `history.csv`, `curves.png`,
    `train_log.txt` and `tensorboard/`.

    A run that ends at any moment, by its own fault or another's, goes on with `--resume` as if nothing had happened: on
    the CPU in float32 with the same number of threads and processes, to the bit.

    Args:
        args: as tools/train.py or YOLOX's own parse them.

    Raises:
        UserError: flags that do not fit the device.
    """

    def __init__(self, exp: Experiment, args: Any) -> None:
        self.exp = exp
        self.args = args
        self.rank = get_rank()
        self.is_distributed = get_world_size() > 1
        self.device = choose_own_device(getattr(args, "device", None))
        self.amp_dtype = half_dtype(self.device) if args.fp16 else None
        if getattr(args, "bf16", False):
            self.amp_dtype = torch.bfloat16
        self.clip_grad_norm: float | None = getattr(args, "clip_grad_norm", None)
        self.force = bool(getattr(args, "force", False))
        self.is_static = bool(getattr(args, "cuda_graph", False))
        if self.is_static and (self.device.type != "cuda" or self.is_distributed or self.amp_dtype == torch.float16):
            raise UserError("--cuda-graph: is for one process on CUDA, in float32 or with --bf16; leave it out")
        self.max_epoch = exp.max_epoch
        self.epoch = 0
        # Of the next batch: the training size, or another one of multiscale_range.
        self.input_size = exp.training_size
        self.output_dir = Path(exp.output_dir, args.experiment_name or exp.exp_name)
        minutes = getattr(args, "save_every_minutes", SAVE_EVERY_MINUTES)
        otherwise = "start anew from its weights with -c alone"
        self.run = Run(self.output_dir, self.device, self.amp_dtype, minutes, self._state, otherwise)

    def train(self) -> None:
        """Trains to the last epoch, or until `patience` epochs brought nothing better.

        Raises:
            UserError: what a user can mend: bad fields, data that cannot be read or changed, too little memory, losses
                that are not finite, another process of the run that ended.
            Stopped: after Ctrl-C or SIGTERM, when all is saved.
        """
        with self.run.opened():
            try:
                with self.run.stop.interrupts():
                    self.before_train()
            except Stopped:
                logger.warning("stopped before the first step: there is nothing new to save; go on with --resume")
                raise
            try:
                self.train_in_epoch()
            finally:
                self.after_train()

    def train_in_epoch(self) -> None:
        progress = self.run.progress
        for epoch in range(len(progress.history), self.max_epoch):
            if 0 < self.exp.patience <= epoch - progress.best_epoch:
                logger.info(f"no better AP for {self.exp.patience} epochs: stopping early")
                break
            self.epoch = epoch
            self.run.stop_if_asked()
            self.before_epoch()
            self.train_in_iter()
            self.after_epoch()

    def train_in_iter(self) -> None:
        for images, targets in self.run.timed(self.train_loader):
            self.iter = self.run.progress.iterations_done
            self.before_iter()
            self.train_one_iter(images, targets)
            self.after_iter()

    # ---------------- the hooks ---------------- #

    def before_train(self) -> None:
        # The same weights and the same sizes in every process and in every run of this seed.
        seed_everything(self.exp.run_seed)
        model = self.exp.get_model()
        logger.info(
            f"{self.exp.exp_name} on {describe_device(self.device)}, {get_model_info(model, self.exp.test_size)}"
        )
        logger.info(f"seed {self.exp.run_seed}, fields: {self.exp.fields()}")
        # channels_last: 1.2 to 1.5 times faster on a CPU (YOLOX-nano, 416 x 416), and what tensor cores want on a GPU.
        model.to(self.device).to(memory_format=torch.channels_last)
        self.optimizer = self.exp.get_optimizer(self.args.batch_size)
        self.data = TrainingData(self.exp, self.args.batch_size, self.args.cache, self.device)
        self.train_loader = self.data.loader
        self.max_iter = self.run.iterations_per_epoch = len(self.train_loader)
        self.run.identity = identify(
            self.exp, self.data.hash(), self.args.batch_size, self.clip_grad_norm, self.amp_dtype
        )
        rate = self.exp.basic_lr_per_img * self.args.batch_size
        self.lr_scheduler = self.exp.get_lr_scheduler(rate, self.max_iter)
        if self.args.ckpt is not None and not self.args.resume:
            load_start(model, self.args.ckpt, self.force)
        frozen = frozen_state(model, self.exp.freeze_norm)
        self.ema_model = AveragedWeights(model, self.exp.ema_decay, self.exp.ema_ramp, frozen) if self.exp.ema else None
        if self.args.resume:
            path = Path(self.args.ckpt) if self.args.ckpt else None
            self.run.resume(path, lambda state: self._restore(model, state), self.force)
            if self.args.start_epoch:
                self.run.progress.back_to(self.args.start_epoch)
        for module in model.modules():
            if isinstance(module, nn.SiLU):  # in place it first copies what its gradient needs: 5 % of a forward pass
                module.inplace = False
        self.model = wrapped(model, self.device)
        progress = self.run.progress
        kind = StaticStep if self.is_static else partial(PlainStep, scaler=self.run.scaler)
        self.step = kind(
            self.model,
            self.optimizer,
            self.ema_model,
            limit=math.inf if self.clip_grad_norm is None else self.clip_grad_norm,
            names=AVERAGED,
            precision=lambda: autocast(self.device, self.amp_dtype),
            skipped_in_a_row=progress.skipped_in_a_row,
        )
        done = len(progress.history) * self.max_iter + progress.iterations_done
        # In a log the bar says nothing before a tenth of the run is done.
        logger.info(
            f"training from epoch {len(progress.history) + 1}, step {progress.iterations_done + 1}, to the end of "
            f"epoch {self.max_epoch}; {self.max_iter} steps per epoch"
        )
        folder = self.output_dir / "tensorboard" if self.rank == 0 else None
        self.display = Display(folder, self.max_epoch, self.max_iter, self.args.batch_size, done)

    def before_epoch(self) -> None:
        first_without = max(0, self.max_epoch - self.exp.no_aug_epochs)
        without_mosaic = self.epoch >= first_without
        if self.epoch == first_without:
            logger.info(f"epoch {self.epoch + 1}: from here on without mosaic and mixup, with the L1 loss")
        self.data.begin_epoch(self.epoch, mosaic=not without_mosaic, first_batch=self.run.progress.iterations_done)
        unwrapped(self.model).head.use_l1 = without_mosaic
        self._set_training_mode()

    def before_iter(self) -> None:
        pass

    def train_one_iter(self, images: Tensor, targets: Tensor) -> None:
        """One step on images (B, 3, H, W) uint8 and targets (B, n, 5); none where loss or gradient is not finite."""
        images = images.to(self.device, non_blocking=True).float().contiguous(memory_format=torch.channels_last)
        targets = targets.to(self.device, non_blocking=True)
        images, targets = self.exp.preprocess(images, targets, self.input_size)
        self.step.run(images, targets, self.lr)
        lr = self.lr_scheduler.update_lr(self.progress_in_iter + 1)
        for group in self.optimizer.param_groups:
            group["lr"] = lr

    def after_iter(self) -> None:
        self.run.progress.iterations_done = self.iter + 1
        self.display.advance()
        is_printed = (self.progress_in_iter + 1) % self.exp.print_interval == 0
        # A static step is not waited for; at the epoch's end it is, so that the time of training is known.
        if not self.is_static or is_printed or self.iter + 1 == self.max_iter:
            self._collect()
        if is_printed:
            values = {**self._means(), "lr": self.lr}
            self.display.show_step(self.progress_in_iter + 1, values, self.run.progress.best)
        if self.exp.multiscale_range and (self.progress_in_iter + 1) % 10 == 0:
            # A function of the iteration alone, so that every process and a resumed run draw the same size.
            random.seed(f"{self.exp.run_seed} {self.progress_in_iter}")
            self.input_size = self.exp.random_resize(self.train_loader, self.epoch, self.rank, self.is_distributed)
        if self.run.progress.skipped_in_a_row >= MOST_SKIPPED_IN_A_ROW:
            self._give_up()
        self.run.after_step()

    def after_epoch(self) -> None:
        progress = self.run.progress
        row: Row = {
            "epoch": self.epoch + 1,
            "images_per_second": self.max_iter * self.args.batch_size / progress.seconds,
            "data_share": progress.data_seconds / progress.seconds,
            "lr": self.lr,
            **self._means(),
            "skipped_steps": progress.skipped,
            "val_ap": math.nan,
            "val_ap50": math.nan,
        }
        is_validated = (self.epoch + 1) % self.exp.eval_interval == 0 or self.epoch + 1 == self.max_epoch
        if is_validated:
            row["val_ap"], row["val_ap50"] = self._validate(row)
        # From here on the epoch is done.
        if progress.end_epoch(row, row["val_ap"] if is_validated else None):
            self.run.save(BEST)
        if self.exp.save_history_ckpt:
            self.run.save(f"epoch_{self.epoch + 1}_ckpt.pth")
        if self.rank == 0:
            write_csv(self.output_dir / "history.csv", progress.history)
        # The last of the files: where the run ends before it is written, the epoch is done again and so are they.
        self.run.save()
        synchronize()

    def after_train(self) -> None:
        progress = self.run.progress
        self.display.close()
        if self.rank == 0 and progress.history:
            plot_curves(self.output_dir / "curves.png", progress.history, self.exp.exp_name)
            logger.info(
                f"best mAP50:95 {100 * progress.best:.2f} % after epoch {progress.best_epoch}; all in {self.output_dir}"
            )

    def evaluate(self) -> tuple[float, float, str]:
        """Validates the averaged weights; returns mAP50:95 and AP50, the same in every process, and a line of both."""
        model = self.trained_model
        share_buffers(model)
        result = self.exp.eval(model, self.data.evaluator, self.is_distributed)
        if self.ema_model is None:
            self._set_training_mode()
        ap, ap50, summary = from_first(result, self.device)
        return ap, ap50, summary

    # ---------------- details ---------------- #

    @property
    def trained_model(self) -> YOLOX:
        """The network to use: the averaged weights where there are any."""
        model: YOLOX = unwrapped(self.model) if self.ema_model is None else self.ema_model.ema
        return model

    @property
    def progress_in_iter(self) -> int:
        """Iterations done before this one, over all epochs."""
        return self.epoch * self.max_iter + self.iter

    @property
    def lr(self) -> float:
        return float(self.optimizer.param_groups[0]["lr"])

    def _state(self) -> dict[str, Any]:
        """YOLOX's entries of a checkpoint, what says what the weights are, and what `_restore` needs."""
        self._collect()
        return {
            "model": self.trained_model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "start_epoch": len(self.run.progress.history),
            "best_ap": float(self.run.progress.best),
            "class_names": list(self.exp.class_names),
            "exp": self.exp.stored_fields(),
            "training": {
                "model": unwrapped(self.model).state_dict(),
                "ema_updates": 0 if self.ema_model is None else self.ema_model.updates,
                "input_size": self.input_size,
            },
        }

    def _restore(self, model: nn.Module, state: dict[str, Any]) -> None:
        training = state["training"]
        for target, weights in ((model, training["model"]), (self.ema_model and self.ema_model.ema, state["model"])):
            loaded = load_weights(target, weights) if target is not None else None
            if loaded is not None and not loaded.complete:
                raise UserError(
                    f"the checkpoint does not fit {self.exp.exp_name}: {loaded}; start from it with -c alone"
                )
        if self.ema_model is not None:
            self.ema_model.updates = training["ema_updates"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.input_size = tuple(training["input_size"])

    def _set_training_mode(self) -> None:
        self.model.train()
        hold_frozen(self.model, self.exp.freeze_norm)

    def _collect(self) -> None:
        """Adds up what the last steps left behind, and says which were skipped."""
        taken = self.step.collect()
        self.run.progress.add(taken.sums)
        self.run.progress.skipped += taken.skipped
        self.run.progress.skipped_in_a_row = taken.skipped_in_a_row
        if taken.skipped:
            logger.warning(f"epoch {self.epoch + 1}, iteration {self.iter + 1}: {taken.fault}")

    def _means(self) -> dict[str, float]:
        """Means over the steps of this epoch; NaN where every one was skipped."""
        progress = self.run.progress
        steps = progress.iterations_done - progress.skipped
        return {name: progress.sums[name] / steps if steps else math.nan for name in AVERAGED}

    def _give_up(self) -> NoReturn:
        """Saves and ends the run: too many steps in a row were skipped."""
        self.run.save()
        raise UserError(
            f"epoch {self.epoch + 1}, iteration {self.iter + 1}: the loss or its gradient was not finite "
            f"{self.run.progress.skipped_in_a_row} times in a row; the weights from before that are in "
            f"{self.output_dir / LATEST}; lower basic_lr_per_img, set --clip-grad-norm 10, train without --fp16, or "
            f"check the data with tools/prepare_dataset.py check; images of this batch: "
            f"{', '.join(map(printable, self.data.image_names(self.iter)))}"
        )

    def _validate(self, row: Row) -> tuple[float, float]:
        """mAP50:95 and AP50 of the averaged weights, logged."""
        with self.run.interruptible():
            ap, ap50, summary = self.evaluate()
        speed = f"{row['images_per_second']:.1f} img/s, {row['data_share']:.1%} of the time waiting for data"
        logger.info(f"epoch {self.epoch + 1}: loss {row['total_loss']:.2f}, {speed}, {summary}")
        self.display.add("val", {"COCOAP50_95": ap, "COCOAP50": ap50}, self.epoch + 1)
        return ap, ap50
