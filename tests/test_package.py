"""Importing the package where yolox is not installed."""

import subprocess
import sys

import pytest
from conftest import ROOT

from yolox_gssam import __version__

# As if yolox were not installed: nothing of that name is found.
HIDE_YOLOX = """
import importlib.util
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "yolox" else find_spec(name, *rest)
import yolox_gssam.{module}
"""


def import_without_yolox(module: str) -> "subprocess.CompletedProcess[str]":
    code = HIDE_YOLOX.replace("{module}", module)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


@pytest.mark.parametrize("module", ["experiment", "models", "models.head"])
def test_what_needs_yolox_says_in_one_line_how_to_get_it(module: str) -> None:
    result = import_without_yolox(module)
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: yolox_gssam needs yolox")
    assert "pip install --no-deps --no-build-isolation yolox==0.3.0" in last


@pytest.mark.parametrize("module", ["attention", "research.gpu.bundle", "cli"])
def test_what_does_not_need_it_is_imported(module: str) -> None:
    assert import_without_yolox(module).returncode == 0


def test_the_citation_is_of_this_version() -> None:
    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text()
