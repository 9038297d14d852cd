"""A process that carries out trainings one after the other, so that what starts once (imports, CUDA) is paid once.

`python -m yolox_gssam.research.tables.worker DEVICE` reads a line of JSON for each task (its function and arguments)
and answers with another.
"""

import json
import os
import sys
import threading
import time
from importlib import import_module

import torch

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.log import setup_log


def main(device_name: str) -> None:
    device = torch.device(device_name)
    setup_log()
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    _say({"ready": True})
    for line in sys.stdin:
        asked = json.loads(line)
        module, _, name = asked["function"].partition(":")
        try:
            _say(getattr(import_module(module), name)(device=device, **asked["arguments"]))
        except UserError as error:
            _say({"error": str(error)})


def _end_with(parent: int) -> None:
    """Ends this process once its parent is gone, however that ended: another pool may want the same task."""
    while os.getppid() == parent:
        time.sleep(0.3)
    os._exit(1)


def _say(answer: dict[str, object]) -> None:
    # Standard output is the answers' alone: whatever a library prints goes to standard error.
    print(json.dumps(answer), file=_ANSWERS, flush=True)


if __name__ == "__main__":
    _ANSWERS, sys.stdout = sys.stdout, sys.stderr
    main(*sys.argv[1:])
