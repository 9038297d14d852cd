"""What is kept of a table's runs, and faults in it."""

import gzip
import json
from pathlib import Path

import pytest

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.files import write_json
from yolox_gssam.research.tables.archive import archive_runs, read_detections
from yolox_gssam.research.tables.plan import Plan

HEAD = gzip.compress(b"", mtime=0)[:10]
FOUND = [
    {"image_id": 3, "category_id": 2, "bbox": [1.234567, 2.0, 30.019, 4.5], "score": 0.123456789},
    {"image_id": 4, "category_id": 1, "bbox": [0.0, 0.0, 1.0, 1.0], "score": 1.0},
]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A folder with a plan of two runs, one of them done."""
    folder = tmp_path / "tables"
    Plan(("origin",), (0, 1), ("data_dir", "datasets/none"), ()).keep(folder)
    write_json(folder / "latency.json", {"sides": {}})
    write_json(folder / "origin_seed0" / "detections_test.json", FOUND)
    write_json(folder / "origin_seed0" / "run.json", {"row": "origin"})
    write_json(folder / "origin_seed1" / "detections_test.json", FOUND)
    (folder / "origin_seed0" / "best_ckpt.pth").write_bytes(b"weights")
    return folder


def test_only_finished_runs_without_their_weights(table: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    assert archive_runs(table, kept) == 1
    names = sorted(str(path.relative_to(kept)) for path in kept.rglob("*") if path.is_file())
    assert names == [
        "latency.json",
        "origin_seed0/detections_test.json.gz",
        "origin_seed0/run.json",
        "plan.json",
    ]
    assert (kept / "plan.json").read_bytes() == (table / "plan.json").read_bytes()
    first, second = read_detections(kept / "origin_seed0")
    assert first == {"image_id": 3, "category_id": 2, "bbox": [1.23, 2.0, 30.02, 4.5], "score": 0.123457}
    assert second == FOUND[1]


def test_the_same_runs_give_the_same_files(table: Path, tmp_path: Path) -> None:
    once, twice, of_kept = (tmp_path / name for name in ("once", "twice", "of_kept"))
    for source, target in ((table, once), (table, twice), (once, of_kept)):
        archive_runs(source, target)
    packed = [(folder / "origin_seed0" / "detections_test.json.gz").read_bytes() for folder in (once, twice, of_kept)]
    assert len(set(packed)) == 1


def test_runs_from_before_are_kept_and_replaced(table: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    archive_runs(table, kept)
    (table / "origin_seed0" / "run.json").unlink()
    write_json(table / "origin_seed1" / "run.json", {"row": "origin"})
    assert archive_runs(table, kept) == 1
    assert [json.loads(path.read_text()) for path in kept.glob("*/run.json")] == [{"row": "origin"}] * 2


@pytest.mark.parametrize(
    "content",
    [None, b"not gzip", b"\x1f\x8b\x08half", HEAD, HEAD + 30 * b"\xff"],
    ids=["none", "text", "half", "head", "noise"],
)
def test_faulty_detections(table: Path, tmp_path: Path, content: bytes | None) -> None:
    archive_runs(table, tmp_path / "kept")
    packed = tmp_path / "kept" / "origin_seed0" / "detections_test.json.gz"
    packed.unlink()
    if content is not None:
        packed.write_bytes(content)
    with pytest.raises(UserError, match="not the detections of a run"):
        read_detections(packed.parent)


def test_nothing_to_keep(table: Path, tmp_path: Path) -> None:
    (table / "origin_seed0" / "run.json").unlink()
    with pytest.raises(UserError, match="no finished run"):
        archive_runs(table, tmp_path / "kept")
    assert not (tmp_path / "kept").exists()
