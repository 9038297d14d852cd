"""A training run: its counters, its checkpoints, going on with it, and its end by a signal."""

import random
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import numpy as np
import torch
from loguru import logger
from yolox.utils import get_rank, get_world_size

from yolox_gssam.common.checkpoint import load_checkpoint, save_checkpoint
from yolox_gssam.common.errors import UserError
from yolox_gssam.common.log import setup_log
from yolox_gssam.common.memory import give_back_freed_memory, keep_freed_memory
from yolox_gssam.common.stop import Stopped, StopRequest
from yolox_gssam.engine.history import Row
from yolox_gssam.engine.identity import RunIdentity
from yolox_gssam.engine.launch import anywhere
from yolox_gssam.engine.training_faults import training_faults

LATEST, PREVIOUS, BEST = "latest_ckpt.pth", "previous_ckpt.pth", "best_ckpt.pth"
SAVE_EVERY_MINUTES = 10.0

Batch = TypeVar("Batch")


@dataclass
class Progress:
    """How far a run is: every counter that a checkpoint keeps.

    Attributes:
        history: one row for each epoch that is done.
        best, best_epoch: highest validation result so far, and the epoch, from 1, after which it was measured; 0 before
            the first.
        skipped_in_a_row: the last steps, if they were skipped.
        iterations_done: of this epoch, and since its beginning:
        sums: name -> sum over what was trained on;
        skipped: steps that were skipped;
        seconds, data_seconds: spent on training, and of them on waiting for batches.
    """

    history: list[Row] = field(default_factory=list)
    best: float = 0.0
    best_epoch: int = 0
    skipped_in_a_row: int = 0
    iterations_done: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    skipped: int = 0
    seconds: float = 0.0
    data_seconds: float = 0.0

    def add(self, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + value

    def end_epoch(self, row: Row, result: float | None) -> bool:
        """Begins the next epoch; returns whether the validation `result` is the best so far (None: not validated)."""
        self.history.append(row)
        self.begin_epoch()
        if result is None or (self.best_epoch and not result > self.best):
            return False
        self.best, self.best_epoch = result, len(self.history)
        return True

    def back_to(self, epoch: int) -> None:
        """Goes back to the beginning of an epoch, from 1.

        Raises:
            UserError: that epoch has not been reached.
        """
        done = len(self.history)
        if not 1 <= epoch <= done + 1:
            raise UserError(f"-e {epoch}: the run has done {done} epochs; choose 1 to {done + 1}")
        del self.history[epoch - 1 :]
        self.begin_epoch()

    def begin_epoch(self) -> None:
        self.iterations_done, self.sums, self.skipped, self.seconds, self.data_seconds = 0, {}, 0, 0.0, 0.0


class Run:
    """One run in a folder: `latest_ckpt.pth` and the one before it, `previous_ckpt.pth`, and `best_ckpt.pth`.

    Args:
        dtype: 16-bit type of mixed precision; None for float32.
        save_every_minutes: a checkpoint is written so often within an epoch.
        state: gives the entries of a checkpoint: the weights, what says what they are, "optimizer", and under
            "training" what else `restore` needs.
        otherwise: what a user can do where the run cannot be resumed, as the end of a message.

    Attributes:
        identity: what makes the run the run it is; to be set before the first checkpoint.
        iterations_per_epoch: likewise.
    """

    identity: RunIdentity
    iterations_per_epoch: int

    def __init__(
        self,
        folder: Path,
        device: torch.device,
        dtype: torch.dtype | None,
        save_every_minutes: float,
        state: Callable[[], dict[str, Any]],
        otherwise: str,
    ) -> None:
        self.folder = folder
        self.device = device
        self.scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
        self.progress = Progress()
        self.stop = StopRequest()
        self._save_every_seconds = 60 * save_every_minutes
        self._last_save = time.monotonic()
        self._state = state
        self._otherwise = otherwise

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Inside, the log goes to the run's folder, signals wait for the end of a step, and what memory, loader
        processes or other processes of the run do wrong is raised as `UserError`."""
        is_first = get_rank() == 0
        setup_log(self.folder / "train_log.txt" if is_first else None, quiet=not is_first)
        if self.device.type == "cpu":
            keep_freed_memory()
        try:
            with self.stop, training_faults(self.device):
                yield
        finally:
            if self.device.type == "cpu":
                give_back_freed_memory()

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Inside, a signal ends the work at once, which leaves no trace, and the run is saved as it was before.

        Where several processes share the work, they end after it, all together.

        Raises:
            Stopped: after a signal.
        """
        try:
            with nullcontext() if get_world_size() > 1 else self.stop.interrupts():
                yield
        except Stopped:
            self.save_and_stop()

    def timed(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The batches; the time spent on them, and of it on waiting for them, is added up in `progress`."""
        before = time.perf_counter()
        for batch in batches:
            self.progress.data_seconds += time.perf_counter() - before
            yield batch
            now = time.perf_counter()
            self.progress.seconds += now - before
            before = now
        waited = time.perf_counter() - before
        self.progress.data_seconds += waited
        self.progress.seconds += waited

    def after_step(self) -> None:
        """Ends the run where a signal came, here or in another process; saves it where it is time.

        Raises:
            Stopped: after a signal, when all is saved.
        """
        self.stop_if_asked()
        if time.monotonic() - self._last_save > self._save_every_seconds:
            self.save()

    def stop_if_asked(self) -> None:
        if anywhere(bool(self.stop), self.device):
            self.save_and_stop()

    def save_and_stop(self) -> NoReturn:
        """Saves and ends, because of a signal here or in another process."""
        self.save()
        number = self.stop.signal_number or signal.SIGTERM
        if get_rank() == 0:
            epoch, done = len(self.progress.history) + 1, self.progress.iterations_done
            logger.warning(
                f"{signal.Signals(number).name}: saved {self.folder / LATEST} in epoch {epoch} after iteration {done} "
                f"of {self.iterations_per_epoch}; go on with --resume"
            )
        raise Stopped(number)

    def save(self, name: str = LATEST) -> None:
        """Writes a checkpoint with everything that a resumed run needs; in the first process only."""
        if get_rank() != 0:
            return
        state = self._state()
        training = {
            "progress": asdict(self.progress),
            "scaler": self.scaler.state_dict(),
            "random_states": random_states(),
            "threads": torch.get_num_threads(),
            "identity": asdict(self.identity),
        }
        state["training"] = {**state["training"], **training}
        save_checkpoint(self.folder / name, state, keep_as=self.folder / PREVIOUS if name == LATEST else None)
        self._last_save = time.monotonic()

    def resume(self, path: Path | None, restore: Callable[[dict[str, Any]], None], force: bool | None = None) -> None:
        """Goes on from a checkpoint, at the iteration where it was saved.

        Args:
            path: the checkpoint; None: the newest in the folder that loads.
            restore: puts what `state` gave back to where it was.
            force: go on although it is another run's; None: there is no such option.

        Raises:
            UserError: no checkpoint, a damaged one, or one of another run.
        """
        path, state = find_checkpoint(self.folder) if path is None else (path, load_resumable(path))
        try:
            training = state["training"]
            self._require_same(training["identity"], path, force)
            progress = Progress(**training["progress"])
            restore(state)
            self.scaler.load_state_dict(training["scaler"])
            self.progress = progress
            restore_random_states(training["random_states"])
            threads = training["threads"]
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            if isinstance(error, UserError):
                raise
            raise UserError(
                f"{path}: cannot be resumed, it is damaged or of another version ({error!r:.200}); {self._otherwise}"
            ) from error
        if self.device.type == "cpu" and threads != torch.get_num_threads():
            logger.warning(
                f"{threads} threads before, {torch.get_num_threads()} now: sums are taken in another order, so the "
                f"result differs in the last digits"
            )
        done = self.progress.iterations_done
        where = f" and {done} iterations" if done else ""
        logger.info(f"resuming {path} after epoch {len(self.progress.history)}{where}")

    def _require_same(self, stored: Mapping[str, Any], path: Path, force: bool | None) -> None:
        """Raises UserError where a checkpoint is another run's, unless forced."""
        differences = self.identity.differences(stored)
        if differences and not force:
            more = "" if force is None else ", or add --force"
            raise UserError(
                f"{path}: of another run: {'; '.join(differences)}; resume with its own settings and data, or "
                f"{self._otherwise}{more}"
            )
        if differences:
            logger.warning(f"--force: going on although {'; '.join(differences)}")
        if stored["source_sha256"] != self.identity.source_sha256:
            logger.warning("the exp file's text has changed since the run began; its fields have not")


def find_checkpoint(folder: Path) -> tuple[Path, dict[str, Any]]:
    """The newest checkpoint of a run that loads, and its content. Says which ones it had to pass over.

    Raises:
        UserError: none loads.
    """
    faults = []
    for name in (LATEST, PREVIOUS, BEST):
        path = folder / name
        if not path.exists():
            continue
        try:
            return path, load_resumable(path)
        except UserError as error:
            logger.warning(f"passed over: {error}")
            faults.append(str(error))
    if faults:
        raise UserError(f"{folder}: no checkpoint of it can be resumed: {faults[0]}")
    raise UserError(f"{folder / LATEST}: no such checkpoint; start the run without --resume")


def is_resumable(folder: Path) -> bool:
    """Whether a run in a folder can be gone on with; says so where there is one that cannot."""
    if not (folder / LATEST).exists():
        return False
    try:
        find_checkpoint(folder)
    except UserError as error:
        logger.warning(f"{folder.name}: cannot be resumed, begins anew: {error}")
        return False
    return True


def load_resumable(path: Path) -> dict[str, Any]:
    """Reads a checkpoint that a run can go on from; one that holds weights alone is refused."""
    state = load_checkpoint(path)
    if not isinstance(state.get("training"), dict):
        raise UserError(f"{path}: cannot be resumed, it is not a checkpoint of a run here; start from it with -c alone")
    return state


def seed_everything(seed: int) -> None:
    """Seeds every random generator of this process: the network's first weights, and whatever an exp file draws."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - others may use it
    torch.manual_seed(seed)


def random_states() -> dict[str, Any]:
    """Every random generator of this process, as tensors and plain values."""
    name, keys, position, has_gauss, gauss = np.random.get_state()  # noqa: NPY002 - others may use it
    return {
        "python": random.getstate(),
        "numpy": [str(name), [int(key) for key in keys], int(position), int(has_gauss), float(gauss)],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_random_states(states: Mapping[str, Any]) -> None:
    """Puts the random generators where `random_states` found them; CUDA's only on as many devices as there were."""
    version, internal, gauss = states["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, position, has_gauss, cached = states["numpy"]
    np.random.set_state((name, np.array(keys, np.uint32), position, has_gauss, cached))  # noqa: NPY002
    torch.set_rng_state(states["torch"])
    if torch.cuda.is_available() and len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states["cuda"])
