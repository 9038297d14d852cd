"""Trains a classifier: SGD, a validation each few epochs, and the best model of the validations tested once."""

import math
import signal
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import torch
import torch.nn.functional as F
from loguru import logger
from torch import Tensor

from yolox_gssam.classification.data import EpochBatches, LabelledImages, batches_of, normalised
from yolox_gssam.classification.evaluation import Accuracy, evaluate
from yolox_gssam.classification.networks import load_classifier
from yolox_gssam.classification.plots import plot_run
from yolox_gssam.classification.recipe import Recipe
from yolox_gssam.common.checkpoint import load_weights, save_checkpoint
from yolox_gssam.common.device import autocast, choose_device, describe_device
from yolox_gssam.common.errors import UserError
from yolox_gssam.common.files import write_json
from yolox_gssam.common.log import setup_log
from yolox_gssam.common.memory import keep_freed_memory
from yolox_gssam.common.progress import progress_bar
from yolox_gssam.common.stop import Stopped, StopRequest
from yolox_gssam.common.text import printable
from yolox_gssam.data.split import SPLITS
from yolox_gssam.engine import resume
from yolox_gssam.engine.faults import training_faults
from yolox_gssam.engine.history import Row, write_csv

RESULT = "result.json"
MOMENTUM = 0.9


@dataclass
class Progress:
    """How far a run is: what a checkpoint keeps beside weights and random states.

    Attributes:
        history: one row for each epoch that is done.
        best_accuracy, best_epoch: of the validations so far; -1 and 0 before the first.
        iterations_done: of this epoch, and since its beginning:
        loss_sum, right, seen: sums over the images;
        seconds: spent on training.
    """

    history: list[Row] = field(default_factory=list)
    best_accuracy: float = -1.0
    best_epoch: int = 0
    iterations_done: int = 0
    loss_sum: float = 0.0
    right: int = 0
    seen: int = 0
    seconds: float = 0.0

    def end_epoch(self, row: Row) -> None:
        self.history.append(row)
        self.iterations_done, self.loss_sum, self.right, self.seen, self.seconds = 0, 0.0, 0, 0, 0.0


