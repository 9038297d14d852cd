"""What several tests share: a tiny data set, and tools run as a user runs them."""

import csv
import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from warm_python import WarmProcess, WarmPython

from yolox_gssam.attention import registry

ROOT = Path(__file__).parents[1]
RunTool = Callable[..., subprocess.CompletedProcess[str]]
# Of the runs that tests train.
EPOCHS = 3


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attention that a test registers is gone after it."""
    monkeypatch.setattr(registry, "_modules", dict(registry._modules))


def fields(data: Path, output: Path, **more: object) -> list[str]:
    """A network and a run small enough for seconds."""
    values = {
        "data_dir": data,
        "output_dir": output,
        "depth": 0.33,
        "width": 0.125,
        "depthwise": True,
        "input_size": "(64,96)",
        "multiscale_range": 1,
        "max_epoch": EPOCHS,
        "warmup_epochs": 1,
        "no_aug_epochs": 1,
        "data_num_workers": 0,
        "print_interval": 1,
        **more,
    }
    return [str(item) for pair in values.items() for item in pair]


def read_history(run: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((run / "history.csv").open()))


def read_until(process: "subprocess.Popen[str] | WarmProcess", mark: str) -> list[str]:
    """Reads what a process says on standard error until a line holds the mark, and goes on in a thread; the lines."""
    lines: list[str] = []
    assert process.stderr is not None
    for line in process.stderr:
        lines.append(line)
        if mark in line:
            break
    threading.Thread(target=lambda: lines.extend(process.stderr or ()), daemon=True).start()
    return lines


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noisy grey images of 96 x 128 with bright squares (class "drone", id 7) and dark ones ("bird", id 3)."""
    root = tmp_path_factory.mktemp("tiny")
    (root / "images").mkdir()
    (root / "annotations").mkdir()
    rng = np.random.default_rng(0)
    for part, count in (("train", 12), ("val", 4), ("test", 4)):
        images, annotations = [], []
        for i in range(count):
            name = f"{part}_{i}.jpg"
            image = rng.integers(110, 140, (96, 128, 3), dtype=np.uint8)
            for _ in range(i % 3):
                side = int(rng.integers(10, 24))
                x, y = (int(v) for v in rng.integers(0, (128 - side, 96 - side)))
                bright = bool(rng.random() < 0.5)
                image[y : y + side, x : x + side] = 250 if bright else 5
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": i + 1,
                        "category_id": 7 if bright else 3,
                        "bbox": [x, y, side, side],
                        "area": side * side,
                        "iscrowd": 0,
                    }
                )
            cv2.imwrite(str(root / "images" / name), image)
            images.append({"id": i + 1, "file_name": name, "width": 128, "height": 96})
        categories = [{"id": 7, "name": "drone"}, {"id": 3, "name": "bird"}]
        content = {"images": images, "annotations": annotations, "categories": categories}
        (root / "annotations" / f"{part}.json").write_text(json.dumps(content))
    return root


@pytest.fixture(scope="session")
def warm_python() -> Iterator[WarmPython]:
    python = WarmPython(ROOT)
    yield python
    python.close()


@pytest.fixture(scope="session")
def run_tool(warm_python: WarmPython) -> RunTool:
    """Runs tools/<name>.py with the given arguments in a process of its own; returns what it printed and its status."""

    def run(name: str, *arguments: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
        return warm_python.run([ROOT / "tools" / f"{name}.py", *arguments], cwd)

    return run
