"""The fastest backend on this machine: measured once, then remembered."""

import json
import os
import time
from pathlib import Path

import numpy as np
import torch
from loguru import logger
from yolox.models import YOLOX

from yolox_gssam.common.device import describe_device
from yolox_gssam.common.errors import UserError
from yolox_gssam.common.files import write_json
from yolox_gssam.inference.backends import BACKENDS, build_backend, why_unavailable

_ROUNDS = 12
_WARMUP = 2


def fastest_backend(model: YOLOX, input_size: tuple[int, int], device: torch.device, half: bool = False) -> str:
    """The name of the backend that runs this network in the least time, batch 1, and a line in the log that says so.

    What is measured is remembered in `memory_path()`, for this machine, versions, number of threads and network. On a
    CPU torch.compile is not tried: it compiles for minutes and is slower than OpenVINO.
    """
    names = [name for name in BACKENDS if why_unavailable(name, device, half) is None]
    if device.type == "cpu":
        names.remove("compile")
    network = f"{sum(parameter.numel() for parameter in model.parameters())} parameters at {input_size}, half {half}"
    key = f"{network}, {describe_device(device)}, torch {torch.__version__}, {' or '.join(names)}"
    known = _remembered()
    if known.get(key) in names:
        logger.info(f"backend {known[key]}, the fastest here when it was measured ({memory_path()})")
        return known[key]
    milliseconds = _measure(names, model, input_size, device, half)
    fastest = min(milliseconds, key=milliseconds.__getitem__)
    times = ", ".join(f"{name} {value:.1f}" for name, value in milliseconds.items())
    logger.info(f"backend {fastest}, the fastest here; ms an image: {times}")
    try:
        write_json(memory_path(), {**known, key: fastest})
    except UserError as error:
        logger.warning(f"{error}; it will be measured again")
    return fastest


def memory_path() -> Path:
    """Where measurements are remembered: backends.json in the user's cache folder, or in $YOLOX_GSSAM_CACHE."""
    folder = os.environ.get("YOLOX_GSSAM_CACHE")
    if folder:
        return Path(folder, "backends.json")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "yolox_gssam", "backends.json")


def _remembered() -> dict[str, str]:
    try:
        known = json.loads(memory_path().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _measure(
    names: list[str], model: YOLOX, input_size: tuple[int, int], device: torch.device, half: bool
) -> dict[str, float]:
    """Median milliseconds of each backend that can run the network, in turn."""
    logger.info(f"measuring once which of {', '.join(names)} is the fastest here")
    backends = {}
    for name in names:
        try:
            backends[name] = build_backend(name, model, input_size, device, half)
        except Exception as error:  # a converter that fails leaves the others to choose from
            logger.warning(f"backend {name} cannot run this network: {str(error).splitlines()[0]:.200}")
    image = np.random.default_rng(0).integers(0, 255, (1, *input_size, 3), dtype=np.uint8)
    seconds: dict[str, list[float]] = {name: [] for name in backends}
    for _ in range(_ROUNDS):
        for name, backend in backends.items():
            start = time.perf_counter()
            backend.candidates(image, 0.25)
            backend.synchronize()
            seconds[name].append(time.perf_counter() - start)
    return {name: 1000 * float(np.median(values[_WARMUP:])) for name, values in seconds.items()}
