#!/usr/bin/env python3
"""`python -m yolox_gssam demo` from a checkout; see yolox_gssam/cli/demo.py."""

from yolox_gssam.cli.demo import main, make_parser
from yolox_gssam.cli.parser import run_tool

if __name__ == "__main__":
    run_tool(make_parser(), main)
