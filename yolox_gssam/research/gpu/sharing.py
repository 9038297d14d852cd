"""Kernels of several processes at once on one device: NVIDIA's Multi-Process Service.

Without it a device gives each process a slice of time, and the short kernels of a small network leave most of it idle.
https://docs.nvidia.com/deploy/mps/
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from loguru import logger

CONTROL = "nvidia-cuda-mps-control"
PLACES = ("/usr/local/nvidia/bin", "/usr/bin", "/usr/local/cuda/bin")
FOLDERS = ("CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY")
SECONDS = 15
QUIT_SECONDS = 3


@contextmanager
def shared_device() -> Iterator[bool]:
    """Inside, processes that are started share the device, if the service can be started here; says whether it was.

    It is this user's alone and ends with the block. A service that the machine runs already is left to itself.
    """
    control = shutil.which(CONTROL) or next(
        (path for place in PLACES if os.access(path := f"{place}/{CONTROL}", os.X_OK)), None
    )
    if control is None or any(name in os.environ for name in FOLDERS):
        yield False
        return
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, **dict.fromkeys(FOLDERS, folder)}
        started = _call([control, "-d"], environment)
        if started:
            os.environ.update(environment)
        try:
            yield started
        finally:
            forget_sharing()
            if started:
                # Does not wait for processes that have not ended yet.
                _call([control], environment, f"quit -t {QUIT_SECONDS}\n")


def _call(command: list[str], environment: dict[str, str], text: str | None = None) -> bool:
    try:
        # Not into pipes: the service keeps them open, and its end would be waited for.
        done = subprocess.run(
            command, env=environment, input=text, text=True, timeout=SECONDS, check=False, stdout=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        logger.warning(f"{command[0]}: {error}")
        return False
    return done.returncode == 0


def forget_sharing() -> None:
    """Processes started from now on do not use the service."""
    for name in FOLDERS:
        os.environ.pop(name, None)
