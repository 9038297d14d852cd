"""What goes wrong in a training run ends in one line that says what to do, never in a traceback or a hang."""

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import ROOT, RunTool, fields, read_history
from warm_python import WarmPython

Copy = Callable[[], Path]
TRAIN = ["-f", "exps/origin.py", "-b", 4]
# Runs tools/train.py after the lines given: they put faults where no user can put them at a given moment.
DRIVER = (
    "import sys\nsys.path.insert(0, 'tools')\n{fault}\nimport train\ntrain.run_tool(train.make_parser(), train.main)\n"
)


@pytest.fixture
def dataset(tiny_dataset: Path, tmp_path: Path) -> Path:
    """A copy of the tiny data set, to be damaged."""
    subprocess.run(["cp", "-r", str(tiny_dataset), str(tmp_path / "data")], check=True)
    return tmp_path / "data"


def run_with_fault(python: WarmPython, fault: str, *arguments: object) -> "subprocess.CompletedProcess[str]":
    return python.run(["-c", DRIVER.format(fault=fault), *arguments], ROOT, timeout=120)


def at_epoch_end(line: str) -> str:
    """Lines that run one more, before whatever an epoch's end does; `self` is the trainer."""
    return (
        "from yolox_gssam.engine.trainer import Trainer\n"
        "inner = Trainer.after_epoch\n"
        "def spoil(self):\n"
        f"    {line}\n"
        "    inner(self)\n"
        "Trainer.after_epoch = spoil\n"
    )


def last_line(result: "subprocess.CompletedProcess[str]") -> str:
    assert "Traceback" not in result.stderr, result.stderr
    return result.stderr.strip().splitlines()[-1]


def test_losses_that_are_not_finite_are_skipped_then_end_the_run(
    tiny_dataset: Path, tmp_path: Path, run_tool: RunTool
) -> None:
    """One step of a huge size, and every loss after it is NaN."""
    options = fields(tiny_dataset, tmp_path, basic_lr_per_img=1e12, warmup_epochs=0, max_epoch=20, eval_interval=20)
    result = run_tool("train", *TRAIN, *options)
    assert result.returncode == 1
    line = last_line(result)
    assert "was not finite 20 times in a row" in line
    assert "train_" in line
    assert "lower basic_lr_per_img" in line
    assert result.stderr.count("step skipped") == 20
    state = torch.load(tmp_path / "origin" / "latest_ckpt.pth", weights_only=True)
    assert all(torch.isfinite(value).all() for value in state["training"]["model"].values())


def test_a_single_bad_step_leaves_no_trace_in_the_weights(
    tiny_dataset: Path, tmp_path: Path, warm_python: WarmPython
) -> None:
    """The third loss is infinite: the run counts it, ends well, and its weights are finite."""
    fault = (
        "from yolox_gssam.models.head import DroneHead\n"
        "inner, calls = DroneHead.get_losses, []\n"
        "def spoiled(self, *arguments, **named):\n"
        "    calls.append(1)\n"
        "    losses = inner(self, *arguments, **named)\n"
        "    return (losses[0] * float('inf'), *losses[1:]) if len(calls) == 3 else losses\n"
        "DroneHead.get_losses = spoiled\n"
    )
    result = run_with_fault(warm_python, fault, *TRAIN, *fields(tiny_dataset, tmp_path))
    assert result.returncode == 0, result.stderr
    rows = read_history(tmp_path / "origin")
    assert [row["skipped_steps"] for row in rows] == ["1", "0", "0"]
    assert float(rows[0]["grad_norm"]) > 0
    state = torch.load(tmp_path / "origin" / "latest_ckpt.pth", weights_only=True)
    assert all(torch.isfinite(value).all() for value in state["model"].values())


