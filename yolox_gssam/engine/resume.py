"""Going on with a run: from which checkpoint, whether it is the same run, and every random state."""

import hashlib
import inspect
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from loguru import logger

from yolox_gssam.common.checkpoint import load_checkpoint
from yolox_gssam.common.errors import UserError
from yolox_gssam.common.files import sha256_of

LATEST, PREVIOUS, BEST = "latest_ckpt.pth", "previous_ckpt.pth", "best_ckpt.pth"
# Fields that a resumed run may change: where things lie and how often it speaks. `max_epoch` is judged by its schedule.
FREE_FIELDS = frozenset(
    {"data_dir", "output_dir", "data_num_workers", "print_interval", "save_history_ckpt", "patience", "max_epoch"}
)


@dataclass(frozen=True)
class RunIdentity:
    """What makes a run the run it is.

    Attributes:
        experiment: the name of the exp file.
        source_sha256: of the exp file's text; "" where there is none.
        fields: of the experiment.
        dataset_hash: over the training and the validation part, see `Snapshot.hash`.
        class_names: in label order.
        batch_size: images a step over all processes.
        clip_grad_norm: largest norm of the gradient, None for no limit.
        precision: "float32", "float16" or "bfloat16".
    """

    experiment: str
    source_sha256: str
    fields: dict[str, Any]
    dataset_hash: str
    class_names: list[str]
    batch_size: int
    clip_grad_norm: float | None
    precision: str

    def differences(self, stored: Mapping[str, Any]) -> list[str]:
        """In words, what of a stored `asdict(RunIdentity)` is not as here; empty for the same run."""
        words = [
            f"{name} {stored.get(name)!r}, now {value!r}"
            for name, value in asdict(self).items()
            if name not in ("fields", "source_sha256", "dataset_hash") and stored.get(name) != value
        ]
        if stored.get("dataset_hash") != self.dataset_hash:
            words.append(f"other data ({str(stored.get('dataset_hash'))[:12]}, now {self.dataset_hash[:12]})")
        before = dict(stored.get("fields", {}))
        for name in sorted({*before, *self.fields} - FREE_FIELDS):
            if before.get(name) != self.fields.get(name):
                words.append(f"{name} {before.get(name)!r}, now {self.fields.get(name)!r}")
        return words


def source_hash(experiment: object) -> str:
    """SHA-256 of the file that an experiment's class stands in; "" if it stands in none."""
    try:
        return sha256_of(inspect.getfile(type(experiment)))
    except (UserError, TypeError):
        return ""


def joint_hash(hashes: Iterable[str]) -> str:
    """One SHA-256 for several."""
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()


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
            state = load_checkpoint(path)
            require_resumable(state, path)
        except UserError as error:
            logger.warning(f"passed over: {error}")
            faults.append(str(error))
            continue
        return path, state
    if faults:
        raise UserError(f"{folder}: no checkpoint of it can be resumed: {faults[0]}")
    raise UserError(f"{folder / LATEST}: no such checkpoint; start the run without --resume")


def require_resumable(state: Mapping[str, Any], path: Path) -> None:
    """Raises UserError where a checkpoint holds weights alone."""
    if not isinstance(state.get("training"), dict):
        raise UserError(f"{path}: cannot be resumed, it is not a checkpoint of a run here; start from it with -c alone")


@dataclass(frozen=True)
class Step:
    """What a schedule says of one iteration: its epoch, learning rate, whether mosaic is off, and whether a validation
    follows."""

    epoch: int
    lr: float
    without_mosaic: bool
    validated: bool


def require_same_schedule(stored: Sequence[Step], now: Sequence[Step], epochs: tuple[int, int]) -> None:
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
