"""What a run does in which of its iterations, and whether a run of another length would have begun as it did."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

from yolox_gssam.common.errors import UserError
from yolox_gssam.engine.protocol import Experiment


class Schedule:
    """Learning rates, epochs without mosaic and validations of an experiment.

    Args:
        exp: its fields and its `get_lr_scheduler`.
        batch_size: images per step over all processes.
        iterations_per_epoch: steps.

    Attributes:
        rates: its `update_lr(n)` is the learning rate after n iterations.
    """

    def __init__(self, exp: Experiment, batch_size: int, iterations_per_epoch: int) -> None:
        self.exp = exp
        self.batch_size = batch_size
        self.iterations_per_epoch = iterations_per_epoch
        self.rates = exp.get_lr_scheduler(exp.basic_lr_per_img * batch_size, iterations_per_epoch)

    def is_without_mosaic(self, epoch: int) -> bool:
        """Whether an epoch, from 0, is one of the last ones, without mosaic and mixup and with the L1 loss."""
        return epoch >= self.exp.max_epoch - self.exp.no_aug_epochs

    def is_validated(self, epoch: int) -> bool:
        """Whether a validation follows an epoch, from 0."""
        return (epoch + 1) % self.exp.eval_interval == 0 or epoch + 1 == self.exp.max_epoch

    def require_same_start(self, max_epoch: int, epochs_done: int, iterations_done: int) -> None:
        """Compares with the schedule of the same experiment with `max_epoch` epochs, as far as a run of it has come.

        Raises:
            UserError: what is done would have been done otherwise.
        """
        exp = copy.copy(self.exp)
        exp.max_epoch = max_epoch
        done = epochs_done * self.iterations_per_epoch + iterations_done
        stored, now = (
            schedule._steps(done, epochs_done)
            for schedule in (Schedule(exp, self.batch_size, self.iterations_per_epoch), self)
        )
        require_same_steps(stored, now, (max_epoch, self.exp.max_epoch))

    def _steps(self, iterations: int, epochs_done: int) -> "list[ScheduledStep]":
        return [
            ScheduledStep(
                epoch,
                self.rates.update_lr(iteration + 1),
                self.is_without_mosaic(epoch),
                epoch < epochs_done and self.is_validated(epoch),
            )
            for iteration in range(iterations)
            for epoch in [iteration // self.iterations_per_epoch]
        ]


@dataclass(frozen=True)
class ScheduledStep:
    """What a schedule says of one iteration: its epoch, learning rate, whether mosaic is off, and whether a validation
    follows."""

    epoch: int
    lr: float
    without_mosaic: bool
    validated: bool


def require_same_steps(stored: Sequence[ScheduledStep], now: Sequence[ScheduledStep], epochs: tuple[int, int]) -> None:
    """Raises UserError where a run of another length would not have begun as this one did.

    Args:
        stored, now: the iterations that are done, as they were and as they would be.
        epochs: how many the run had, and has now.
    """
    for before, after in zip(stored, now, strict=True):
        if before == after:
            continue
        if before.lr != after.lr:
            what = f"another learning rate in epoch {before.epoch + 1} ({after.lr:.3g}, not {before.lr:.3g})"
        elif before.without_mosaic != after.without_mosaic:
            what = f"mosaic {'off' if after.without_mosaic else 'on'} in epoch {before.epoch + 1}"
        else:
            what = f"{'a' if after.validated else 'no'} validation after epoch {before.epoch + 1}"
        raise UserError(
            f"max_epoch was {epochs[0]} and is now {epochs[1]}: a run of {epochs[1]} epochs would have had {what}, so "
            f"the end would not be that run's; --force goes on all the same, with the new schedule from here"
        )
