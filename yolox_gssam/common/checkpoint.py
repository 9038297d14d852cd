"""Checkpoints in YOLOX's format, read without running anything that stands in them.

A checkpoint is a dict: "model" (weights to use: the averaged ones), "optimizer", "start_epoch" and "best_ap" as in
YOLOX; "class_names" and "exp" (the experiment's fields) so that evaluation and demo need no guess; and what
`--resume` needs. It holds tensors and plain numbers, text, lists and dicts only.
"""

import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.files import atomic_path
from yolox_gssam.common.text import printable, shorten

# What DistributedDataParallel and torch.compile put before every name.
WRAPPERS = ("module.", "_orig_mod.")
CONVERT = "torch.save({'model': torch.load(IN, weights_only=False)['model']}, OUT)"


@dataclass(frozen=True)
class LoadedWeights:
    """What `load_weights` did, as parameter names.

    Attributes:
        new: of the model, not in the checkpoint: left as they were.
        reshaped: in both, with another shape: left as they were.
        unused: of the checkpoint, not in the model.
        fitting: copied.
    """

    new: tuple[str, ...]
    reshaped: tuple[str, ...]
    unused: tuple[str, ...]
    fitting: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether every weight of the model came from the checkpoint and none was left over."""
        return not (self.new or self.reshaped or self.unused)

    @property
    def share(self) -> float:
        """How many of the model's tensors were loaded, 0 to 1."""
        return len(self.fitting) / max(1, len(self.fitting) + len(self.new) + len(self.reshaped))

    def __str__(self) -> str:
        parts = {"new (not in the checkpoint)": self.new, "of another shape": self.reshaped, "not used": self.unused}
        every = {*self.new, *self.reshaped, *self.unused, *self.fitting}
        return "; ".join(
            f"{len(names)} {what}: {_modules(names, every.difference(names))}" for what, names in parts.items() if names
        )


def save_checkpoint(path: Path, state: Mapping[str, Any], keep_as: Path | None = None) -> None:
    """Writes a checkpoint, whole or not at all.

    Args:
        keep_as: the file that was at `path` before is kept under this name.

    Raises:
        UserError: it could not be written; what was at `path` is still there.
    """
    with atomic_path(path) as part:
        try:
            torch.save(dict(state), part)
        except RuntimeError as error:  # how torch reports a full disk
            reason = str(error).partition("\n")[0]
            raise UserError(f"{path}: cannot be written: {reason}; free space or choose another output_dir") from error
        if keep_as is not None and path.exists():
            _copy(path, keep_as)


def save_detector(
    path: Path, model: nn.Module, class_names: Iterable[str], fields: Mapping[str, Any], *, half: bool
) -> None:
    """Writes the weights, and what a detector needs to know of the experiment: nothing that only a resume needs.

    Args:
        half: in float16, but for BatchNorm's statistics: the variance of an image in 0 to 255 leaves its range.

    Raises:
        UserError: weights beyond the range of float16.
    """
    weights = {name: value.cpu() for name, value in model.state_dict().items()}
    if half:
        weights |= {name: value.detach().half().cpu() for name, value in model.named_parameters()}
        beyond = [name for name, value in weights.items() if not value.isfinite().all()]
        if beyond:
            raise UserError(f"{beyond[0]}: holds values beyond the range of float16; keep it without --half")
    save_checkpoint(path, {"model": weights, "class_names": list(class_names), "exp": dict(fields)})


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Reads a checkpoint to the CPU, without pickle.

    Returns a dict with at least "model", a dict of name -> tensor, the names without `WRAPPERS`.

    Raises:
        UserError: no such file, not a checkpoint, truncated, or one that holds more than tensors and plain values.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(
            f"{printable(path)}: a folder; give a checkpoint in it, such as {printable(path / 'best_ckpt.pth')}"
        )
    if not path.is_file():
        raise UserError(f"{printable(path)}: no such checkpoint")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise UserError(
            f"{printable(path)}: not a checkpoint, or one that needs pickle, which can run code of whoever made it; if "
            f"you trust it, convert it in Python: {CONVERT}"
        ) from error
    except Exception as error:  # torch's reader trusts the file's structure and fails in many ways on a damaged one
        reason = str(error).partition("\n")[0] or "the file is empty"
        raise UserError(f"{printable(path)}: not a whole checkpoint: {shorten(reason)}") from error
    weights = state.get("model") if isinstance(state, dict) else None
    if not (isinstance(weights, dict) and all(isinstance(value, Tensor) for value in weights.values())):
        raise UserError(f"{printable(path)}: not a YOLOX checkpoint: it has no 'model' that maps names to tensors")
    return {**state, "model": _unwrapped(weights)}


def load_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> LoadedWeights:
    """Copies into `model` every weight that fits by name and shape, and says what did not."""
    own = model.state_dict()
    fitting = {name: value for name, value in weights.items() if name in own and own[name].shape == value.shape}
    model.load_state_dict(fitting, strict=False)
    return LoadedWeights(
        new=tuple(name for name in own if name not in weights),
        reshaped=tuple(name for name in own if name in weights and name not in fitting),
        unused=tuple(name for name in weights if name not in own),
        fitting=tuple(fitting),
    )


def _unwrapped(weights: dict[Any, Tensor]) -> dict[Any, Tensor]:
    """The weights under the names that they have in the network itself."""
    for wrapper in (*WRAPPERS, *WRAPPERS):
        if weights and all(str(name).startswith(wrapper) for name in weights):
            weights = {str(name).removeprefix(wrapper): value for name, value in weights.items()}
    return weights


def _copy(source: Path, target: Path) -> None:
    """A second name for the file's content, without a moment in which `source` is not there."""
    with atomic_path(target) as part:
        part.unlink()
        try:
            os.link(source, part)
        except OSError:  # a file system without hard links
            shutil.copyfile(source, part)


def _modules(names: tuple[str, ...], others: Iterable[str]) -> str:
    """The largest modules that hold these names and none of the others, at most twelve of them."""
    shared = {prefix for name in others for prefix in _prefixes(name)}
    modules = list(
        dict.fromkeys(next((prefix for prefix in _prefixes(name) if prefix not in shared), name) for name in names)
    )
    more = f" and {len(modules) - 12} more" if len(modules) > 12 else ""
    return ", ".join(modules[:12]) + more


def _prefixes(name: str) -> list[str]:
    """The modules that a parameter is in, from the outermost, and its own name: a, a.b, a.b.weight."""
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts) + 1)]
