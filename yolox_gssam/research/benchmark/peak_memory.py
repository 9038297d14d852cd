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

    None where the system does not tell.

    Args:
        prepare: a function that another process can import; what it takes itself does not count.
        arguments: can be pickled.

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
    peak: int | str | None
    try:
        peak = receiver.recv()
    except EOFError:
        peak = "it ended without a word; there may be too little memory"
    process.join()
    if isinstance(peak, str):
        raise UserError(f"the process that measures the memory failed: {peak}")
    return peak


def _measure(
    sender: Connection,
    prepare: Callable[..., Callable[[], object]],
    arguments: tuple[Any, ...],
    device_type: str,
    threads: int,
) -> None:
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
    return _bytes_of("VmRSS")


def _peak(device_type: str, before: int | None) -> int | None:
    if before is None:
        return None
    if device_type == "cuda":
        return torch.cuda.max_memory_allocated() - before
    peak = _bytes_of("VmHWM")
    return None if peak is None else max(peak - before, 0)


def _bytes_of(name: str) -> int | None:
    """What Linux tells of this process under a name."""
    found = re.search(rf"^{name}:\s*(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else None
