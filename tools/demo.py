#!/usr/bin/env python3
"""`yolox-gssam predict` with the options of YOLOX's demo; see yolox_gssam/cli/predict.py."""

from yolox_gssam.cli.parser import run_tool
from yolox_gssam.cli.predict import demo_main, make_demo_parser

if __name__ == "__main__":
    run_tool(make_demo_parser(), demo_main)
