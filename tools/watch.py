#!/usr/bin/env python3
"""`yolox-gssam watch` from a checkout; see yolox_gssam/cli/watch.py."""

from yolox_gssam.cli.parser import run_tool
from yolox_gssam.cli.watch import main, make_parser

if __name__ == "__main__":
    run_tool(make_parser(), main)
