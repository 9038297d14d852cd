"""The training loop, with the hooks of YOLOX's `Trainer`, on CUDA, Apple MPS and the CPU, in one process or several."""

import copy
import math
import random
import signal
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

import torch
from loguru import logger
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel
from torch.utils.tensorboard import SummaryWriter
from yolox.models import YOLOX
from yolox.utils import get_model_info, get_rank, get_world_size, synchronize

from yolox_gssam.common.checkpoint import load_checkpoint, load_weights, save_checkpoint
from yolox_gssam.common.device import autocast, choose_device, describe_device, half_dtype
from yolox_gssam.common.errors import UserError
from yolox_gssam.common.log import setup_log
from yolox_gssam.common.memory import keep_freed_memory
from yolox_gssam.common.progress import progress_bar
from yolox_gssam.common.stop import Stopped, StopRequest
from yolox_gssam.common.text import printable
from yolox_gssam.data.cache import CacheKind
from yolox_gssam.data.snapshot import Snapshot
from yolox_gssam.data.training import TrainingSet
from yolox_gssam.engine import resume
from yolox_gssam.engine.averaging import AveragedWeights
from yolox_gssam.engine.faults import training_faults
from yolox_gssam.engine.freezing import frozen_state, hold_frozen
from yolox_gssam.engine.history import Row, plot_curves, write_csv
from yolox_gssam.engine.launch import local_rank
from yolox_gssam.engine.static_step import StaticStep

if TYPE_CHECKING:
    from yolox_gssam.experiment.base import DroneExp

LOSSES = ("total_loss", "iou_loss", "conf_loss", "cls_loss", "l1_loss", "num_fg")
# What is averaged over the steps of an epoch.
AVERAGED = (*LOSSES, "grad_norm")
MOST_SKIPPED_IN_A_ROW = 20
# Of a network's tensors, that must fit for a start from other weights: fewer are a start from scratch.
LEAST_SHARE = 0.5
SAVE_EVERY_MINUTES = 10.0


