"""One file for each result, there or not, and what is brought back of them."""

import json
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from loguru import logger

from yolox_gssam.common.device import describe_device
from yolox_gssam.common.files import atomic_path, write_json
from yolox_gssam.evaluation.provenance import command_line, core_count, cpu_name, package_version

PARTS_OF_BACK = {
    "measures": "*.json",
    "cells": "cells/*.[nj]*",
    "cells_double": "cells_double/*.[nj]*",
    "cells_pasted": "cells_pasted/*.[nj]*",
    "networks_origin": "cells*/networks/origin_*.pth",
    "networks_gssam": "cells*/networks/gssam_*.pth",
    "networks_pasted": "cells*/networks/pasted_*.pth",
}
"""Name of each file that is brought back -> what it holds, below the folder of the results."""


class Results:
    """The results in a folder; what is there already is not measured again.

    Args:
        folder: of the results.
        deadline: of time.monotonic(), after which nothing more is begun.
    """

    def __init__(self, folder: Path, deadline: float) -> None:
        self.folder = folder
        self.deadline = deadline

    @property
    def seconds_left(self) -> float:
        return self.deadline - time.monotonic()

    def measure(self, name: str, device: torch.device, work: Callable[[], Any]) -> None:
        """Writes what `work` returns, with the machine it comes from, to `<name>.json`.

        A fault is written, too, so that the others go on, and is tried again the next time.
        """
        path = self.folder / f"{name}.json"
        if path.exists() and "fault" not in json.loads(path.read_bytes()):
            return
        if self.seconds_left <= 0:
            logger.warning(f"{name}: left out, the time is up")
            return
        start = time.monotonic()
        try:
            content = {"result": work()}
        except Exception as error:  # whatever it is, the next measurement is worth its time
            logger.opt(exception=True).error(f"{name} failed")
            content = {"fault": f"{type(error).__name__}: {error}"[:2000]}
        write_json(path, {"name": name, **content, "seconds": time.monotonic() - start, "machine": machine(device)})
        logger.info(f"{name}: {time.monotonic() - start:.1f} s")


def machine(device: torch.device) -> dict[str, Any]:
    """Where a result comes from."""
    return {
        "device": describe_device(device),
        "cpu": cpu_name(),
        "cores": core_count(),
        "versions": {name: package_version(name) for name in ("torch", "torchvision", "yolox", "numpy")},
        "cuda": torch.version.cuda,
        "command": command_line(),
    }


def bring_back(folder: Path, back: Path) -> list[Path]:
    """Packs all results into a few files in `back`, each whole or not at all.

    They are stored as they are: what is large is packed already.
    """
    written = []
    for name, pattern in PARTS_OF_BACK.items():
        files = sorted(folder.glob(pattern))
        if not files:
            continue
        with atomic_path(back / f"{name}.zip") as part, zipfile.ZipFile(part, "w") as archive:
            for file in files:
                archive.write(file, file.relative_to(folder))
        written.append(back / f"{name}.zip")
    return written


def take_back(back: Path, folder: Path) -> int:
    """Unpacks what `bring_back` packed where it is not there yet; returns how many files."""
    count = 0
    for archive_path in sorted(back.glob("*.zip")):
        with zipfile.ZipFile(archive_path) as archive:
            for name in archive.namelist():
                target = folder / name
                if target.exists() or not target.resolve().is_relative_to(folder.resolve()):
                    continue
                with atomic_path(target) as part:
                    part.write_bytes(archive.read(name))
                count += 1
    return count
