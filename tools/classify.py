#!/usr/bin/env python3
"""`yolox-gssam classify` from a checkout; see yolox_gssam/cli/classify.py."""

from yolox_gssam.cli.classify import main, make_parser
from yolox_gssam.cli.parser import run_tool

if __name__ == "__main__":
    run_tool(make_parser(), main)
