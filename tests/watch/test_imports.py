"""What watching needs."""

import os
import subprocess
import sys

from conftest import ROOT

PROGRAM = """
import sys
for name in ("torch", "yolox", "starlette", "uvicorn", "paho"):
    sys.modules[name] = None  # importing it fails
import yolox_gssam.watch.watcher, yolox_gssam.watch.notify, yolox_gssam.inference.tiles, yolox_gssam.cli.watch
from yolox_gssam.common.errors import UserError
try:
    yolox_gssam.watch.notify.Mqtt("mqtt://host", [])
except UserError as error:
    print(error)
try:
    import yolox_gssam.watch.page
except UserError as error:
    print(error)
"""


def test_neither_torch_nor_the_extras_are_needed_until_they_are_used() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 0, done.stderr
    mqtt, page = done.stdout.splitlines()
    assert "pip install 'yolox-gssam[watch]'" in mqtt
    assert "pip install 'yolox-gssam[watch]'" in page
