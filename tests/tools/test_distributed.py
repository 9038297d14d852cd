"""Two real processes that train together, started as torchrun and as `-d 2` start them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from conftest import ROOT, RunTool, fields, read_history, read_until
from warm_python import WarmPython

TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
NAME = "gssam_sig_res_p1"


def frozen(data: Path, output: Path, **more: object) -> list[str]:
    """A run whose BatchNorm keeps its statistics: each process would otherwise count those of its own images."""
    return fields(data, output, freeze_norm=True, max_epoch=6, **more)


def train_command(*arguments: object) -> list[str]:
    return ["tools/train.py", "-f", f"exps/{NAME}.py", "--device", "cpu", "--seed", "2", *map(str, arguments)]


def largest_difference(one: Path, two: Path) -> float:
    first, second = (
        torch.load(p / NAME / "latest_ckpt.pth", weights_only=True)["training"]["model"] for p in (one, two)
    )
    return max(float((value.double() - second[name].double()).abs().max()) for name, value in first.items())


@pytest.fixture(scope="module")
def single(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory, run_tool: RunTool) -> Path:
    """A run of one process with batches of 8."""
    output = tmp_path_factory.mktemp("single")
    result = run_tool("train", *train_command("-b", 8)[1:], *frozen(tiny_dataset, output))
    assert result.returncode == 0, result.stderr
    return output


@pytest.mark.parametrize("start", ["torchrun", "-d 2"])
def test_two_processes_end_where_one_ends(
    start: str, single: Path, tiny_dataset: Path, tmp_path: Path, warm_python: WarmPython
) -> None:
    arguments = ["-b", 8, *frozen(tiny_dataset, tmp_path)]
    begin = TORCHRUN if start == "torchrun" else []
    result = warm_python.run([*begin, *train_command(*([] if begin else ["-d", 2])), *arguments], ROOT, ENVIRONMENT)
    assert result.returncode == 0, result.stderr
    # Fresh weights move by far more than that in so many steps, as the next test shows.
    assert largest_difference(single, tmp_path) < 1e-4
    rows = [read_history(folder / NAME) for folder in (single, tmp_path)]
    assert [row["val_ap"] for row in rows[0]] == [row["val_ap"] for row in rows[1]]


def test_other_data_would_be_noticed(single: Path, tiny_dataset: Path, tmp_path: Path, run_tool: RunTool) -> None:
    result = run_tool("train", *train_command("-b", 8, "--seed", 3)[1:], *frozen(tiny_dataset, tmp_path))
    assert result.returncode == 0, result.stderr
    assert largest_difference(single, tmp_path) > 1e-2


def test_a_killed_process_ends_the_job_and_one_process_goes_on(
    single: Path, tiny_dataset: Path, tmp_path: Path, warm_python: WarmPython, run_tool: RunTool
) -> None:
    options = ["-b", 8, "--save-every-minutes", 0.001, *frozen(tiny_dataset, tmp_path)]
    job = warm_python.popen([*TORCHRUN, *train_command(*options)], ROOT, ENVIRONMENT)
    lines = read_until(job, "epoch 2:")
    os.kill(process_of_rank(1, job.pid), signal.SIGKILL)
    started = time.monotonic()
    assert job.wait(60) != 0
    assert time.monotonic() - started < 60
    said = "".join(lines)
    assert "another process of this run ended" in said or "Signal 9 (SIGKILL)" in said, said
    result = run_tool("train", *train_command("--resume")[1:], *options)
    assert result.returncode == 0, result.stderr
    assert "resuming" in result.stderr
    assert largest_difference(single, tmp_path) < 1e-4


def test_sigterm_to_the_job_saves_and_ends_it(tiny_dataset: Path, tmp_path: Path, warm_python: WarmPython) -> None:
    arguments = [*train_command("-d", 2, "-b", 8), *frozen(tiny_dataset, tmp_path)]
    job = warm_python.popen(arguments, ROOT, ENVIRONMENT)
    assert job.stderr is not None
    for line in job.stderr:
        if "epoch 2:" in line:
            break
    job.terminate()
    rest = job.stderr.read()
    assert job.wait(60) == 128 + signal.SIGTERM, rest
    assert "go on with --resume" in rest
    assert "Traceback" not in rest


def test_torchrun_and_d_together_are_refused(tiny_dataset: Path, tmp_path: Path) -> None:
    """With processes that import all anew, as a user starts them."""
    command = [sys.executable, *TORCHRUN, *train_command("-d", 2), *frozen(tiny_dataset, tmp_path)]
    result = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
    assert result.returncode != 0
    assert "-d and torchrun both ask for processes" in result.stderr


def test_evaluation_shares_the_images_and_counts_each_once(
    tiny_dataset: Path, tmp_path: Path, warm_python: WarmPython
) -> None:
    """Each process finds every object of its share: all are found, none twice, so the AP is 1."""
    script = tmp_path / "evaluate.py"
    script.write_text(
        "import sys\n"
        "from pathlib import Path\n"
        "import numpy as np\n"
        "from torch import distributed as dist\n"
        "from yolox_gssam.data.coco_reader import load_split\n"
        "from yolox_gssam.detections import Detections\n"
        "from yolox_gssam.engine import evaluator\n"
        "from yolox_gssam.models import build_yolox\n"
        "dist.init_process_group('gloo')\n"
        "seen = []\n"
        "def find_all(predictor, split, batch_size, workers):\n"
        "    seen.extend(image.image_id for image in split.images)\n"
        "    return {i.image_id: Detections(i.boxes_xyxy, np.ones(len(i.labels)), i.labels) for i in split.images}\n"
        "evaluator.predict_split = find_all\n"
        "root = Path(sys.argv[1])\n"
        "split = load_split(root / 'annotations' / 'train.json', root / 'images')\n"
        "measure = evaluator.DroneEvaluator(split, (64, 64), 0.01, 0.65, batch_size=5, workers=0)\n"
        "model = build_yolox(2, 0.33, 0.125, depthwise=True)\n"
        "ap, ap50, _ = measure.evaluate(model, distributed=True)\n"
        "everyone = [None, None]\n"
        "dist.all_gather_object(everyone, seen)\n"
        "if dist.get_rank() == 0:\n"
        "    assert all(everyone), everyone\n"
        "    assert sorted(everyone[0] + everyone[1]) == [image.image_id for image in split.images], everyone\n"
        "    print('AP', ap, ap50)\n"
        # Without it a thread of gloo may outlive the interpreter, which then aborts.
        "dist.destroy_process_group()\n"
    )
    result = warm_python.run([*TORCHRUN, script, tiny_dataset], ROOT, ENVIRONMENT, timeout=120)
    assert result.returncode == 0, result.stderr
    assert "AP 1.0 1.0" in result.stdout


def process_of_rank(rank: int, parent: int) -> int:
    """The id of the training process that a torchrun gave this rank."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                status, environment = (folder / "stat").read_text(), (folder / "environ").read_bytes()
            except OSError:
                continue
            if status.rpartition(")")[2].split()[1] == str(parent) and f"\0RANK={rank}\0".encode() in environment:
                return int(folder.name)
    raise AssertionError(f"no process of rank {rank}")
