"""Training processes that are killed at random moments and resumed end where the run that nobody killed ends."""

import os
import random
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from conftest import ROOT, fields, read_history, read_until
from warm_python import WarmPython

KILLS = int(os.environ.get("KILLS", "30"))
SIGNALS = [signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT]
TIMES = {"images_per_second", "data_share", "seconds", "data_seconds"}
# A process is killed at a moment up to so long after it began to train, or else it ends.
MOST_SECONDS = 3.0


def command(data: Path, output: Path, workers: int, resume: bool) -> list[str]:
    # Mosaic and mixup on, sizes changing, the last two epochs without mosaic, saving every third of a second.
    options = fields(
        data, output, data_num_workers=workers, max_epoch=6, no_aug_epochs=2, mixup_prob=1.0, eval_interval=2
    )
    flags = ["-b", "2", "--seed", "3", "--save-every-minutes", "0.005", *(["--resume"] if resume else [])]
    return ["tools/train.py", "-f", "exps/gssam_sig_res_p1.py", *flags, *options]


def run_with_kills(
    python: WarmPython, data: Path, output: Path, workers: int, kills: int, seed: int
) -> tuple[list[Path], list[str]]:
    """Kills a run so many times, resumes it each time, and lets it end; where it ends before, goes on with another one.

    Returns the folders of the runs, all at their end, and a record of the kills.
    """
    rng = random.Random(seed)
    runs: list[Path] = []
    record: list[str] = []
    while True:
        run = output / f"run_{len(runs)}" / "gssam_sig_res_p1"
        arguments = command(data, run.parent, workers, resume=(run / "latest_ckpt.pth").exists())
        process = python.popen(arguments, ROOT)
        lines = read_until(process, "training from epoch")
        number, delay = rng.choice(SIGNALS), rng.uniform(0, MOST_SECONDS)
        try:
            status = process.wait(delay if len(record) < kills else 300)
        except subprocess.TimeoutExpired:
            # One process alone as the kernel does when memory is short; the others as a terminal does, all of them.
            if number == signal.SIGKILL:
                process.kill()
            else:
                os.killpg(process.pid, number)
            status = process.wait(60)
            said = "".join(lines)
            if "best mAP50:95" in said and "go on with --resume" not in said:
                continue  # all was done, the signal met the end of the program
            record.append(f"{signal.Signals(number).name} after {delay:.2f} s")
            if number != signal.SIGKILL:
                assert status == 128 + number, said
                assert "go on with --resume" in said
            continue
        assert status == 0, "".join(lines)
        runs.append(run)
        if len(record) == kills:
            return runs, record


def assert_same(one: object, two: object, where: str) -> None:
    """Fails unless two values of checkpoints are the same to the bit; NaN is the same as NaN."""
    if isinstance(one, torch.Tensor):
        assert isinstance(two, torch.Tensor), where
        assert torch.equal(one, two), where
    elif isinstance(one, dict):
        assert isinstance(two, dict), where
        assert one.keys() == two.keys(), where
        for key in one:
            # Where the run lies and how long it took are its own.
            if key not in TIMES and key not in ("output_dir", "data_num_workers"):
                assert_same(one[key], two[key], f"{where}.{key}")
    elif isinstance(one, list | tuple):
        assert isinstance(two, list | tuple), where
        for index, (first, second) in enumerate(zip(one, two, strict=True)):
            assert_same(first, second, f"{where}[{index}]")
    else:
        assert one == two or (one != one and two != two), f"{where}: {one} and {two}"


def test_killed_and_resumed_runs_end_as_the_whole_run(
    warm_python: WarmPython, tiny_dataset: Path, tmp_path: Path
) -> None:
    """Weights, their average, optimizer, random states and metrics, in the latest and in the best checkpoint."""
    process = warm_python.popen(command(tiny_dataset, tmp_path / "whole", workers=0, resume=False), ROOT)
    lines = read_until(process, "training from epoch")
    assert process.wait(300) == 0, "".join(lines)
    whole = tmp_path / "whole" / "gssam_sig_res_p1"
    with ThreadPoolExecutor(2) as pool:
        half = -(-KILLS // 2)
        results = pool.map(
            lambda workers: run_with_kills(
                warm_python, tiny_dataset, tmp_path / str(workers), workers, half, seed=workers
            ),
            (0, 2),
        )
    for runs, record in results:
        print("\n".join(record), f"-> {len(runs)} runs", sep="\n")
        assert len(record) == half
        for run in runs:
            for name in ("latest_ckpt.pth", "best_ckpt.pth"):
                one, two = (torch.load(folder / name, weights_only=True) for folder in (whole, run))
                assert_same(one, two, f"{run}/{name}")
            rows = [read_history(folder) for folder in (whole, run)]
            for row in (*rows[0], *rows[1]):
                del row["images_per_second"], row["data_share"]
            assert rows[0] == rows[1]
