#!/usr/bin/env python3
"""`yolox-gssam gpu` from a checkout, also where the package is not installed; see yolox_gssam/cli/gpu.py."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from yolox_gssam.cli.gpu import main, make_parser  # needs nothing that is missing
from yolox_gssam.cli.parser import run_tool

if __name__ == "__main__":
    run_tool(make_parser(), main)
