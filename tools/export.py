#!/usr/bin/env python3
"""`yolox-gssam export` from a checkout; see yolox_gssam/cli/export.py."""

from yolox_gssam.cli.export import main, make_parser
from yolox_gssam.cli.parser import run_tool

if __name__ == "__main__":
    run_tool(make_parser(), main)
