"""Several training processes: those that torchrun has started, or as many as YOLOX's `-d N` asks for."""

import os
import signal
import socket
from collections.abc import Callable
from datetime import timedelta
from types import FrameType
from typing import Any

import torch
from torch import distributed as dist
from torch import multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel
from yolox.utils import get_rank, get_world_size

from yolox_gssam.common.device import choose_device
from yolox_gssam.common.errors import UserError, innermost_message
from yolox_gssam.common.stop import Stopped

# A process that hangs without ending is noticed after so long; one that ends is noticed at once.
TIMEOUT = timedelta(minutes=10)
# The others get so long to end by themselves once one of them has ended.
GRACE_SECONDS = 15.0


def launch(main: Callable[[Any], None], args: Any, processes: int) -> None:
    """Calls `main(args)` in this process, or in so many new ones that know each other through torch.distributed.

    They talk by NCCL where each has a CUDA device, otherwise by gloo and share the CPU's cores.

    Raises:
        UserError: more processes than CUDA devices; a process that ended; and the message of one that failed.
        Stopped: the processes were asked to end by a signal, and have.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        if processes > 1:
            raise UserError("-d and torchrun both ask for processes: leave -d out and give torchrun --nproc-per-node")
        _join_group(_backend(args), None, int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]), main, args)
    elif processes <= 1:
        main(args)
    else:
        _spawn(main, args, processes)


def check_batch_size(batch_size: int, processes: int) -> None:
    """Raises UserError where not every process gets as many images per step: those of `-d`, or of torchrun."""
    processes = int(os.environ.get("WORLD_SIZE", processes))
    if batch_size % processes:
        fitting = -(-batch_size // processes) * processes
        raise UserError(
            f"-b {batch_size}: the images of each step are shared by {processes} processes evenly; give a multiple of "
            f"{processes}, such as -b {fitting}"
        )


def choose_own_device(name: str | None) -> torch.device:
    """The device asked for; of several CUDA devices the one of this process on its machine."""
    device = choose_device(name)
    if device.type == "cuda" and device.index is None:
        number = int(os.environ.get("LOCAL_RANK", get_rank()))  # among the processes of this machine
        device = torch.device("cuda", number % torch.cuda.device_count())
        torch.cuda.set_device(device)
    return device


def anywhere(flag: bool, device: torch.device) -> bool:
    """Whether the flag is up in any process of the run: they must all do the same."""
    if get_world_size() < 2:
        return flag
    shared = torch.tensor(int(flag), device=device)
    dist.all_reduce(shared, op=dist.ReduceOp.MAX)
    return bool(shared)


def from_first(value: Any, device: torch.device) -> Any:
    """The value that the first process of the run has."""
    if get_world_size() < 2:
        return value
    shared = [value]
    dist.broadcast_object_list(shared, src=0, device=device)
    return shared[0]


def share_buffers(model: nn.Module) -> None:
    """Gives every process the first one's BatchNorm statistics: each has counted those of its own images."""
    if get_world_size() > 1:
        for buffer in model.buffers():
            dist.broadcast(buffer, src=0)


def wrapped(model: nn.Module, device: torch.device) -> nn.Module:
    """The network so that gradients are those of all processes; itself where there is one."""
    if get_world_size() < 2:
        return model
    return DistributedDataParallel(model, device_ids=[device] if device.type == "cuda" else None)


def unwrapped(model: nn.Module) -> Any:
    return model.module if isinstance(model, DistributedDataParallel) else model


def _spawn(main: Callable[[Any], None], args: Any, processes: int) -> None:
    backend = _backend(args)
    if backend == "nccl" and processes > torch.cuda.device_count():
        raise UserError(f"-d {processes}: this machine has {torch.cuda.device_count()} CUDA devices")
    context = multiprocessing.spawn(
        _worker, (processes, backend, _free_port(), main, args), nprocs=processes, join=False
    )

    def hand_on(number: int, frame: FrameType | None) -> None:
        for process in context.processes:
            if process.is_alive():
                os.kill(process.pid, number)

    before = {number: signal.signal(number, hand_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        while not context.join(grace_period=GRACE_SECONDS):
            pass
    except multiprocessing.ProcessRaisedException as error:
        message = innermost_message(str(error))
        if message is None:
            raise
        raise UserError(message) from error
    except multiprocessing.ProcessExitedException as error:
        if error.exit_code - 128 in (signal.SIGINT, signal.SIGTERM):
            raise Stopped(error.exit_code - 128) from error
        how = error.signal_name or f"status {error.exit_code}"
        raise UserError(
            f"process {error.error_index} of {processes} ended ({how}), and the others with it; most often memory ran "
            f"out; start again with --resume"
        ) from error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _worker(rank: int, processes: int, backend: str, port: int, main: Callable[[Any], None], args: Any) -> None:
    if backend == "gloo":
        torch.set_num_threads(max((os.cpu_count() or 1) // processes, 1))
    os.environ["LOCAL_RANK"] = str(rank)
    _join_group(backend, f"tcp://127.0.0.1:{port}", rank, processes, main, args)


def _join_group(
    backend: str, address: str | None, rank: int, processes: int, main: Callable[[Any], None], args: Any
) -> None:
    """Calls `main(args)` as one process of the group; without an address it stands in the environment."""
    dist.init_process_group(backend, init_method=address, rank=rank, world_size=processes, timeout=TIMEOUT)
    try:
        main(args)
    finally:
        dist.destroy_process_group()


def _backend(args: Any) -> str:
    return "nccl" if torch.cuda.is_available() and args.device in (None, "cuda", "gpu") else "gloo"


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
