"""The machine that numbers come from: what it is, what runs on it, and how fast it is at the moment."""

import platform
import re
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import torch

import yolox_gssam
from yolox_gssam.common.device import describe_device
from yolox_gssam.evaluation.provenance import command_line, core_count, cpu_name, package_version

PACKAGES = ("torch", "torchvision", "yolox", "numpy", "opencv-python", "onnxruntime", "openvino")
MATRIX_SIDE = 1024


@dataclass(frozen=True)
class Machine:
    """Where and when something was measured.

    Attributes:
        cores: CPU cores that the process may use.
        threads: of torch.
        clock_mhz: mean of the cores at this moment; None where the system does not tell.
        matmul_gflops: GFLOP/s in float32 that a product of two matrices of 1024 x 1024 reaches on the device: what is
            attainable in practice.
        versions: of Python, the packages and the system.
        date: local time with its offset, ISO 8601.
    """

    cpu: str
    cores: int
    threads: int
    device: str
    clock_mhz: float | None
    matmul_gflops: float
    versions: dict[str, str]
    date: str
    command: str

    def lines(self) -> list[str]:
        """The same for people."""
        clock = "" if self.clock_mhz is None else f" at {self.clock_mhz:.0f} MHz"
        return [
            f"{self.cpu}{clock}, {self.cores} cores, torch with {self.threads} threads; computing on {self.device}, "
            f"which multiplies 1024 x 1024 matrices at {self.matmul_gflops:.0f} GFLOP/s in float32",
            ", ".join(f"{name} {version}" for name, version in self.versions.items()),
            f"{self.date}: {self.command}",
        ]


def describe_machine(device: torch.device) -> Machine:
    """Asks the machine; takes a moment, since it multiplies matrices."""
    installed = {name: package_version(name) for name in PACKAGES}
    return Machine(
        cpu=cpu_name(),
        cores=core_count(),
        threads=torch.get_num_threads(),
        device=describe_device(device),
        clock_mhz=clock_mhz(),
        matmul_gflops=matmul_gflops(device),
        versions={
            "python": platform.python_version(),
            "yolox_gssam": yolox_gssam.__version__,
            **{name: version for name, version in installed.items() if version[0].isdigit()},
            "system": platform.platform(),
        },
        date=datetime.now().astimezone().isoformat(timespec="seconds"),
        command=command_line(),
    )


def clock_mhz() -> float | None:
    """The cores' clock now, as Linux tells it."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    clocks = [float(clock) for clock in re.findall(r"^cpu MHz\s*: ([\d.]+)", text, re.MULTILINE)]
    return float(np.mean(clocks)) if clocks else None


def matmul_gflops(device: torch.device, repeats: int = 20) -> float:
    """See `Machine.matmul_gflops`; the best of `repeats`."""
    matrix = torch.rand(MATRIX_SIDE, MATRIX_SIDE, device=device)
    product = torch.empty_like(matrix)
    seconds = []
    for _ in range(repeats):
        synchronize(device)
        start = time.perf_counter()
        torch.mm(matrix, matrix, out=product)
        synchronize(device)
        seconds.append(time.perf_counter() - start)
    return 2 * MATRIX_SIDE**3 / min(seconds) / 1e9


def synchronize(device: torch.device) -> None:
    """Waits until the device has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
