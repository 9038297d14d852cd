"""How much memory is free, on the processor and on the device, and keeping what was taken."""

import ctypes
import os
import sys
from pathlib import Path

import torch

# Of glibc's mallopt (malloc.h).
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def keep_freed_memory() -> None:
    """Lets this process take freed memory again instead of giving it back to the system, on Linux with glibc.

    Activations are as large as what glibc maps anew from the system each time, which clears every page on its first
    use: a quarter of the time of a training on a CPU. Elsewhere this does nothing.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
        if mallopt is not None:
            mallopt(_M_MMAP_MAX, 0)
            mallopt(_M_TRIM_THRESHOLD, -1)


def give_back_freed_memory() -> None:
    """Gives back to the system what this process has freed and kept, on Linux with glibc.

    Processes that are forked later share it, and whatever this process writes there afterwards is then held twice.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def free_bytes(device: torch.device) -> int | None:
    """Bytes that can be taken on the device without swapping; None where the system does not say."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    free = free_ram()
    if device.type == "mps":  # a part of the same memory
        left = torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
        return left if free is None else min(left, free)
    return free


def free_ram(proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Bytes of main memory that are free or can be had at once, within the limits of the process's control groups.

    Where the system tells its size alone, as macOS does, half of that.
    """
    try:
        lines = (proc / "meminfo").read_text().splitlines()
        available = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        try:
            return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
        except (AttributeError, ValueError, OSError):  # AttributeError: Windows
            return None
    return max(min([available, *_left_in_groups(proc, cgroups)]), 0)


def _left_in_groups(proc: Path, cgroups: Path) -> list[int]:
    """What each control group around this process leaves; those without a limit are passed over."""
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return []
    left = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:  # version 2
            root, names = cgroups, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            root, names = cgroups / "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        group = root / path.lstrip("/")
        # A container often sees its own group as the root, and its path leads nowhere.
        for folder in (group, *group.parents[: len(group.relative_to(root).parts)]):
            try:
                limit, used = ((folder / name).read_text().strip() for name in names[:2])
                stat = dict(entry.split() for entry in (folder / "memory.stat").read_text().splitlines())
            except OSError:
                continue
            if limit.isdigit():
                # Pages of files that nobody uses are given back as soon as memory is asked for.
                left.append(int(limit) - int(used) + int(stat.get(names[2], 0)))
    return left
