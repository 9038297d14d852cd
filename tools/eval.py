#!/usr/bin/env python3
"""`yolox-gssam eval` from a checkout; see yolox_gssam/cli/eval.py."""

from yolox_gssam.cli.eval import main, make_parser
from yolox_gssam.cli.parser import run_tool

if __name__ == "__main__":
    run_tool(make_parser(), main)
