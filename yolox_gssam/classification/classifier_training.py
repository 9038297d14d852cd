"""Trains a classifier: SGD, a validation each few epochs, and the best model of the validations tested once."""

import math
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from loguru import logger
from torch import Tensor

from yolox_gssam.classification.curves import plot_run
from yolox_gssam.classification.data import EpochBatches, LabelledImages, batches_of, normalised
from yolox_gssam.classification.evaluation import evaluate
from yolox_gssam.classification.networks import load_classifier
from yolox_gssam.classification.recipe import ClassifierRecipe
from yolox_gssam.common.checkpoint import load_weights, save_checkpoint
from yolox_gssam.common.device import autocast, choose_device, describe_device
from yolox_gssam.common.errors import UserError
from yolox_gssam.common.files import write_json
from yolox_gssam.common.progress import progress_bar
from yolox_gssam.common.text import printable
from yolox_gssam.data.split import SPLITS
from yolox_gssam.engine.history import Row, without_nan, write_csv
from yolox_gssam.engine.identity import RunIdentity, joint_hash
from yolox_gssam.engine.run import BEST, LATEST, SAVE_EVERY_MINUTES, Run, seed_everything

RESULT = "result.json"
MOMENTUM = 0.9


class Training:
    """One run, in the folder `output`: checkpoints as of `Run`, `history.csv`, `curves.png`, `train_log.txt`, and at
    its end `result.json`.

    A run that ends at any moment goes on with `resuming`, from where it was saved last; on the CPU in float32 with the
    same number of threads to the same weights, to the bit.

    Args:
        data: a folder of train/, val/ and, if there is a test, test/, each with a folder for each class.
        resuming: go on with the run in `output`.
        workers: processes that load images; 0: none beside this one.
        save_every_minutes: a checkpoint is written so often, beside the one at the end and at a signal.

    Attributes:
        settings: recipe, class names and data, as `result.json` holds them.

    Raises:
        UserError: data or settings that do not fit, or a run that cannot be resumed.
    """

    def __init__(
        self,
        recipe: ClassifierRecipe,
        data: Path,
        output: Path,
        *,
        device: str | None = None,
        resuming: bool = False,
        workers: int = 0,
        save_every_minutes: float = SAVE_EVERY_MINUTES,
    ) -> None:
        self.recipe, self.output, self.workers, self.resuming = recipe, output, workers, resuming
        self.device = choose_device(device)
        self.dtype = None if recipe.precision == "float32" else getattr(torch, recipe.precision)
        self.splits = {
            name: LabelledImages(data, name, recipe.image_size, recipe.seed if name == "train" else None)
            for name in SPLITS
            if name != "test" or (data / name).is_dir()
        }
        self.class_names = self.splits["train"].class_names
        for name, images in self.splits.items():
            if images.class_names != self.class_names:
                raise UserError(f"{printable(data)}: {name}/ has other classes than train/; each needs all of them")
        self.sampler = EpochBatches(len(self.splits["train"]), recipe.batch_size, recipe.seed)
        self.settings: dict[str, Any] = {
            "recipe": recipe.to_json(),
            "class_names": self.class_names,
            "data": {name: images.hash() for name, images in self.splits.items()},
        }
        self.run = Run(output, self.device, self.dtype, save_every_minutes, self._state, "choose another --name")
        self.run.iterations_per_epoch = len(self.sampler)
        self.run.identity = RunIdentity(
            experiment=f"{recipe.network} with {recipe.attention}",
            source_sha256="",
            fields=self.settings["recipe"],
            dataset_hash=joint_hash(self.settings["data"].values()),
            class_names=self.class_names,
            batch_size=recipe.batch_size,
            clip_grad_norm=None,
            precision=recipe.precision,
        )

    def train(self) -> dict[str, Any]:
        """Trains to the last epoch and tests the best model; returns what result.json holds.

        Raises:
            UserError: what a user can mend, such as a loss that is not finite.
            Stopped: after Ctrl-C or SIGTERM, when all is saved.
        """
        with self.run.opened():
            self._start()
            for epoch in range(len(self.run.progress.history), self.recipe.epochs):
                self._train_epoch(epoch)
                self._end_epoch(epoch)
            self.run.save()
            plot_run(self.output / "curves.png", self.run.progress.history, self.output.name)
            with self.run.stop.interrupts():
                result = self._result()
        write_json(self.output / RESULT, result)
        return result

    def _start(self) -> None:
        if not self.resuming and (self.output / LATEST).exists():
            raise UserError(
                f"{self.output}: a run is there already; go on with it by --resume, or choose another --name"
            )
        seed_everything(self.recipe.seed)
        self.model = self.recipe.build(len(self.class_names)).to(self.device).to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), self.recipe.lr, MOMENTUM, weight_decay=self.recipe.weight_decay
        )
        self.schedule = self.recipe.learning_rates(len(self.sampler))
        logger.info(
            f"{self.recipe.network}, attention {self.recipe.attention}, on {describe_device(self.device)}; "
            f"{', '.join(f'{len(images)} images to {name}' for name, images in self.splits.items())}; {self.recipe}"
        )
        if self.resuming:
            self.run.resume(None, self._restore)

    def _train_epoch(self, epoch: int) -> None:
        self.model.train()
        progress = self.run.progress
        self.sampler.set_epoch(epoch, progress.iterations_done)
        with progress_bar(
            description=f"epoch {epoch + 1}/{self.recipe.epochs}",
            unit="img",
            total=len(self.sampler) * self.sampler.batch_size,
            initial=progress.iterations_done * self.sampler.batch_size,
            leave=False,
        ) as bar:
            for images, labels in self.run.timed(batches_of(self.splits["train"], self.sampler, self.workers)):
                self._step(epoch, images, labels.to(self.device))
                bar.update(len(images))
                self.run.after_step()

    def _step(self, epoch: int, images: Tensor, labels: Tensor) -> None:
        """One step on (B, 3, H, W) uint8 images and (B,) labels."""
        progress, scaler = self.run.progress, self.run.scaler
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
        scaler.scale(loss).backward()
        scaler.step(self.optimizer)
        scaler.update()
        progress.iterations_done += 1
        right = int((logits.argmax(1) == labels).sum())
        progress.add({"loss": value * len(images), "right": right, "images": len(images)})

    def _end_epoch(self, epoch: int) -> None:
        progress = self.run.progress
        images = progress.sums["images"]
        row: Row = {
            "epoch": epoch + 1,
            "lr": float(self.optimizer.param_groups[0]["lr"]),
            "images_per_second": images / progress.seconds,
            "train_loss": progress.sums["loss"] / images,
            "train_accuracy": progress.sums["right"] / images,
            "val_loss": math.nan,
            "val_accuracy": math.nan,
        }
        is_validated = (epoch + 1) % self.recipe.eval_interval == 0 or epoch + 1 == self.recipe.epochs
        if is_validated:
            with self.run.interruptible():
                found = evaluate(self.model, self.splits["val"], self.recipe.batch_size, self.workers, self.device)
            row |= {"val_loss": found.loss, "val_accuracy": found.top1}
            logger.info(
                f"epoch {epoch + 1}: loss {row['train_loss']:.4f}, {row['images_per_second']:.1f} img/s, validation "
                f"{100 * found.top1:.2f} %"
            )
        if progress.end_epoch(row, row["val_accuracy"] if is_validated else None):
            save_checkpoint(self.output / BEST, self._weights())
        write_csv(self.output / "history.csv", progress.history)

    def _result(self) -> dict[str, Any]:
        """Tests the best model once, and gathers what the run was."""
        model, _ = load_classifier(self.output / BEST, self.device)
        size, workers = self.recipe.batch_size, self.workers
        measured = {
            name: evaluate(model, self.splits[name], size, workers, self.device)
            for name in ("val", "test")
            if name in self.splits
        }
        last = list(measured)[-1]
        logger.info(
            f"best model of the validations, after epoch {self.run.progress.best_epoch}, {last}:\n{measured[last]}\n"
            f"{self.output}"
        )
        return {
            **self.settings,
            "parameters": sum(p.numel() for p in model.parameters()),
            "best_epoch": self.run.progress.best_epoch,
            **{name: accuracy.to_json() for name, accuracy in measured.items()},
            "device": describe_device(self.device),
            "torch": torch.__version__,
            "history": without_nan(self.run.progress.history),
        }

    def _weights(self) -> dict[str, Any]:
        """The weights, and what says what they are."""
        recipe = self.settings["recipe"]
        return {
            "model": self.model.state_dict(),
            "classifier": {
                **{name: recipe[name] for name in ("network", "attention", "attention_options", "image_size")},
                "class_names": self.class_names,
            },
        }

    def _state(self) -> dict[str, Any]:
        return {**self._weights(), "optimizer": self.optimizer.state_dict(), "training": {}}

    def _restore(self, state: dict[str, Any]) -> None:
        loaded = load_weights(self.model, state["model"])
        if not loaded.complete:
            raise UserError(f"the checkpoint does not fit {self.recipe.network}: {loaded}")
        self.optimizer.load_state_dict(state["optimizer"])
