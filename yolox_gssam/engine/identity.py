"""What makes a training run the run it is, so that none goes on as another."""

import hashlib
import inspect
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.files import sha256_of
from yolox_gssam.engine.protocol import Experiment

# Fields that a resumed run may change: where things lie and how often it speaks.
FREE_FIELDS = frozenset(
    {"data_dir", "output_dir", "data_num_workers", "print_interval", "save_history_ckpt", "patience"}
)


@dataclass(frozen=True)
class RunIdentity:
    """What makes a run the run it is.

    Attributes:
        experiment: the name of the exp file.
        source_sha256: of the exp file's text; "" where there is none.
        dataset_hash: over the splits, see `Snapshot.hash`.
        class_names: in label order.
        batch_size: images per step over all processes.
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


def identify(
    exp: Experiment, dataset_hash: str, batch_size: int, clip_grad_norm: float | None, dtype: torch.dtype | None
) -> RunIdentity:
    """The identity of an experiment's run; `dtype` is that of mixed precision."""
    return RunIdentity(
        experiment=exp.exp_name,
        source_sha256=source_hash(exp),
        fields=exp.fields(),
        dataset_hash=dataset_hash,
        class_names=list(exp.class_names),
        batch_size=batch_size,
        clip_grad_norm=clip_grad_norm,
        precision=str(dtype or torch.float32).removeprefix("torch."),
    )


def source_hash(experiment: object) -> str:
    """SHA-256 of the file that an experiment's class stands in; "" if it stands in none."""
    try:
        return sha256_of(inspect.getfile(type(experiment)))
    except (UserError, TypeError):
        return ""


def joint_hash(hashes: Iterable[str]) -> str:
    """One SHA-256 for several."""
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()
