"""Cells of a cross-validated table: trained, stored, read back, and done once."""

import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from warm_python import WarmPython

from yolox_gssam.common.checkpoint import load_checkpoint
from yolox_gssam.common.errors import UserError
from yolox_gssam.data.builder import build_dataset
from yolox_gssam.data.synthetic import SYNTHETIC_CLASSES, synthetic_records
from yolox_gssam.detections import Detections
from yolox_gssam.research.tables.cells import (
    Cell,
    Study,
    load_cell,
    pack_detections,
    plan_cells,
    save_cell,
    tasks_of,
    unpack_detections,
)
from yolox_gssam.research.tables.pool import Pool

EXPS = Path(__file__).parents[3] / "exps"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "drawn"
    records = synthetic_records(24, 0, (64, 96), 1)
    build_dataset(root, SYNTHETIC_CLASSES, records, source="drawn", command="test", seed=0, folds=2)
    return root


@pytest.fixture(autouse=True)
def warm_workers(warm_python: WarmPython, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(warm_python.executable))


def study_of(data: Path, **changes: object) -> Study:
    fields = ["data_dir", str(data), "depth", "0.33", "width", "0.125", "depthwise", "True", "input_size", "64,96",
              "mosaic_prob", "0", "multiscale_range", "0", "max_epoch", "2", "warmup_epochs", "1", "no_aug_epochs", "1",
              "eval_interval", "2", "data_num_workers", "0"]  # fmt: skip
    exps = {row: str(EXPS / f"{row}.py") for row in ("origin", "gssam_sig_res_p1")}
    settings: dict[str, object] = {
        "exps": exps, "row_fields": {}, "fields": fields, "batch_size": 4, "checkpoint": None,
        "flags": {"cache": "ram"}, "keep_weights": ["origin"], **changes,
    }  # fmt: skip
    return Study(**settings)  # type: ignore[arg-type]


def test_cells_are_planned_in_pairs() -> None:
    names = [cell.name for cell in plan_cells(["a", "b"], 2, [0, 1])]
    assert names[:4] == ["a_fold0_seed0", "b_fold0_seed0", "a_fold1_seed0", "b_fold1_seed0"]
    assert len(set(names)) == len(names) == 8


@pytest.mark.parametrize("fold", [pytest.param(None, id="own splits"), pytest.param(3, id="fold")])
def test_a_cell_is_known_by_its_file(fold: int | None, tmp_path: Path) -> None:
    cell = Cell(12, fold, "gssam_sig_res_p1")
    assert Cell.of(cell.network(tmp_path)) == Cell.of(cell.path(tmp_path)) == cell


def test_more_rows_may_come_later(data: Path, tmp_path: Path) -> None:
    """What decides a single cell may not change."""
    first = study_of(data, exps={"origin": "exps/origin.py"}, row_fields={"origin": ()})
    later = replace(first, exps={"wide": "exps/origin.py"}, row_fields={"wide": ("width", "0.25")})
    assert first.keep(tmp_path) == first
    assert later.keep(tmp_path).exps == {"origin": "exps/origin.py", "wide": "exps/origin.py"}
    assert Study.read(tmp_path / "study.json").row_fields == {"origin": [], "wide": ["width", "0.25"]}
    for changed, said in (
        ({"flags": {"cache": "gpu"}}, "its cells have flags {'cache': 'ram'}, not {'cache': 'gpu'}"),
        ({"batch_size": 8}, "its cells have batch_size 4, not 8"),
        ({"checkpoint": "a.pth"}, "its cells have checkpoint None, not 'a.pth'"),
        ({"fields": ["width", "0.5"]}, "its cells have fields"),
    ):
        with pytest.raises(UserError, match="choose another --output-dir, or the same settings") as error:
            replace(first, **changed).keep(tmp_path)
        assert said in str(error.value)


def test_detections_come_back_as_they_were() -> None:
    rng = np.random.default_rng(0)
    corners = rng.uniform(-5, 300, (7, 2))
    boxes = np.hstack([corners, corners + rng.uniform(1, 40, (7, 2))])
    scores = np.sort(rng.random(7))[::-1]
    detections = {
        3: Detections(boxes[:4], scores[:4], np.array([0, 1, 2, 3])),
        9: Detections.empty(),
        5: Detections(boxes[4:], scores[4:], np.array([1, 1, 0])),
    }
    found = unpack_detections(pack_detections(detections, "test"), "test")
    assert set(found) == {3, 5}
    for image_id, own in found.items():
        np.testing.assert_allclose(own.boxes_xyxy, detections[image_id].boxes_xyxy, atol=1 / 64)
        np.testing.assert_allclose(own.scores, detections[image_id].scores, atol=1e-5)
        np.testing.assert_array_equal(own.labels, detections[image_id].labels)
    assert unpack_detections(pack_detections({1: Detections.empty()}, "test"), "test") == {}


