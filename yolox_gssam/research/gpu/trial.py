"""How many trainings side by side one device serves best."""

import multiprocessing
import time
from typing import Any

import torch

from yolox_gssam.common.device import autocast
from yolox_gssam.research.gpu.correctness import drawn_batch, nano
from yolox_gssam.research.gpu.times import static_step

START_SECONDS = 90.0
"""Most that the processes may take to start and to record their steps."""


def images_per_second(
    device: torch.device, size_hw: tuple[int, int], batch: int, counts: tuple[int, ...], seconds: float, bf16: bool
) -> dict[str, float]:
    """Images per second of all processes together, for so many of them at work at once; each has been started before.

    Raises:
        RuntimeError: a process did not start.
    """
    context = multiprocessing.get_context("spawn")
    active, ready = context.Value("i", 0), context.Value("i", 0)
    done = context.Array("q", max(counts))
    arguments = (str(device), size_hw, batch, bf16, active, ready, done)
    processes = [context.Process(target=_work, args=(number, *arguments), daemon=True) for number in range(max(counts))]
    rates = {}
    try:
        for process in processes:
            process.start()
        limit = time.monotonic() + START_SECONDS
        while ready.value < len(processes):
            if time.monotonic() > limit or not all(process.is_alive() for process in processes):
                raise RuntimeError(f"{ready.value} of {len(processes)} processes started")
            time.sleep(0.05)
        for count in counts:
            active.value = count
            time.sleep(0.3)  # until those before have paused
            before, start = sum(done[:]), time.perf_counter()
            time.sleep(seconds)
            rates[str(count)] = batch * (sum(done[:]) - before) / (time.perf_counter() - start)
    finally:
        active.value = -1
        for process in processes:
            process.join(timeout=5)
            process.kill()
    return rates


def _work(
    number: int, device_name: str, size_hw: tuple[int, int], batch: int, bf16: bool, active: Any, ready: Any, done: Any
) -> None:
    device = torch.device(device_name)
    if device.type == "cpu":
        torch.set_num_threads(1)
    images, targets = (part.to(device) for part in drawn_batch(batch, size_hw))
    images = images.contiguous(memory_format=torch.channels_last)
    model = nano(None).to(device).to(memory_format=torch.channels_last)
    step = static_step(model, lambda: autocast(device, torch.bfloat16 if bf16 else None))
    step.run(images, targets, 1e-6)
    step.collect()
    with ready.get_lock():
        ready.value += 1
    while active.value >= 0:
        if number >= active.value:
            time.sleep(0.01)
            continue
        step.run(images, targets, 1e-6)
        step.collect()  # waits for the device, so that what is counted is done
        done[number] += 1
