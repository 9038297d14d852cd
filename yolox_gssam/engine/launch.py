"""Several training processes on one machine, as YOLOX's `-d N` asks."""

import os
import socket
from collections.abc import Callable
from typing import Any

import torch
from torch import distributed as dist
from torch import multiprocessing

from yolox_gssam.errors import UserError


def launch(main: Callable[[Any], None], args: Any, processes: int) -> None:
    """Calls `main(args)` in this process, or in so many new ones that know each other through torch.distributed.

    They talk by NCCL where each has a CUDA device, otherwise by gloo and share the CPU's cores.

    Raises:
        UserError: more processes than CUDA devices; and the first process's message where one of them failed.
    """
    if processes <= 1:
        main(args)
        return
    on_cuda = torch.cuda.is_available() and args.device in (None, "cuda", "gpu")
    if on_cuda and processes > torch.cuda.device_count():
        raise UserError(f"-d {processes}: this machine has {torch.cuda.device_count()} CUDA devices")
    backend = "nccl" if on_cuda else "gloo"
    try:
        multiprocessing.spawn(_worker, (processes, backend, _free_port(), main, args), nprocs=processes)
    except multiprocessing.ProcessRaisedException as error:
        if "yolox_gssam.errors.UserError: " in str(error):
            raise UserError(str(error).rsplit("yolox_gssam.errors.UserError: ", 1)[1].strip()) from error
        raise


def _worker(rank: int, processes: int, backend: str, port: int, main: Callable[[Any], None], args: Any) -> None:
    if backend == "gloo":
        torch.set_num_threads(max((os.cpu_count() or 1) // processes, 1))
    address = f"tcp://127.0.0.1:{port}"
    dist.init_process_group(backend, init_method=address, world_size=processes, rank=rank)
    try:
        main(args)
    finally:
        dist.destroy_process_group()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