def test_a_damaged_cell_is_named(tmp_path: Path) -> None:
    path = tmp_path / "origin_fold0_seed0.npz"
    save_cell(path, {"row": "origin", "fold": 0, "seed": 0}, {})
    assert load_cell(path).cell == Cell(0, 0, "origin")
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(UserError, match=r"origin_fold0_seed0\.npz: not a cell of a table"):
        load_cell(path)


def test_a_pool_trains_each_cell_once(data: Path, tmp_path: Path) -> None:
    study, done = study_of(data), []
    cells = plan_cells(["origin"], 2, [0])
    pool = Pool(tmp_path, "cpu", 2, lambda: done.append(1))
    assert pool.run([*tasks_of(study, tmp_path, cells), *tasks_of(study, tmp_path, cells[:1])]) == len(done) == 2
    assert pool.faults == []
    assert pool.images == 2 * sum(load_cell(cell.path(tmp_path)).description["training_images"] for cell in cells)
    first = load_cell(cells[0].path(tmp_path))
    assert first.description["fields"]["fold"] == 0
    assert first.description["device"].startswith("cpu")
    assert len(first.description["history"]) == 2
    assert set(first.detections) == {"val", "test"}
    exp = study.experiment(cells[0], tmp_path)
    assert set(first.detections["test"]) <= {image.image_id for image in exp.load_split("test").images}
    kept = load_checkpoint(tmp_path / "networks" / "origin_fold0_seed0.pth")
    assert {value.dtype for value in kept["model"].values()} >= {torch.float16, torch.float32}
    assert not (tmp_path / "work" / cells[0].name).exists()
    before = [cell.path(tmp_path).stat().st_mtime_ns for cell in cells]
    assert Pool(tmp_path, "cpu", 1).run(tasks_of(study, tmp_path, cells)) == 0
    assert [cell.path(tmp_path).stat().st_mtime_ns for cell in cells] == before


def test_what_a_user_can_mend_is_said_of_its_cell(data: Path, tmp_path: Path) -> None:
    study = study_of(data, checkpoint=str(tmp_path / "missing.pth"))
    pool = Pool(tmp_path, "cpu", 1)
    assert pool.run(tasks_of(study, tmp_path, [Cell(0, 0, "origin")])) == 0
    assert pool.faults == [f"origin_fold0_seed0: {tmp_path / 'missing.pth'}: no such checkpoint"]


def test_no_cell_is_begun_after_the_deadline(data: Path, tmp_path: Path) -> None:
    pool = Pool(tmp_path, "cpu", 1)
    assert pool.run(tasks_of(study_of(data), tmp_path, [Cell(0, 0, "origin")]), time.monotonic() - 1) == 0
    assert list(tmp_path.glob("*.npz")) == []


def test_a_stopped_pool_goes_on_without_a_cell_lost_or_doubled(data: Path, tmp_path: Path) -> None:
    """Stopped by a signal at three moments; every cell is there in the end, whole."""
    study_of(data).keep(tmp_path)
    code = (
        "from pathlib import Path; from yolox_gssam.research.tables.cells import Study, plan_cells, tasks_of;"
        "from yolox_gssam.research.tables.pool import Pool;"
        f"folder = Path({str(tmp_path)!r}); study = Study.read(folder / 'study.json');"
        "cells = plan_cells(['origin', 'gssam_sig_res_p1'], 2, [0]);"
        "Pool(folder, 'cpu', 1).run(tasks_of(study, folder, cells))"
    )
    for seconds in (1, 4, 2.5):
        process = subprocess.Popen([sys.executable, "-c", code])
        time.sleep(seconds)
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
        for path in tmp_path.glob("*.npz"):
            load_cell(path)
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    cells = {load_cell(path).cell for path in tmp_path.glob("*.npz")}
    assert cells == set(plan_cells(["origin", "gssam_sig_res_p1"], 2, [0]))
