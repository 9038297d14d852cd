"""A process that runs cells one after the other, so that what starts once (imports, CUDA) is paid once.

`python -m yolox_gssam.research.tables.cell_worker DEVICE` reads a line of JSON for each cell (folder, row, fold,
seed; the folder holds the study that it belongs to) and answers with another.
"""

import json
import os
import sys
import threading
import time
from pathlib import Path

import torch

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.log import setup_log
from yolox_gssam.research.tables.cells import STUDY, Cell, Study, run_cell


def main(device_name: str) -> None:
    device = torch.device(device_name)
    setup_log()
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    _say({"ready": True})
    for line in sys.stdin:
        asked = json.loads(line)
        folder = Path(asked["folder"])
        try:
            study = Study.read(folder / STUDY)
            done = run_cell(Cell(asked["seed"], asked["fold"], asked["row"]), study, folder, device)
            _say({name: done[name] for name in ("seconds", "training_images")} | {"epochs": len(done["history"])})
        except UserError as error:
            _say({"error": str(error)})


def _end_with(parent: int) -> None:
    """Ends this process once its parent is gone, however that ended: another pool may want the same cell."""
    while os.getppid() == parent:
        time.sleep(0.3)
    os._exit(1)


def _say(answer: dict[str, object]) -> None:
    # Standard output is the answers' alone: whatever a library prints goes to standard error.
    print(json.dumps(answer), file=_ANSWERS, flush=True)


if __name__ == "__main__":
    _ANSWERS, sys.stdout = sys.stdout, sys.stderr
    main(*sys.argv[1:])
