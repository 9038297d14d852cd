"""A training that a program starts."""

from argparse import Namespace
from typing import Any

import torch


def trainer_args(name: str, batch_size: int, device: torch.device, **flags: Any) -> Namespace:
    """What `Trainer` takes, as tools/train.py parses it: float32 from fresh weights, but for `flags` by its names.

    Args:
        name: of the run's folder.
        batch_size: images per step.
    """
    plain = dict.fromkeys(("cache", "clip_grad_norm", "ckpt", "start_epoch"))
    switches = dict.fromkeys(("fp16", "bf16", "cuda_graph", "resume", "force"), False)
    run = {"experiment_name": name, "batch_size": batch_size, "device": str(device)}
    return Namespace(**{**plain, **switches, **run, **flags})
