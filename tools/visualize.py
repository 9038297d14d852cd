#!/usr/bin/env python3
"""`yolox-gssam visualize` from a checkout; see yolox_gssam/cli/visualize.py."""

from yolox_gssam.cli.parser import run_tool
from yolox_gssam.cli.visualize import main, make_parser

if __name__ == "__main__":
    run_tool(make_parser(), main)
