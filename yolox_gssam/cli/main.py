"""The command `yolox-gssam`, also as `python -m yolox_gssam`: one subcommand for each tool."""

import sys
from importlib import import_module

from yolox_gssam.cli.parser import run_tool

COMMANDS = {
    "demo": "detect objects on images, videos, a camera or a stream",
    "watch": "watch cameras, and raise one alarm for each drone",
    "train": "train an experiment",
    "eval": "measure a trained detector, or anyone's detections",
    "export": "write a network for ONNX Runtime, OpenVINO or TensorRT",
    "prepare_dataset": "import, check and show data sets",
    "tables": "recreate the paper's Tables 2 and 3, and cross-validate",
    "visualize": "show where a network looks, and its errors",
    "benchmark": "time networks, training and the contrast in turn",
    "classify": "train and measure classifiers, for the paper's Table 1",
    "gpu": "make the most of some minutes on a GPU",
    "refine_svanstrom": "measure the tight boxes of all Svanström clips anew",
}
"""Each subcommand, which is the name of its module here, and what it does."""


def main() -> None:
    """Runs the subcommand that `sys.argv` names, with what follows as its options."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("-h", "--help"):
        print("usage: yolox-gssam COMMAND ...\n\ncommands, each with a --help of its own:")
        print("\n".join(f"  {command:18}{what}" for command, what in COMMANDS.items()))
        return
    if name not in COMMANDS:
        sys.exit(f"yolox-gssam: error: {name}: no such command; choose from {', '.join(COMMANDS)}")
    module = import_module(f"yolox_gssam.cli.{name}")
    sys.argv[:2] = [f"yolox-gssam {name}"]
    run_tool(module.make_parser(), module.main)
