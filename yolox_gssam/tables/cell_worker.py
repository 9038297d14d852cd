"""A process that runs cells one after the other, so that what starts once (imports, CUDA) is paid once.

`python -m yolox_gssam.tables.cell_worker STUDY.json FOLDER DEVICE` reads a cell a line, "row fold seed", and answers
each with a line of JSON.
"""

import json
import sys
from pathlib import Path

import torch

from yolox_gssam.engine.log import setup_log
from yolox_gssam.errors import UserError
from yolox_gssam.tables.cells import Cell, Study, run_cell


def main(study_path: str, folder: str, device_name: str) -> None:
    study, device = Study.read(Path(study_path)), torch.device(device_name)
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True  # one shape, thousands of steps
    setup_log()
    _say({"ready": True})
    for line in sys.stdin:
        row, fold, seed = line.split()
        try:
            done = run_cell(Cell(int(seed), int(fold), row), study, Path(folder), device)
            _say({name: done[name] for name in ("seconds", "training_seconds", "training_images")})
        except UserError as error:
            _say({"error": str(error)})


def _say(answer: dict[str, object]) -> None:
    # Standard output is the answers' alone: whatever a library prints goes to standard error.
    print(json.dumps(answer), file=_ANSWERS, flush=True)


if __name__ == "__main__":
    _ANSWERS, sys.stdout = sys.stdout, sys.stderr
    main(*sys.argv[1:])