def test_clipping_holds_the_gradient(tiny_dataset: Path, tmp_path: Path, run_tool: RunTool) -> None:
    """Two runs whose limits are far below their gradients take steps of the ratio of the limits."""
    moved = []
    for limit in (1e-3, 2e-3):
        options = fields(tiny_dataset, tmp_path / str(limit), max_epoch=1, warmup_epochs=0, no_aug_epochs=0, ema=False)
        result = run_tool("train", *TRAIN, "-b", 12, "--clip-grad-norm", limit, "weight_decay", "0.0", *options)
        assert result.returncode == 0, result.stderr
        state = torch.load(tmp_path / str(limit) / "origin" / "latest_ckpt.pth", weights_only=True)
        buffers = [entry["momentum_buffer"] for entry in state["optimizer"]["state"].values()]
        moved.append(torch.cat([buffer.flatten() for buffer in buffers]).norm())
    assert moved[0] == pytest.approx(1e-3, rel=1e-3)
    assert moved[1] == pytest.approx(2e-3, rel=1e-3)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_image_that_breaks_in_the_middle_of_a_run(
    dataset: Path, tmp_path: Path, workers: int, warm_python: WarmPython
) -> None:
    """After the first epoch an image is gone; another run finds one that was written to."""
    for damage, message in (
        ("path.unlink()", "train_3.jpg: no such image file"),
        ("path.write_bytes(path.read_bytes() + b' ')", "train_3.jpg: changed while the run used it"),
    ):
        path = dataset / "images" / "train_3.jpg"
        fault = f"import pathlib\npath = pathlib.Path({str(path)!r})\n" + at_epoch_end(f"if self.epoch == 0: {damage}")
        options = fields(dataset, tmp_path, data_num_workers=workers)
        content = path.read_bytes()
        result = run_with_fault(warm_python, fault, *TRAIN, *options)
        assert result.returncode == 1
        assert message in last_line(result)
        path.write_bytes(content)


def test_labels_that_change_under_the_run(dataset: Path, tmp_path: Path, warm_python: WarmPython) -> None:
    fault = at_epoch_end(
        f"with open({str(dataset / 'annotations' / 'train.json')!r}, 'a') as stream: stream.write(' ')"
    )
    result = run_with_fault(warm_python, fault, *TRAIN, *fields(dataset, tmp_path))
    assert result.returncode == 1
    assert "train.json: changed while the run used it" in last_line(result)


def test_a_loading_process_that_dies(tiny_dataset: Path, tmp_path: Path, warm_python: WarmPython) -> None:
    fault = (
        "import os, signal\n"
        "from yolox_gssam.data.training_set import TrainingSet\n"
        "inner = TrainingSet.__getitem__\n"
        "def die(self, request):\n"
        "    if request.number == 14: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return inner(self, request)\n"
        "TrainingSet.__getitem__ = die\n"
    )
    result = run_with_fault(warm_python, fault, *TRAIN, *fields(tiny_dataset, tmp_path, data_num_workers=2))
    assert result.returncode == 1
    assert "a process that loads images died" in last_line(result)
    assert "lower data_num_workers" in last_line(result)


def test_too_little_memory(tiny_dataset: Path, tmp_path: Path, warm_python: WarmPython) -> None:
    """The process may take 6 GiB; a batch of 12 images of 2048 x 2048 in YOLOX-s takes more."""
    fault = "import resource\nresource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))\n"
    options = fields(tiny_dataset, tmp_path, input_size="(2048,2048)", width=0.5, multiscale_range=0, mosaic_prob=0.0)
    result = run_with_fault(warm_python, fault, *TRAIN, "-b", 12, *options)
    assert result.returncode == 1
    assert "out of memory" in last_line(result)
    assert "lower the batch size" in last_line(result)


def test_a_full_disk_leaves_the_last_good_checkpoint(
    tiny_dataset: Path, tmp_path: Path, warm_python: WarmPython
) -> None:
    """From the second epoch on no file may grow beyond 100 kB."""
    fault = "import resource\n" + at_epoch_end(
        "if self.epoch == 1: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))"
    )
    result = run_with_fault(warm_python, fault, *TRAIN, *fields(tiny_dataset, tmp_path))
    assert result.returncode == 1
    assert "cannot be written" in last_line(result)
    run = tmp_path / "origin"
    assert torch.load(run / "latest_ckpt.pth", weights_only=True)["start_epoch"] == 1
    assert [path.name for path in run.glob(".*")] == [".lock"], "a temporary file was left behind"


def test_a_run_that_dies_while_it_saves(
    tiny_dataset: Path, tmp_path: Path, run_tool: RunTool, warm_python: WarmPython
) -> None:
    """Killed in the middle of writing its second checkpoint, it goes on from the first."""
    fault = (
        "import os, signal, torch\n"
        "inner = torch.save\n"
        "def die(state, path):\n"
        "    inner(state, path)\n"
        "    if state['start_epoch'] == 2 and 'latest' in str(path):\n"
        "        os.truncate(path, 1000)\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "torch.save = die\n"
    )
    options = fields(tiny_dataset, tmp_path)
    assert run_with_fault(warm_python, fault, *TRAIN, *options).returncode == -signal.SIGKILL
    assert torch.load(tmp_path / "origin" / "latest_ckpt.pth", weights_only=True)["start_epoch"] == 1
    result = run_tool("train", *TRAIN, "--resume", *options)
    assert result.returncode == 0, result.stderr
    assert len(read_history(tmp_path / "origin")) == 3


