#!/usr/bin/env python3
"""`yolox-gssam train` from a checkout; see yolox_gssam/cli/train.py."""

from yolox_gssam.cli.parser import run_tool
from yolox_gssam.cli.train import main, make_parser

if __name__ == "__main__":
    run_tool(make_parser(), main)
