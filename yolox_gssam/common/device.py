"""Which device to compute on, and in which precision."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from yolox_gssam.common.errors import UserError


def choose_device(name: str | None = None) -> torch.device:
    """The device called `name`, or by default the best there is.

    Args:
        name: "cpu", "cuda", "cuda:1" or 1, "gpu" as in YOLOX, "mps".

    Raises:
        UserError: an unknown device, or one this machine or this build of torch lacks.
    """
    if name is None:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device("cuda" if name == "gpu" else f"cuda:{name}" if name.isdecimal() else name)
    except RuntimeError as error:
        raise UserError(f"device {name!r}: not known; use cpu, cuda, cuda:N or mps") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(f"device {name!r}: this machine has {torch.cuda.device_count()} CUDA devices; use --device cpu")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UserError(f"device {name!r}: Apple's MPS is not available here; use --device cpu")
    if device.type not in ("cpu", "cuda", "mps"):
        raise UserError(f"device {name!r}: only cpu, cuda and mps are supported")
    return device


def half_dtype(device: torch.device) -> torch.dtype:
    """The 16-bit type for mixed precision: float16 on CUDA and MPS; bfloat16 on the CPU, where float16 is slow."""
    return torch.bfloat16 if device.type == "cpu" else torch.float16


def autocast(device: torch.device, dtype: torch.dtype | None) -> AbstractContextManager[Any]:
    """Mixed precision in `dtype`, or none for None."""
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype=dtype)


def describe_device(device: torch.device) -> str:
    """The device's name as the hardware or torch tells it, with the CPU's number of threads."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"cpu ({torch.get_num_threads()} threads)" if device.type == "cpu" else str(device)
