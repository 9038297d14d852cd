#!/usr/bin/env python3
"""`yolox-gssam data` from a checkout; see yolox_gssam/cli/prepare_dataset.py."""

from yolox_gssam.cli.parser import run_tool
from yolox_gssam.cli.prepare_dataset import main, make_parser

if __name__ == "__main__":
    run_tool(make_parser(), main)