class Training:
    """One run, in the folder `output`: `best_ckpt.pth`, `latest_ckpt.pth`, `previous_ckpt.pth`, `history.csv`,
    `curves.png`, `train_log.txt`, and at its end `result.json`.

    A run that ends at any moment goes on with `resuming`, from where it was saved last; on the CPU in float32 with the
    same number of threads to the same weights, to the bit.

    Args:
        data: a folder of train/, val/ and, if there is a test, test/, each with a folder for each class.
        resuming: go on with the run in `output`.
        workers: processes that load images; 0: none beside this one.
        save_every_minutes: a checkpoint is written so often, beside the one at the end and at a signal.

    Raises:
        UserError: data or settings that do not fit, or a run that cannot be resumed.
    """

    def __init__(
        self,
        recipe: Recipe,
        data: Path,
        output: Path,
        *,
        device: str | None = None,
        resuming: bool = False,
        workers: int = 0,
        save_every_minutes: float = 10.0,
    ) -> None:
        self.recipe, self.output, self.workers, self.resuming = recipe, output, workers, resuming
        self.save_every_seconds = 60 * save_every_minutes
        self.device = choose_device(device)
        if self.device.type == "cpu":
            keep_freed_memory()
        self.dtype = None if recipe.precision == "float32" else getattr(torch, recipe.precision)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.dtype == torch.float16)
        self.parts = {
            part: LabelledImages(data, part, recipe.image_size, recipe.seed if part == "train" else None)
            for part in SPLITS
            if part != "test" or (data / part).is_dir()
        }
        self.class_names = self.parts["train"].class_names
        for part, images in self.parts.items():
            if images.class_names != self.class_names:
                raise UserError(f"{printable(data)}: {part}/ has other classes than train/; each needs all of them")
        self.sampler = EpochBatches(len(self.parts["train"]), recipe.batch_size, recipe.seed)
        self.identity: dict[str, Any] = {
            "recipe": recipe.to_json(),
            "class_names": self.class_names,
            "data": {part: images.hash() for part, images in self.parts.items()},
        }
        self.progress = Progress()
        self.stop = StopRequest()

    def run(self) -> dict[str, Any]:
        """Trains to the last epoch and tests the best model; returns what result.json holds.

        Raises:
            UserError: what a user can mend, such as a loss that is not finite.
            Stopped: after Ctrl-C or SIGTERM, when all is saved.
        """
        setup_log(self.output / "train_log.txt")
        with self.stop, training_faults(self.device):
            self._start()
            for epoch in range(len(self.progress.history), self.recipe.epochs):
                self._train_epoch(epoch)
                self._end_epoch(epoch)
            self._save()
            plot_run(self.output / "curves.png", self.progress.history, self.output.name)
            with self.stop.interrupts():
                result = self._result()
        write_json(self.output / RESULT, result)
        return result

    def _start(self) -> None:
        if not self.resuming and (self.output / resume.LATEST).exists():
            raise UserError(
                f"{self.output}: a run is there already; go on with it by --resume, or choose another --name"
            )
        resume.seed_everything(self.recipe.seed)
        self.model = self.recipe.build(len(self.class_names)).to(self.device).to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), self.recipe.lr, MOMENTUM, weight_decay=self.recipe.weight_decay
        )
        self.schedule = self.recipe.learning_rates(len(self.sampler))
        logger.info(
            f"{self.recipe.network}, attention {self.recipe.attention}, on {describe_device(self.device)}; "
            f"{', '.join(f'{len(images)} images to {part}' for part, images in self.parts.items())}; {self.recipe}"
        )
        if self.resuming:
            self._resume()
        self.last_save = time.monotonic()

    def _train_epoch(self, epoch: int) -> None:
        self.model.train()
        self.sampler.set_epoch(epoch, self.progress.iterations_done)
        started = time.perf_counter()
        with progress_bar(
            description=f"epoch {epoch + 1}/{self.recipe.epochs}",
            unit="img",
            total=len(self.sampler) * self.sampler.batch_size,
            initial=self.progress.iterations_done * self.sampler.batch_size,
            leave=False,
        ) as bar:
            for images, labels in batches_of(self.parts["train"], self.sampler, self.workers):
                self._step(epoch, images, labels.to(self.device))
                bar.update(len(images))
                self.progress.seconds += time.perf_counter() - started
                started = time.perf_counter()
                if self.stop:
                    self._save_and_stop(epoch)
                if time.monotonic() - self.last_save > self.save_every_seconds:
                    self._save()

    def _step(self, epoch: int, images: Tensor, labels: Tensor) -> None:
        """One step on (B, 3, H, W) uint8 images and (B,) labels."""
        progress = self.progress
        steps_done = epoch * len(self.sampler) + progress.iterations_done
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.update_lr(steps_done + 0.5)  # the rate in the middle of the step
        with autocast(self.device, self.dtype):
            logits = self.model(normalised(images, self.device))
            loss = F.cross_entropy(logits, labels)
        value = float(loss)
        if not math.isfinite(value):
            raise UserError(
                f"epoch {epoch + 1}, iteration {progress.iterations_done + 1}: the loss is {value}; lower --lr, or "
                f"train without --fp16"
            )
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        progress.iterations_done += 1
        progress.loss_sum += value * len(images)
        progress.right += int((logits.argmax(1) == labels).sum())
        progress.seen += len(images)

    def _end_epoch(self, epoch: int) -> None:
        progress = self.progress
        row: Row = {
            "epoch": epoch + 1,
            "lr": float(self.optimizer.param_groups[0]["lr"]),
            "images_per_second": progress.seen / progress.seconds,
            "train_loss": progress.loss_sum / progress.seen,
            "train_accuracy": progress.right / progress.seen,
            "val_loss": math.nan,
            "val_accuracy": math.nan,
        }
        better = False
        if (epoch + 1) % self.recipe.eval_interval == 0 or epoch + 1 == self.recipe.epochs:
            accuracy = self._validate(epoch)
            row |= {"val_loss": accuracy.loss, "val_accuracy": accuracy.top1}
            better = accuracy.top1 > progress.best_accuracy
            logger.info(
                f"epoch {epoch + 1}: loss {row['train_loss']:.4f}, {row['images_per_second']:.1f} img/s, validation "
                f"{100 * accuracy.top1:.2f} %"
            )
        progress.end_epoch(row)
        if better:
            progress.best_accuracy, progress.best_epoch = row["val_accuracy"], epoch + 1
            save_checkpoint(self.output / resume.BEST, self._state())
        write_csv(self.output / "history.csv", progress.history)

    def _validate(self, epoch: int) -> Accuracy:
        """A signal ends it at once, since it leaves no trace."""
        try:
            with self.stop.interrupts():
                return evaluate(self.model, self.parts["val"], self.recipe.batch_size, self.workers, self.device)
        except Stopped:
            self._save_and_stop(epoch)

    def _result(self) -> dict[str, Any]:
        """Tests the best model once, and gathers what the run was."""
        model, _ = load_classifier(self.output / resume.BEST, self.device)
        size, workers = self.recipe.batch_size, self.workers
        measured = {
            part: evaluate(model, self.parts[part], size, workers, self.device)
            for part in ("val", "test")
            if part in self.parts
        }
        last = list(measured)[-1]
        logger.info(
            f"best model of the validations, after epoch {self.progress.best_epoch}, {last}:\n{measured[last]}\n"
            f"{self.output}"
        )
        return {
            **self.identity,
            "parameters": sum(p.numel() for p in model.parameters()),
            "best_epoch": self.progress.best_epoch,
            **{part: accuracy.to_json() for part, accuracy in measured.items()},
            "device": describe_device(self.device),
            "torch": torch.__version__,
            "history": [{key: None if math.isnan(v) else v for key, v in row.items()} for row in self.progress.history],
        }

    # ---------------- checkpoints ---------------- #

    def _state(self) -> dict[str, Any]:
        """The weights, and what says what they are."""
        recipe = self.identity["recipe"]
        return {
            "model": self.model.state_dict(),
            "classifier": {
                **{name: recipe[name] for name in ("network", "attention", "attention_options", "image_size")},
                "class_names": self.class_names,
            },
        }

    def _save(self) -> None:
        state = self._state() | {
            "optimizer": self.optimizer.state_dict(),
            "training": {
                "scaler": self.scaler.state_dict(),
                "progress": asdict(self.progress),
                "random_states": resume.random_states(),
                "threads": torch.get_num_threads(),
                "identity": self.identity,
            },
        }
        save_checkpoint(self.output / resume.LATEST, state, keep_as=self.output / resume.PREVIOUS)
        self.last_save = time.monotonic()

    def _resume(self) -> None:
        path, state = resume.find_checkpoint(self.output)
        try:
            training = state["training"]
            differences = [name for name, own in self.identity.items() if training["identity"].get(name) != own]
            if differences:
                raise UserError(
                    f"{path}: of another run, with another {' and '.join(differences)}; resume with its own settings "
                    f"and data, or choose another --name"
                )
            loaded = load_weights(self.model, state["model"])
            if not loaded.complete:
                raise UserError(f"{path}: does not fit {self.recipe.network}: {loaded}")
            self.optimizer.load_state_dict(state["optimizer"])
            self.scaler.load_state_dict(training["scaler"])
            self.progress = Progress(**training["progress"])
            resume.restore_random_states(training["random_states"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            if isinstance(error, UserError):
                raise
            raise UserError(
                f"{path}: cannot be resumed, it is damaged or of another version ({error!r:.200}); start anew under "
                f"another --name"
            ) from error
        if self.device.type == "cpu" and training["threads"] != torch.get_num_threads():
            logger.warning(
                f"{training['threads']} threads before, {torch.get_num_threads()} now: the result differs in the last "
                f"digits"
            )
        done = len(self.progress.history)
        logger.info(f"resuming {path} after epoch {done} and {self.progress.iterations_done} iterations")

    def _save_and_stop(self, epoch: int) -> NoReturn:
        self._save()
        number = self.stop.signal_number or signal.SIGTERM
        logger.warning(
            f"{signal.Signals(number).name}: saved {self.output / resume.LATEST} in epoch {epoch + 1} after iteration "
            f"{self.progress.iterations_done} of {len(self.sampler)}; go on with --resume"
        )
        raise Stopped(number)
