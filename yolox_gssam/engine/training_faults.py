"""Faults of a training run that are no faults of the program: each becomes one line that says what to do."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import distributed as dist

from yolox_gssam.common.errors import UserError, innermost_message

LESS_MEMORY = (
    "out of memory on {device}: lower the batch size (-b), input_size or multiscale_range, train without --cache, or "
    "with fewer data_num_workers; then go on with --resume --force"
)
DEAD_LOADER = (
    "a process that loads images died ({reason}), most often because memory ran out: lower data_num_workers (0: load "
    "in the training process) or train without --cache; then go on with --resume"
)
LOST_PROCESS = (
    "another process of this run ended or cannot be reached ({reason}); its own message says why; then start all of "
    "them again with --resume"
)


@contextmanager
def training_faults(device: torch.device) -> Iterator[None]:
    """Inside, what memory, loader processes or other processes of the run do wrong is raised as `UserError`.

    Raises:
        UserError: as above; and those of loader processes, which torch wraps in their traceback, plain.
    """
    try:
        yield
    except UserError as error:
        message = innermost_message(str(error))
        if message is None:
            raise
        raise UserError(message) from error
    except MemoryError as error:
        raise UserError(LESS_MEMORY.format(device="the processor")) from error
    except RuntimeError as error:
        message = _explain(error, device)
        if message is None:
            raise
        raise UserError(message) from error


def _explain(error: RuntimeError, device: torch.device) -> str | None:
    """What an error of torch means to the user; None where it is none of his doing."""
    text = str(error)
    if isinstance(error, torch.OutOfMemoryError):
        return LESS_MEMORY.format(device=device)
    if "DefaultCPUAllocator" in text or "Cannot allocate memory" in text:
        return LESS_MEMORY.format(device="the processor")
    dead = re.search(r"DataLoader worker \(pid\S* ([\d, ]+)\) (.*)", text)
    if dead:
        return DEAD_LOADER.format(reason=dead[2].strip(" ."))
    if isinstance(error, dist.DistError) or re.search(r"gloo|nccl|closed by peer|reset by peer", text, re.IGNORECASE):
        return LOST_PROCESS.format(reason=re.sub(r"^\[[^\]]*\] *", "", text.partition("\n")[0])[:200])
    return None
