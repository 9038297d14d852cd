"""tools/tables.py as a user runs it: stopped, broken, gone on with, reported."""

import json
import signal
import time
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT, RunTool, fields
from warm_python import WarmPython

from yolox_gssam.common.files import sole_writer
from yolox_gssam.data.builder import build_dataset
from yolox_gssam.data.synthetic import SYNTHETIC_CLASSES, synthetic_records
from yolox_gssam.research.tables.cells import load_cell, save_cell


def arguments(data: Path, output: Path, seed: int, iterations: int) -> list[str]:
    small = fields(data, output, max_epoch=2)
    kept = [(name, value) for name, value in zip(small[::2], small[1::2], strict=True) if name != "output_dir"]
    command = ["run", "--dataset", data, "--exps", "origin", "conv_p1", "--seeds", seed, "--epochs", 2, "-b", 2]
    command += ["--iterations", iterations, "--jobs", 2, "--output-dir", output, "--device", "cpu"]
    command += ["--clip-grad-norm", 20]
    return [str(word) for word in (*command, *(word for pair in kept for word in pair))]


def test_stopped_and_gone_on_with(
    warm_python: WarmPython, run_tool: RunTool, tiny_dataset: Path, tmp_path: Path
) -> None:
    output = tmp_path / "tables"
    process = warm_python.popen(["tools/tables.py", *arguments(tiny_dataset, output, 0, iterations=5)], ROOT)
    while not list(output.glob("work/*/train_log.txt")) and process.poll() is None:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    status = process.wait(60)
    assert process.stderr is not None
    assert status == 128 + signal.SIGINT, process.stderr.read()
    assert not list(output.glob("*.npz"))
    # What a crash of the machine may leave.
    broken = output / "work" / "origin_seed0"
    broken.mkdir(exist_ok=True, parents=True)
    (broken / "latest_ckpt.pth").write_bytes(b"half a checkpoint")

    done = run_tool("tables", *arguments(tiny_dataset, output, 0, iterations=5))
    assert done.returncode == 0, done.stderr
    assert any(
        "origin_seed0: cannot be resumed, begins anew" in path.read_text() for path in output.glob("worker*.log")
    )
    stored = load_cell(output / "conv_p1_seed0.npz")
    assert (stored.cell.row, stored.cell.fold, stored.cell.seed) == ("conv_p1", None, 0)
    assert len(stored.description["history"]) == 2
    assert (stored.description["batch_size"], stored.description["flags"]["clip_grad_norm"]) == (2, 20.0)
    before = (output / "conv_p1_seed0.npz").stat().st_mtime_ns

    # A further seed; what is done is kept.
    more = run_tool("tables", *arguments(tiny_dataset, output, 1, iterations=0))
    assert more.returncode == 0, more.stderr
    assert (output / "conv_p1_seed0.npz").stat().st_mtime_ns == before
    report = run_tool("tables", "report", "--output-dir", output)
    assert report.returncode == 0, report.stderr
    rows = json.loads((output / "tables.json").read_text())["rows"]
    assert [(row["name"], len(row["runs"])) for row in rows] == [("origin", 2), ("conv_p1", 2)]
    assert rows[1]["time_ms"] > 0
    assert (output / "tables.md").read_text() in report.stdout
    assert (output / "tables.png").stat().st_size > 10_000

    # A second phase starts from weights of the first.
    phase, *rest = arguments(tiny_dataset, tmp_path / "second", 0, iterations=0)
    second = run_tool("tables", phase, "-c", output / "networks" / "origin_seed0.pth", *rest)
    assert second.returncode == 0, second.stderr
    logs = "".join(path.read_text() for path in (tmp_path / "second").glob("worker*.log"))
    assert f"fine-tuning {output}/networks/origin_seed0.pth: every weight loaded" in logs

    # What is kept of it, the cells alone, gives the same report without times.
    kept = tmp_path / "kept.zip"
    with zipfile.ZipFile(kept, "w") as archive:
        for path in output.glob("*.npz"):
            archive.write(path, path.name)
    again = run_tool("tables", "report", "--cells", kept, "--output-dir", tmp_path / "again")
    assert again.returncode == 0, again.stderr
    last = [text.split("\n\n")[-2].split("written")[0] for text in (report.stdout, again.stdout)]
    assert last[0] == last[1]


def test_cells_and_their_report(run_tool: RunTool, tmp_path: Path) -> None:
    """Two tasks as a cluster's scheduler would start them, then the table."""
    data, output = tmp_path / "data", tmp_path / "cells"
    records = synthetic_records(30, 0, (64, 96), 1)
    build_dataset(data, SYNTHETIC_CLASSES, records, source="drawn", command="test", seed=0, folds=3)
    cells = ["cells", "--dataset", data, "--exps", "origin", "narrow=origin,width=0.0625", "--seeds", 0]
    recipe = ["--size", "nano", "--input", "64,96", "--epochs", 2, "-b", 4, "--device", "cpu", "--jobs", 2]
    more = ["width", 0.125, "mosaic_prob", 0, "multiscale_range", 0, "data_num_workers", 0]
    for task in ("0/2", "1/2"):
        done = run_tool("tables", *cells, *recipe, "--task", task, "--output-dir", output, *more)
        assert done.returncode == 0, done.stderr
    assert len(list(output.glob("*.npz"))) == 6
    report = run_tool("tables", "report", "--cells", output, "--dataset", data, "--draws", 10, "--output-dir", output)
    assert report.returncode == 0, report.stderr
    assert "`narrow`" in (output / "tables.md").read_text()
    assert "3 folds: 30 images" in report.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(["run", "--exps", "nothing"], "nothing", id="exp"),
        pytest.param(["run", "--exps", "origin", "--dataset", "nowhere"], "nowhere", id="data"),
        pytest.param(["run", "--exps", "origin", "-c", "gone.pth"], "gone.pth: no such checkpoint", id="start"),
        pytest.param(["report"], "make some with tables.py run", id="report"),
    ],
)
def test_faults_end_in_one_line(run_tool: RunTool, tmp_path: Path, words: list[str], said: str) -> None:
    result = run_tool("tables", *words, "--output-dir", tmp_path / "tables")
    assert result.returncode == 1
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("tables.py: error")]
    assert said in line
    assert not (tmp_path / "tables").exists()


def test_the_report_is_of_the_fold_that_was_tested(run_tool: RunTool, tiny_dataset: Path, tmp_path: Path) -> None:
    """And not of the set's own test split, on which no network of the table was tested."""
    fields_of_run = {"data_dir": str(tiny_dataset), "fold": 7, "val_ann": "val.json", "test_ann": "test.json"}
    description = {"row": "origin", "fold": None, "seed": 0, "device": "cuda (one)", "fields": fields_of_run}
    save_cell(tmp_path / "origin_seed0.npz", description, {})
    result = run_tool("tables", "report", "--output-dir", tmp_path)
    assert result.returncode == 1
    assert f"tables.py: error: {tiny_dataset}: no fold 7; the data set has none" in result.stderr


def test_two_at_once_in_one_folder_are_refused(run_tool: RunTool, tiny_dataset: Path, tmp_path: Path) -> None:
    """Each would take the other's running trainings for stopped ones, and go on with them."""
    with sole_writer(tmp_path):
        refused = run_tool("tables", *arguments(tiny_dataset, tmp_path, 0, iterations=0))
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"tables.py: error: {tmp_path}: another run is writing there; wait for its end")
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]
