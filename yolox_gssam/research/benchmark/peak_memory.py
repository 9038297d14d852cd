"""Peak memory of a piece of work, measured in a process of its own."""

import multiprocessing
import re
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from yolox_gssam.common.errors import UserError

HOW = {
    "cpu": "resident memory at its peak over that before, in a fresh process for each (Linux tells it to about 1 MiB)",
    "cuda": "the most that torch's allocator held on the GPU (max_memory_allocated), in a fresh process for each",
    "mps": "not measured on MPS",
}

PRELOADED = tuple(
    f"yolox_gssam.research.benchmark.{name}"
    for name in ("attention_cost", "contrast_cost", "latency", "training_speed")
)
"""What tools/benchmark.py imports, which every process imports first."""


def peak_memory(
    prepare: Callable[..., Callable[[], object]], arguments: tuple[Any, ...], device: torch.device
) -> int | None:
    """Bytes that the work which `prepare(*arguments)` returns takes at most, on the CPU or on the GPU, see `HOW`.

    Args:
        prepare: a function that another process can import; what it takes itself does not count.
        arguments: can be pickled.
        device: where the memory is counted.

    Returns:
        None where the system does not tell.

    Raises:
        UserError: the process ended before it was done, or something raised in it.
    """
    methods = multiprocessing.get_all_start_methods()
    # A server that has imported everything and computed nothing starts each process within milliseconds.
    context: Any = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    if "forkserver" in methods:
        context.set_forkserver_preload([*PRELOADED, prepare.__module__])
    receiver, sender = context.Pipe(duplex=False)
    inputs = (sender, prepare, arguments, device.type, torch.get_num_threads())
    process = context.Process(target=_measure, args=inputs, daemon=True)
    process.start()
    sender.close()
    try:
        peak = receiver.recv()
    except EOFError:
        peak = "it ended without a word; there may be too little memory"
    process.join()
    if isinstance(peak, str):
        raise UserError(f"the process that measures the memory failed: {peak}")
    assert peak is None or isinstance(peak, int)
    return peak


def _measure(
    sender: Connection,
    prepare: Callable[..., Callable[[], object]],
    arguments: tuple[Any, ...],
    device_type: str,
    threads: int,
) -> None:
    """What the process does."""
    torch.set_num_threads(threads)
    try:
        work = prepare(*arguments)
        before = _begin(device_type)
        result = work()  # kept until the peak is read
        sender.send(_peak(device_type, before))
        del result
    except Exception as error:
        sender.send(f"{type(error).__name__}: {error}")


def _begin(device_type: str) -> int | None:
    """Sets the peak back to what is held now, and returns it."""
    if device_type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    try:
        Path("/proc/self/clear_refs").write_text("5")  # man 5 proc: resets the peak
    except OSError:
        return None
    return _kilobytes("/proc/self/status", "VmRSS")


def _peak(device_type: str, before: int | None) -> int | None:
    if device_type == "cuda":
        return torch.cuda.max_memory_allocated() - (before or 0)
    peak = _kilobytes("/proc/self/status", "VmHWM")
    return None if before is None or peak is None or device_type != "cpu" else max(peak - before, 0)


def _kilobytes(path: str, name: str) -> int | None:
    """A line of /proc in bytes."""
    try:
        found = re.search(rf"^{name}:\s*(\d+) kB", Path(path).read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None
