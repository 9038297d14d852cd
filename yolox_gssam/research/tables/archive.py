"""What a report needs of the runs of a table, small enough to be committed: no weights, no logs."""

import gzip
import json
import shutil
import zlib
from pathlib import Path
from typing import Any

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.files import atomic_path
from yolox_gssam.research.tables.plan import Job, read_plan

DETECTIONS = "detections_test.json"
# What is kept of a box's coordinates in pixels and of its score: AP stays the same to about a hundredth of a point.
BOX_DIGITS, SCORE_DIGITS = 2, 6
# Of the folder, where they are there.
_TABLE_FILES = ("plan.json", "latency.json", "maps.json")


def archive_runs(folder: Path, target: Path) -> int:
    """Copies what a report needs of the finished runs of `folder`; runs that `target` has from before are replaced.

    Returns:
        How many runs.

    Raises:
        UserError: no plan, no finished run, a file that cannot be read or written.
    """
    done = [job for job in read_plan(folder).jobs(folder) if job.result.exists()]
    if not done:
        raise UserError(f"{folder}: no finished run; make some with tables.py run")
    for name in _TABLE_FILES:
        if (folder / name).exists():
            _copy(folder / name, target / name)
    for job in done:
        _archive_run(job, target / job.name)
    return len(done)


def read_detections(folder: Path) -> list[dict[str, Any]]:
    """The test part's detections of a run as COCO results, stored by the test or by `archive_runs`.

    Raises:
        UserError: they cannot be read.
    """
    path = folder / DETECTIONS
    packed = path.with_name(f"{DETECTIONS}.gz")
    try:
        found: list[dict[str, Any]] = json.loads(
            path.read_bytes() if path.exists() else gzip.decompress(packed.read_bytes())
        )
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise UserError(f"{path}: not the detections of a run ({error}); delete {folder} and run again") from error
    return found


def _archive_run(job: Job, target: Path) -> None:
    results = [
        {
            **result,
            "bbox": [round(side, BOX_DIGITS) for side in result["bbox"]],
            "score": round(result["score"], SCORE_DIGITS),
        }
        for result in read_detections(job.folder)
    ]
    # Without the time of packing: the same detections give the same file.
    packed = gzip.compress(json.dumps(results, separators=(",", ":")).encode(), mtime=0)
    with atomic_path(target / f"{DETECTIONS}.gz") as part:
        part.write_bytes(packed)
    # Last: a run with this file counts as done.
    _copy(job.result, target / job.result.name)


def _copy(source: Path, target: Path) -> None:
    with atomic_path(target) as part:
        shutil.copyfile(source, part)