class Trainer:
    """Trains an experiment: epochs of warm-up cosine with EMA of weights, each followed by a validation.

    Writes to `exp.output_dir / args.experiment_name`: `latest_ckpt.pth` and the one before it, `previous_ckpt.pth`,
    `best_ckpt.pth`, `history.csv`, `curves.png`, `train_log.txt` and `tensorboard/`.

    A run that ends at any moment, by its own fault or another's, goes on with `--resume` as if nothing had happened: on
    the CPU in float32 with the same number of threads and processes, to the bit.

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
        if self.device.type == "cpu":
            keep_freed_memory()
        self.amp_dtype = self._choose_precision()
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.amp_dtype == torch.float16)
        self.clip_grad_norm: float | None = getattr(args, "clip_grad_norm", None)
        self.is_static = self._choose_static()
        self.save_every_seconds = 60 * getattr(args, "save_every_minutes", SAVE_EVERY_MINUTES)
        self.max_epoch = exp.max_epoch
        self.input_size = exp.training_size
        self.start_epoch = 0
        self.best_ap = 0.0
        self.best_epoch = 0
        self.history: list[Row] = []
        self.epoch = 0
        # Iterations of this epoch that are done, and what they left behind.
        self.iterations_done = 0
        self.epoch_sums = dict.fromkeys(AVERAGED, 0.0)
        self.epoch_seconds = 0.0
        self.data_seconds = 0.0
        self.skipped_in_epoch = 0
        self.skipped_in_a_row = 0
        self.stop = StopRequest()
        self.output_dir = Path(exp.output_dir, args.experiment_name or exp.exp_name)
        setup_log(self.output_dir / "train_log.txt" if self.rank == 0 else None, quiet=self.rank != 0)

    def train(self) -> None:
        """Trains to the last epoch, or until `patience` epochs brought nothing better.

        Raises:
            UserError: what a user can mend: bad fields, data that cannot be read or changed, too little memory, losses
                that are not finite, another process of the run that ended.
            Stopped: after Ctrl-C or SIGTERM, when all is saved.
        """
        with self.stop, training_faults(self.device):
            try:
                with self.stop.interrupts():
                    self.before_train()
            except Stopped:
                logger.warning("stopped before the first step: there is nothing new to save; go on with --resume")
                raise
            try:
                self.train_in_epoch()
            finally:
                self.after_train()

    def train_in_epoch(self) -> None:
        for epoch in range(self.start_epoch, self.max_epoch):
            if 0 < self.exp.patience <= epoch - self.best_epoch:
                logger.info(f"no better AP for {self.exp.patience} epochs: stopping early")
                break
            self.epoch = epoch
            if self._anywhere(bool(self.stop)):
                self._save_and_stop()
            self.before_epoch()
            self.train_in_iter()
            self.after_epoch()

    def train_in_iter(self) -> None:
        for images, targets in self._timed_batches():
            self.iter = self.iterations_done
            self.before_iter()
            self.train_one_iter(images, targets)
            self.after_iter()

    # ---------------- the hooks ---------------- #

    def before_train(self) -> None:
        # The same weights and the same sizes in every process and in every run of this seed.
        resume.seed_everything(self.exp.run_seed)
        model = self.exp.get_model()
        logger.info(
            f"{self.exp.exp_name} on {describe_device(self.device)}, {get_model_info(model, self.exp.test_size)}"
        )
        logger.info(f"seed {self.exp.run_seed}, fields: {self.exp.fields()}")
        # channels_last: 1.2 to 1.5 times faster on a CPU (YOLOX-nano, 416 x 416), and what tensor cores want on a GPU.
        model.to(self.device).to(memory_format=torch.channels_last)
        self.optimizer = self.exp.get_optimizer(self.args.batch_size)
        # YOLOX's own tool says True or False.
        cache: CacheKind | None = "ram" if self.args.cache is True else self.args.cache or None
        self.train_loader, self.sampler = self.exp.get_training_data(self.args.batch_size, cache, self.device)
        self.max_iter = len(self.train_loader)
        self.evaluator = self.exp.get_evaluator(self.args.batch_size, self.is_distributed)
        if not hasattr(self.evaluator, "split"):
            raise UserError(
                f"{self.exp.exp_name}: get_evaluator gives a {type(self.evaluator).__name__}; give a DroneEvaluator "
                f"(of yolox_gssam.engine.evaluator), or leave get_evaluator out"
            )
        self.training_set = cast(TrainingSet, self.train_loader.dataset)
        self.snapshots = [Snapshot(part) for part in (self.training_set.split, self.evaluator.split)]
        self.training_set.snapshot = self.snapshots[0]
        self._describe_data()
        self.lr_scheduler = self._schedule(self.exp)
        frozen = frozen_state(model, self.exp.freeze_norm)
        self.ema_model = AveragedWeights(model, self.exp.ema_decay, self.exp.ema_ramp, frozen) if self.exp.ema else None
        self.identity = self._identify()
        self._load_weights(model)
        _compute_activations_apart(model)
        self.model = self._wrap(model)
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.buffers = [b for b in model.buffers() if b.numel()]
        self.saved_buffers = [b.clone() for b in self.buffers]
        self.static_step = self._make_static_step(model) if self.is_static else None
        done = self.start_epoch * self.max_iter + self.iterations_done
        folder = str(self.output_dir / "tensorboard")
        self.writer = SummaryWriter(folder, purge_step=done + 1) if self.rank == 0 else None
        self.last_save = time.monotonic()
        # In a log the bar says nothing before a tenth of the run is done.
        logger.info(
            f"training from epoch {self.start_epoch + 1}, step {self.iterations_done + 1}, to the end of epoch "
            f"{self.max_epoch}; {self.max_iter} steps per epoch"
        )
        self.bar = progress_bar(
            description="training",
            unit="img",
            total=self.max_epoch * self.max_iter * self.args.batch_size,
            initial=done * self.args.batch_size,
            disable=self.rank != 0,
        )

    def before_epoch(self) -> None:
        without_mosaic = self._is_without_mosaic(self.epoch, self.max_epoch)
        if without_mosaic and (self.epoch == self.start_epoch or self.epoch == self.max_epoch - self.exp.no_aug_epochs):
            logger.info(f"epoch {self.epoch + 1}: from here on without mosaic and mixup, with the L1 loss")
        for snapshot in self.snapshots:
            snapshot.check_annotations()
        self.sampler.set_epoch(self.epoch, mosaic=not without_mosaic, first_batch=self.iterations_done)
        _plain(self.model).head.use_l1 = without_mosaic
        self._set_training_mode(self.model)
        self.epoch_started = time.perf_counter() - self.epoch_seconds

    def before_iter(self) -> None:
        pass

    def train_one_iter(self, images: Tensor, targets: Tensor) -> None:
        """One step on images (B, 3, H, W) uint8 and targets (B, n, 5); none where loss or gradient is not finite."""
        images = images.to(self.device, non_blocking=True).float().contiguous(memory_format=torch.channels_last)
        targets = targets.to(self.device, non_blocking=True)
        images, targets = self.exp.preprocess(images, targets, self.input_size)
        if self.static_step is not None:
            self.static_step.run(images, targets, self.lr)
        else:
            self._take_step(images, targets)
        lr = self.lr_scheduler.update_lr(self.progress_in_iter + 1)
        for group in self.optimizer.param_groups:
            group["lr"] = lr

    def _take_step(self, images: Tensor, targets: Tensor) -> None:
        """One step, whose losses are looked at before the weights change."""
        torch._foreach_copy_(self.saved_buffers, self.buffers)
        with autocast(self.device, self.amp_dtype):
            outputs = self.model(images, targets)
        self.optimizer.zero_grad()
        self.scaler.scale(outputs["total_loss"]).backward()
        self.scaler.unscale_(self.optimizer)
        limit = math.inf if self.clip_grad_norm is None else self.clip_grad_norm
        outputs["grad_norm"] = nn.utils.clip_grad_norm_(self.parameters, limit)
        # Together, so that the device is waited for once.
        tensors = [torch.as_tensor(outputs[name], device=self.device).detach().float() for name in AVERAGED]
        values = dict(zip(AVERAGED, torch.stack(tensors).tolist(), strict=True))
        finite = math.isfinite(values["total_loss"]) and math.isfinite(values["grad_norm"])
        if self._anywhere(not finite):
            self._skip_step(values)
        else:
            self.scaler.step(self.optimizer)
            if self.ema_model is not None:
                self.ema_model.update()
            self.skipped_in_a_row = 0
            for name in AVERAGED:
                self.epoch_sums[name] += values[name]
        self.scaler.update()

    def _collect(self) -> None:
        """Fetches what static steps left on the device: sums of the losses, and how many steps were skipped."""
        if self.static_step is None:
            return
        sums, skipped, self.skipped_in_a_row = self.static_step.collect()
        self.skipped_in_epoch += skipped
        for name, value in sums.items():
            self.epoch_sums[name] += value
        if skipped:
            logger.warning(f"epoch {self.epoch + 1}: {skipped} steps whose loss was not finite were skipped")

    def after_iter(self) -> None:
        self.iterations_done = self.iter + 1
        self.bar.update(self.args.batch_size)
        if (self.progress_in_iter + 1) % self.exp.print_interval == 0:
            self._collect()
            means = self._epoch_means()
            self.bar.set_description(f"epoch {self.epoch + 1}/{self.max_epoch}", refresh=False)
            self.bar.set_postfix(loss=f"{means['total_loss']:.2f}", best_AP=f"{100 * self.best_ap:.1f}", refresh=False)
            if self.writer is not None:
                for name, value in means.items():
                    self.writer.add_scalar(f"train/{name}", value, self.progress_in_iter + 1)
                self.writer.add_scalar("train/lr", self.lr, self.progress_in_iter + 1)
        if self.exp.multiscale_range and (self.progress_in_iter + 1) % 10 == 0:
            # A function of the iteration alone, so that every process and a resumed run draw the same size.
            random.seed(f"{self.exp.run_seed} {self.progress_in_iter}")
            self.input_size = self.exp.random_resize(self.train_loader, self.epoch, self.rank, self.is_distributed)
        if self.skipped_in_a_row >= MOST_SKIPPED_IN_A_ROW:
            self._give_up()
        if self._anywhere(bool(self.stop)):
            self._save_and_stop()
        if time.monotonic() - self.last_save > self.save_every_seconds:
            self.save_ckpt("latest")

    def after_epoch(self) -> None:
        self._collect()
        self.epoch_seconds = time.perf_counter() - self.epoch_started
        row: Row = {
            "epoch": self.epoch + 1,
            "images_per_second": self.max_iter * self.args.batch_size / self.epoch_seconds,
            "data_share": self.data_seconds / self.epoch_seconds,
            "lr": self.lr,
            **self._epoch_means(),
            "skipped_steps": self.skipped_in_epoch,
            "val_ap": math.nan,
            "val_ap50": math.nan,
        }
        better = False
        if self._is_validated(self.epoch, self.max_epoch):
            row["val_ap"], row["val_ap50"] = self._validate(row)
            better = row["val_ap"] > self.best_ap or not self.best_epoch
        # From here on the epoch is done.
        self.history.append(row)
        self.iterations_done, self.epoch_seconds, self.data_seconds = 0, 0.0, 0.0
        self.skipped_in_epoch = 0
        self.epoch_sums = dict.fromkeys(AVERAGED, 0.0)
        if better:
            self.best_ap, self.best_epoch = row["val_ap"], self.epoch + 1
            self.save_ckpt("best")
        if self.exp.save_history_ckpt:
            self.save_ckpt(f"epoch_{self.epoch + 1}")
        if self.rank == 0:
            write_csv(self.output_dir / "history.csv", self.history)
        # The last of the files: where the run ends before it is written, the epoch is done again and so are they.
        self.save_ckpt("latest")
        synchronize()

    def after_train(self) -> None:
        self.bar.close()
        if self.writer is not None:
            self.writer.close()
        if self.rank == 0 and self.history:
            plot_curves(self.output_dir / "curves.png", self.history, self.exp.exp_name)
            logger.info(
                f"best mAP50:95 {100 * self.best_ap:.2f} % after epoch {self.best_epoch}; all in {self.output_dir}"
            )

    def evaluate(self) -> tuple[float, float, str]:
        """Validates the averaged weights; returns mAP50:95 and AP50, the same in every process, and a line of both."""
        model = self.trained_model
        if self.is_distributed:
            # Each process counted BatchNorm's statistics from its own images; those of the first one are the run's.
            for buffer in model.buffers():
                dist.broadcast(buffer, src=0)
        result = self.exp.eval(model, self.evaluator, self.is_distributed)
        if self.ema_model is None:
            self._set_training_mode(self.model)
        if self.is_distributed:
            shared = [result]
            dist.broadcast_object_list(shared, src=0, device=self.device)
            result = shared[0]
        ap, ap50, summary = result
        return ap, ap50, summary

    def save_ckpt(self, ckpt_name: str) -> None:
        """Writes `<ckpt_name>_ckpt.pth`: YOLOX's entries, what says what the weights are, and what a resume needs."""
        if self.rank != 0:
            return
        self._collect()
        model = _plain(self.model)
        state = {
            "model": self.trained_model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "start_epoch": len(self.history),
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
                "iterations_done": self.iterations_done,
                "epoch_sums": self.epoch_sums,
                "epoch_seconds": time.perf_counter() - self.epoch_started if self.iterations_done else 0.0,
                "data_seconds": self.data_seconds,
                "skipped_in_epoch": self.skipped_in_epoch,
                "skipped_in_a_row": self.skipped_in_a_row,
                "random_states": resume.random_states(),
                "seed": self.exp.run_seed,
                "max_epoch": self.max_epoch,
                "threads": torch.get_num_threads(),
                "identity": asdict(self.identity),
            },
        }
        path = self.output_dir / f"{ckpt_name}_ckpt.pth"
        save_checkpoint(path, state, keep_as=self.output_dir / resume.PREVIOUS if path.name == resume.LATEST else None)
        self.last_save = time.monotonic()

    def resume_train(self, model: nn.Module) -> None:
        """Goes on from `-c`, or from the run's newest checkpoint that loads, at the iteration where it was saved."""
        if self.args.ckpt:
            path = Path(self.args.ckpt)
            state = load_checkpoint(path)
            resume.require_resumable(state, path)
        else:
            path, state = resume.find_checkpoint(self.output_dir)
        training = state["training"]
        try:
            self._require_same_run(training, path)
            self._restore(model, state)
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            if isinstance(error, UserError):
                raise
            raise UserError(
                f"{path}: cannot be resumed, it is damaged or of another version ({error!r:.200}); start from its "
                f"weights with -c alone"
            ) from error
        if self.args.start_epoch:
            self._start_at(self.args.start_epoch)
        where = f" and {self.iterations_done} iterations" if self.iterations_done else ""
        logger.info(f"resuming {path} after epoch {self.start_epoch}{where}")

    # ---------------- details ---------------- #

    @property
    def trained_model(self) -> YOLOX:
        """The network to use: the averaged weights where there are any."""
        model: YOLOX = _plain(self.model) if self.ema_model is None else self.ema_model.ema
        return model

    @property
    def progress_in_iter(self) -> int:
        """Iterations done before this one, over all epochs."""
        return self.epoch * self.max_iter + self.iter

    @property
    def lr(self) -> float:
        """The next step's learning rate."""
        return float(self.optimizer.param_groups[0]["lr"])

    def _choose_device(self, name: str | None) -> torch.device:
        """The device asked for; of several CUDA devices the one of this process on its machine."""
        device = choose_device(name)
        if device.type == "cuda" and device.index is None:
            device = torch.device("cuda", local_rank() % torch.cuda.device_count())
            torch.cuda.set_device(device)
        return device

    def _choose_precision(self) -> torch.dtype | None:
        """The 16-bit type of mixed precision that the flags ask for; None for plain float32."""
        if getattr(self.args, "bf16", False):
            return torch.bfloat16
        return half_dtype(self.device) if self.args.fp16 else None

    def _choose_static(self) -> bool:
        """Whether the steps are recorded as CUDA graphs.

        Raises:
            UserError: asked for where it cannot be.
        """
        if not getattr(self.args, "cuda_graph", False):
            return False
        if self.device.type != "cuda" or self.is_distributed or self.amp_dtype == torch.float16:
            raise UserError("--cuda-graph: is for one process on CUDA, in float32 or with --bf16; leave it out")
        return True

    def _make_static_step(self, model: YOLOX) -> StaticStep:
        model.head.static_shapes = True
        limit = math.inf if self.clip_grad_norm is None else self.clip_grad_norm
        return StaticStep(
            model, self.optimizer, self.ema_model, limit, AVERAGED, lambda: autocast(self.device, self.amp_dtype)
        )

    def _schedule(self, exp: "DroneExp") -> Any:
        return exp.get_lr_scheduler(exp.basic_lr_per_img * self.args.batch_size, self.max_iter)

    def _is_without_mosaic(self, epoch: int, max_epoch: int) -> bool:
        return epoch >= max_epoch - self.exp.no_aug_epochs

    def _is_validated(self, epoch: int, max_epoch: int) -> bool:
        return (epoch + 1) % self.exp.eval_interval == 0 or epoch + 1 == max_epoch

    def _set_training_mode(self, model: nn.Module) -> None:
        model.train()
        hold_frozen(model, self.exp.freeze_norm)

    def _timed_batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of this epoch; the time that this process waits for them is added up."""
        before = time.perf_counter()
        for batch in self.train_loader:
            self.data_seconds += time.perf_counter() - before
            yield batch
            before = time.perf_counter()
        self.data_seconds += time.perf_counter() - before

    def _epoch_means(self) -> dict[str, float]:
        """Means over the steps of this epoch; NaN where every one was skipped."""
        steps = self.iterations_done - self.skipped_in_epoch
        return {name: total / steps if steps else math.nan for name, total in self.epoch_sums.items()}

    def _describe_data(self) -> None:
        """Says before the first epoch what of the data will surprise later.

        Raises:
            UserError: no training image has an object.
        """
        split = self.training_set.split
        counts = [0] * len(split.classes)
        for image in split.images:
            for label in image.labels:
                counts[int(label)] += 1
        if not sum(counts):
            raise UserError(f"{split.path}: not one of its {len(split.images)} images has an object; label some")
        empty = sum(not len(image.labels) for image in split.images)
        logger.info(f"{len(split.images)} training images with {sum(counts)} objects, {empty} without any (negatives)")
        missing = [name for name, count in zip(split.classes, counts, strict=True) if not count]
        if missing:
            logger.warning(f"{split.path}: no object of class {', '.join(missing)}: the network cannot learn it")

    def _identify(self) -> resume.RunIdentity:
        return resume.RunIdentity(
            experiment=self.exp.exp_name,
            source_sha256=resume.source_hash(self.exp),
            fields=self.exp.fields(),
            dataset_hash=resume.joint_hash(snapshot.hash() for snapshot in self.snapshots),
            class_names=list(self.exp.class_names),
            batch_size=self.args.batch_size,
            clip_grad_norm=self.clip_grad_norm,
            precision=str(self.amp_dtype or torch.float32).removeprefix("torch."),
        )

    def _load_weights(self, model: nn.Module) -> None:
        """Resumes, or starts from the weights of `-c`, or leaves the fresh ones."""
        if self.args.resume:
            self.resume_train(model)
        elif self.args.ckpt is not None:
            loaded = load_weights(model, load_checkpoint(self.args.ckpt)["model"])
            if loaded.share < LEAST_SHARE and not getattr(self.args, "force", False):
                raise UserError(
                    f"{self.args.ckpt}: {len(loaded.fitting)} of this network's {len(model.state_dict())} tensors fit, "
                    f"less than half: {loaded}; give the depth, width and attention that it was trained with, or add "
                    f"--force"
                )
            logger.info(f"fine-tuning {self.args.ckpt}: {'every weight loaded' if loaded.complete else loaded}")
            if self.ema_model is not None:
                self.ema_model.ema.load_state_dict(model.state_dict())

    def _require_same_run(self, training: dict[str, Any], path: Path) -> None:
        """Raises UserError where this is another run than the checkpoint's, unless --force."""
        differences = self.identity.differences(training["identity"])
        if differences and not getattr(self.args, "force", False):
            raise UserError(
                f"{path}: of another run: {'; '.join(differences)}; resume with its own settings, start anew from its "
                f"weights with -c alone, or add --force"
            )
        if differences:
            logger.warning(f"--force: going on although {'; '.join(differences)}")
        if training["identity"]["source_sha256"] != self.identity.source_sha256:
            logger.warning("the exp file's text has changed since the run began; its fields have not")
        if self.device.type == "cpu" and training["threads"] != torch.get_num_threads():
            logger.warning(
                f"{training['threads']} threads before, {torch.get_num_threads()} now: sums are taken in another "
                f"order, so the result differs in the last digits"
            )
        if training["max_epoch"] != self.max_epoch and not getattr(self.args, "force", False):
            self._require_same_schedule(training)

    def _require_same_schedule(self, training: dict[str, Any]) -> None:
        """Raises UserError where the iterations done would have been others with the number of epochs asked for now."""
        epochs_done, then, now = len(training["history"]), training["max_epoch"], self.max_epoch
        done = epochs_done * self.max_iter + training["iterations_done"]

        def steps(max_epoch: int) -> list[resume.Step]:
            exp = copy.copy(self.exp)
            exp.max_epoch = max_epoch
            schedule = self._schedule(exp)
            return [
                resume.Step(
                    epoch,
                    schedule.update_lr(iteration + 1),
                    self._is_without_mosaic(epoch, max_epoch),
                    epoch < epochs_done and self._is_validated(epoch, max_epoch),
                )
                for iteration in range(done)
                for epoch in [iteration // self.max_iter]
            ]

        resume.require_same_schedule(steps(then), steps(now), (then, now))

    def _restore(self, model: nn.Module, state: dict[str, Any]) -> None:
        """Puts everything where a checkpoint found it."""
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
        self.scaler.load_state_dict(training["scaler"])
        self.best_ap, self.best_epoch = state["best_ap"], training["best_epoch"]
        self.history = list(training["history"])
        self.input_size = tuple(training["input_size"])
        self.start_epoch = len(self.history)
        self.iterations_done = training["iterations_done"]
        self.epoch_sums = dict(training["epoch_sums"])
        self.epoch_seconds = training["epoch_seconds"]
        self.data_seconds = training["data_seconds"]
        self.skipped_in_epoch = training["skipped_in_epoch"]
        self.skipped_in_a_row = training["skipped_in_a_row"]
        resume.restore_random_states(training["random_states"])

    def _start_at(self, epoch: int) -> None:
        """Goes back to the beginning of an epoch, from 1, with the weights as they are."""
        if not 1 <= epoch <= len(self.history) + 1:
            raise UserError(
                f"-e {epoch}: the run has done {len(self.history)} epochs; choose 1 to {len(self.history) + 1}"
            )
        self.history = self.history[: epoch - 1]
        self.start_epoch = epoch - 1
        self.iterations_done, self.skipped_in_epoch, self.epoch_seconds, self.data_seconds = 0, 0, 0.0, 0.0
        self.epoch_sums = dict.fromkeys(AVERAGED, 0.0)

    def _wrap(self, model: nn.Module) -> nn.Module:
        if not self.is_distributed:
            return model
        return DistributedDataParallel(model, device_ids=[self.device] if self.device.type == "cuda" else None)

    def _anywhere(self, flag: bool) -> bool:
        """Whether the flag is up in any process: they must all do the same."""
        if not self.is_distributed:
            return flag
        shared = torch.tensor(int(flag), device=self.device)
        dist.all_reduce(shared, op=dist.ReduceOp.MAX)
        return bool(shared)

    def _skip_step(self, values: dict[str, float]) -> None:
        """Passes over a step whose loss or gradient is not finite, and leaves the network as it was before."""
        # BatchNorm has counted the activations of this batch already.
        torch._foreach_copy_(self.buffers, self.saved_buffers)
        self.skipped_in_epoch += 1
        self.skipped_in_a_row += 1
        logger.warning(
            f"epoch {self.epoch + 1}, iteration {self.iter + 1}: loss {values['total_loss']:g}, gradient norm "
            f"{values['grad_norm']:g}: step skipped"
        )

    def _give_up(self) -> NoReturn:
        """Saves and ends the run: too many steps in a row were skipped."""
        self.save_ckpt("latest")
        names = {name for request in self.sampler.batch(self.iter) for name in self.training_set.image_names(request)}
        path = self.output_dir / resume.LATEST
        raise UserError(
            f"epoch {self.epoch + 1}, iteration {self.iter + 1}: the loss or its gradient was not finite "
            f"{self.skipped_in_a_row} times in a row; the weights from before that are in {path}; lower "
            f"basic_lr_per_img, set --clip-grad-norm 10, train without --fp16, or check the data with "
            f"tools/prepare_dataset.py check; images of this batch: "
            f"{', '.join(map(printable, sorted(names)))}"
        )

    def _validate(self, row: Row) -> tuple[float, float]:
        """mAP50:95 and AP50 of the averaged weights, logged.

        A signal ends it at once, since it leaves no trace; where several processes share it, after it, all together.
        """
        try:
            with nullcontext() if self.is_distributed else self.stop.interrupts():
                ap, ap50, summary = self.evaluate()
        except Stopped:
            self._save_and_stop()
        speed = f"{row['images_per_second']:.1f} img/s, {row['data_share']:.1%} of the time waiting for data"
        logger.info(f"epoch {self.epoch + 1}: loss {row['total_loss']:.2f}, {speed}, {summary}")
        if self.writer is not None:
            self.writer.add_scalar("val/COCOAP50_95", ap, self.epoch + 1)
            self.writer.add_scalar("val/COCOAP50", ap50, self.epoch + 1)
        return ap, ap50

    def _save_and_stop(self) -> NoReturn:
        """Saves and ends, because of a signal here or in another process."""
        self.save_ckpt("latest")
        number = self.stop.signal_number or signal.SIGTERM
        if self.rank == 0:
            logger.warning(
                f"{signal.Signals(number).name}: saved {self.output_dir / resume.LATEST} in epoch {self.epoch + 1} "
                f"after iteration {self.iterations_done} of {self.max_iter}; go on with --resume"
            )
        raise Stopped(number)


def _plain(model: nn.Module) -> Any:
    """The network itself, without the wrapper of distributed training."""
    return model.module if isinstance(model, DistributedDataParallel) else model


def _compute_activations_apart(model: nn.Module) -> None:
    """Ends YOLOX's SiLU in place: it first copies what its gradient needs, at some 5 % of a forward pass on a CPU."""
    for module in model.modules():
        if isinstance(module, nn.SiLU):
            module.inplace = False