def test_a_damaged_checkpoint_is_passed_over(tiny_dataset: Path, tmp_path: Path, run_tool: RunTool) -> None:
    options = fields(tiny_dataset, tmp_path)
    assert run_tool("train", *TRAIN, *options).returncode == 0
    latest = tmp_path / "origin" / "latest_ckpt.pth"
    latest.write_bytes(latest.read_bytes()[:2000])
    result = run_tool("train", *TRAIN, "--resume", *options)
    assert result.returncode == 0, result.stderr
    assert "passed over: " in result.stderr
    assert "previous_ckpt.pth after epoch 2" in result.stderr


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(["-b", "2"], "batch_size 4, now 2", id="batch size"),
        pytest.param(["-f", "exps/conv_p1.py"], "experiment 'origin', now 'conv_p1'", id="exp file"),
        pytest.param(["--seed", "5"], "seed None, now 5", id="seed"),
    ],
)
def test_resuming_another_run_is_refused(
    change: list[str], words: str, tiny_dataset: Path, tmp_path: Path, run_tool: RunTool
) -> None:
    options = fields(tiny_dataset, tmp_path, max_epoch=2)
    assert run_tool("train", *TRAIN, "-expn", "run", *options).returncode == 0
    arguments = [*TRAIN, "-expn", "run", "--resume", *change, *options]
    result = run_tool("train", *arguments)
    assert result.returncode == 1
    assert words in last_line(result)
    assert "--force" in last_line(result)


def test_other_data_are_refused_unless_forced(dataset: Path, tmp_path: Path, run_tool: RunTool) -> None:
    options = fields(dataset, tmp_path)
    assert run_tool("train", *TRAIN, *options).returncode == 0
    with (dataset / "annotations" / "train.json").open("a") as stream:
        stream.write(" ")
    refused = run_tool("train", *TRAIN, "--resume", *options)
    assert refused.returncode == 1
    assert "other data (" in last_line(refused)
    forced = run_tool("train", *TRAIN, "--resume", "--force", *options)
    assert forced.returncode == 0, forced.stderr
    assert "--force: going on although other data" in forced.stderr


def test_more_epochs_are_another_run(tiny_dataset: Path, tmp_path: Path, run_tool: RunTool) -> None:
    """Its learning rates would have been others from the start."""
    assert run_tool("train", *TRAIN, *fields(tiny_dataset, tmp_path)).returncode == 0
    more = fields(tiny_dataset, tmp_path, max_epoch=5)
    refused = run_tool("train", *TRAIN, "--resume", *more)
    assert refused.returncode == 1
    assert "of another run: max_epoch 3, now 5; resume with its own settings" in last_line(refused)
    forced = run_tool("train", *TRAIN, "--resume", "--force", *more)
    assert forced.returncode == 0, forced.stderr
    assert len(read_history(tmp_path / "origin")) == 5


def test_two_runs_of_one_seed_are_the_same(tiny_dataset: Path, tmp_path: Path, run_tool: RunTool) -> None:
    states = []
    for name, workers, seed in (("one", 0, 5), ("two", 2, 5), ("other", 0, 6)):
        options = fields(tiny_dataset, tmp_path / name, max_epoch=2, data_num_workers=workers)
        result = run_tool("train", *TRAIN, "--seed", seed, *options)
        assert result.returncode == 0, result.stderr
        assert f"seed {seed}," in result.stderr
        states.append(torch.load(tmp_path / name / "origin" / "latest_ckpt.pth", weights_only=True))
    one, two, other = states
    assert one["training"]["identity"]["fields"]["seed"] == 5
    assert all(torch.equal(value, two["model"][name]) for name, value in one["model"].items())
    assert not all(torch.equal(value, other["model"][name]) for name, value in one["model"].items())


def test_what_the_data_lack_is_said_before_the_first_epoch(dataset: Path, tmp_path: Path, run_tool: RunTool) -> None:
    path = dataset / "annotations" / "train.json"
    text = path.read_text()
    path.write_text(text.replace('"category_id": 3', '"category_id": 7'))
    result = run_tool("train", *TRAIN, *fields(dataset, tmp_path, max_epoch=1, no_aug_epochs=0))
    assert result.returncode == 0, result.stderr
    assert "no object of class bird" in result.stderr
    assert "4 without any (negatives)" in result.stderr
    head, _, tail = text.partition('"annotations": [')
    path.write_text(head + '"annotations": [' + tail[tail.rindex("]", 0, tail.index('"categories"')) :])
    result = run_tool("train", *TRAIN, *fields(dataset, tmp_path))
    assert result.returncode == 1
    assert "not one of its 12 images has an object" in last_line(result)
