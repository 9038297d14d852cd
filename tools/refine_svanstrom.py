#!/usr/bin/env python3
"""`yolox-gssam refine_svanstrom` from a checkout; see yolox_gssam/cli/refine_svanstrom.py."""

from yolox_gssam.cli.parser import run_tool
from yolox_gssam.cli.refine_svanstrom import main, make_parser

if __name__ == "__main__":
    run_tool(make_parser(), main)
