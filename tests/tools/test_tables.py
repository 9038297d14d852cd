"""tools/tables.py as a user runs it: stopped, broken, gone on with, reported."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT, RunTool, fields

from yolox_gssam.common.files import sole_writer
from yolox_gssam.research.tables.plan import Plan


def arguments(data: Path, output: Path, seed: int, iterations: int) -> list[str]:
    small = fields(data, output, max_epoch=2)
    kept = [(name, value) for name, value in zip(small[::2], small[1::2], strict=True) if name != "output_dir"]
    command = ["run", "--dataset", data, "--exps", "origin", "conv_p1", "--seeds", seed, "--epochs", 2, "-b", 2]
    command += ["--iterations", iterations, "--jobs", 2, "--output-dir", output, "--device", "cpu"]
    command += ["--clip-grad-norm", 20]
    return [str(word) for word in (*command, *(word for pair in kept for word in pair))]


def test_stopped_and_gone_on_with(run_tool: RunTool, tiny_dataset: Path, tmp_path: Path) -> None:
    output = tmp_path / "tables"
    command = [sys.executable, "tools/tables.py", *arguments(tiny_dataset, output, 0, iterations=5)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
    while not list(output.glob("*/train_log.txt")) and process.poll() is None:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT, said
    assert not list(output.glob("*/run.json"))
    # What a crash of the machine may leave.
    broken = output / "origin_seed0"
    broken.mkdir(exist_ok=True)
    (broken / "latest_ckpt.pth").write_bytes(b"half a checkpoint")

    done = run_tool("tables", *arguments(tiny_dataset, output, 0, iterations=5))
    assert done.returncode == 0, done.stderr
    assert "origin_seed0: cannot be resumed, begins anew" in done.stderr
    assert "one seed: no answer" in done.stdout
    stored = json.loads((output / "conv_p1_seed0" / "run.json").read_text())
    assert (stored["exp"], stored["seed"], len(stored["history"])) == ("conv_p1", 0, 2)
    assert stored["flags"] == ["-b", "2", "--device", "cpu", "--clip-grad-norm", "20.0"]
    before = (output / "conv_p1_seed0" / "run.json").stat().st_mtime_ns

    # A further seed; what is done is kept.
    more = run_tool("tables", *arguments(tiny_dataset, output, 1, iterations=0))
    assert more.returncode == 0, more.stderr
    assert (output / "conv_p1_seed0" / "run.json").stat().st_mtime_ns == before
    report = run_tool("tables", "report", "--output-dir", output)
    assert report.returncode == 0, report.stderr
    assert "Against `origin`" in report.stdout
    rows = list(csv.DictReader((output / "tables.csv").open()))
    assert [(row["network"], row["seeds"]) for row in rows] == [("origin", "2"), ("conv_p1", "2")]
    assert float(rows[1]["ms"]) > 0
    assert (output / "tables.md").read_text() in report.stdout
    assert (output / "tables.png").stat().st_size > 10_000

    # A second phase starts where the first ended.
    phase, *rest = arguments(tiny_dataset, tmp_path / "second", 0, iterations=0)
    second = run_tool("tables", phase, "--start-from", output, *rest)
    assert second.returncode == 0, second.stderr
    stored = json.loads((tmp_path / "second" / "origin_seed0" / "run.json").read_text())
    assert stored["start_from"] == str(output)
    assert f"{output}/origin_seed0/best_ckpt.pth" in (tmp_path / "second" / "origin_seed0" / "log.txt").read_text()

    # What is kept of it gives the same report, and its runs count as done.
    kept = tmp_path / "kept"
    archived = run_tool("tables", "archive", "--output-dir", output, "--to", kept)
    assert archived.returncode == 0, archived.stderr
    assert archived.stdout == f"4 runs of {output} kept in {kept}\n"
    assert {path.suffix for path in kept.rglob("*") if path.is_file()} == {".json", ".gz"}
    again = run_tool("tables", "report", "--output-dir", kept)
    assert again.returncode == 0, again.stderr
    assert again.stdout.split("written:")[0] == report.stdout.split("written:")[0]
    gone_on = run_tool("tables", *arguments(tiny_dataset, kept, 1, iterations=0))
    assert "4 runs, 4 of them done before" in gone_on.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(["run", "--exps", "nothing"], "nothing", id="exp"),
        pytest.param(["run", "--exps", "origin", "--dataset", "nowhere"], "nowhere", id="data"),
        pytest.param(
            ["run", "--exps", "origin", "--start-from", "gone"], "gone/origin_seed0/best_ckpt.pth", id="start"
        ),
        pytest.param(["report"], "make one with tables.py run", id="report"),
        pytest.param(["archive", "--to", "kept"], "make one with tables.py run", id="archive"),
    ],
)
def test_faults_end_in_one_line(run_tool: RunTool, tmp_path: Path, words: list[str], said: str) -> None:
    result = run_tool("tables", *words, "--output-dir", tmp_path / "tables")
    assert result.returncode == 1
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("tables.py: error")]
    assert said in line
    assert not (tmp_path / "tables").exists()


def test_the_report_is_of_the_fold_that_was_tested(run_tool: RunTool, tiny_dataset: Path, tmp_path: Path) -> None:
    """And not of the set's own test part, on which no network of the table was tested."""
    Plan(("origin",), (0,), ("data_dir", str(tiny_dataset), "fold", "7"), ()).keep(tmp_path)
    result = run_tool("tables", "report", "--output-dir", tmp_path)
    assert result.returncode == 1
    assert result.stderr.startswith(f"tables.py: error: {tiny_dataset}: no fold 7; the data set has none")


def test_two_at_once_in_one_folder_are_refused(run_tool: RunTool, tiny_dataset: Path, tmp_path: Path) -> None:
    """Each would take the other's running trainings for stopped ones, and go on with them."""
    with sole_writer(tmp_path):
        refused = run_tool("tables", *arguments(tiny_dataset, tmp_path, 0, iterations=0))
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"tables.py: error: {tmp_path}: another run is writing there; wait for its end")
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]
