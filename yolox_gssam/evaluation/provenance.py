"""Where numbers come from: the data, the weights, the command, the machine and the versions."""

import importlib.metadata
import json
import platform
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from yolox_gssam.common.files import from_here, sha256_of
from yolox_gssam.common.version import __version__
from yolox_gssam.data.coco_reader import CocoSplit
from yolox_gssam.inference.backends.base import core_count


@dataclass(frozen=True)
class Provenance:
    """What a result was made from.

    Attributes:
        dataset_hash: the hash of the whole data set, as its dataset.json has it; None without one.
        checkpoint: path of the weights; None where no network ran.
        hardware: "device" as given, "cpu", "cores" the process may use, "threads" of torch.
        versions: of Python and of the packages that make the numbers.
        detections: path of the detections that were given instead of a network; else None.
    """

    annotations: str
    annotations_sha256: str
    dataset_hash: str | None
    checkpoint: str | None
    checkpoint_sha256: str | None
    command: str
    hardware: dict[str, str | int]
    versions: dict[str, str]
    detections: str | None = None
    detections_sha256: str | None = None


def find_provenance(
    split: CocoSplit, checkpoint: Path | None, device: str, detections: Path | None = None
) -> Provenance:
    """Gathers it for the running process; `device` is the name of the device that computes.

    Raises:
        UserError: the checkpoint, the file of detections or the annotation file cannot be read.
    """
    packages = ("torch", "torchvision", "yolox", "hotcoco", "pycocotools", "numpy", "opencv-python")
    return Provenance(
        annotations=str(split.path),
        annotations_sha256=sha256_of(split.path),
        dataset_hash=_dataset_hash(split.image_dir.parent / "dataset.json"),
        checkpoint=None if checkpoint is None else str(checkpoint),
        checkpoint_sha256=None if checkpoint is None else sha256_of(checkpoint),
        command=command_line(),
        hardware={"device": device, "cpu": cpu_name(), "cores": core_count(), "threads": torch.get_num_threads()},
        versions={
            "python": platform.python_version(),
            "yolox_gssam": __version__,
            **{name: package_version(name) for name in packages},
            "system": platform.platform(),
        },
        detections=None if detections is None else str(detections),
        detections_sha256=None if detections is None else sha256_of(detections),
    )


def command_line() -> str:
    """The command line of this process."""
    return shlex.join([Path(sys.executable).name, *map(from_here, sys.argv)])


def _dataset_hash(path: Path) -> str | None:
    """Sets of other makers have no dataset.json, or one of another meaning."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    found = content.get("hash") if isinstance(content, dict) else None
    return found if isinstance(found, str) else None


def package_version(package: str) -> str:
    """The version of an installed distribution, or that there is none."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed under this name"


def cpu_name() -> str:
    """The model's name; Linux tells it only in /proc/cpuinfo."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
