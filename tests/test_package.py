"""Importing the package."""

import subprocess
import sys

# As if yolox were not installed: nothing of that name is found.
HIDE_YOLOX = """
import importlib.util
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "yolox" else find_spec(name, *rest)
import yolox_gssam
"""


def test_without_yolox_the_import_says_in_one_line_how_to_get_it() -> None:
    result = subprocess.run([sys.executable, "-c", HIDE_YOLOX], capture_output=True, text=True)
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: yolox_gssam needs yolox")
    assert "pip install --no-deps --no-build-isolation yolox==0.3.0" in last
