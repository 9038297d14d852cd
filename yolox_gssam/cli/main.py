"""The command `yolox-gssam`, also as `python -m yolox_gssam`: one subcommand for each tool."""

import sys
from importlib import import_module

from yolox_gssam.cli.parser import run_tool
from yolox_gssam.common.errors import INSTALL_TRAIN

PROGRAM = "yolox-gssam"
COMMANDS = {
    "predict": ("predict", "detect objects on images, videos, a camera or a stream"),
    "watch": ("watch", "watch cameras, and raise one alarm for each drone"),
    "train": ("train", "train an experiment"),
    "eval": ("eval", "measure a trained detector, or anyone's detections"),
    "export": ("export", "write a network for ONNX Runtime, OpenVINO and others"),
    "data": ("prepare_dataset", "import, check and show data sets"),
    "tables": ("tables", "recreate the paper's Tables 2 and 3, and cross-validate"),
    "visualize": ("visualize", "show where a network looks, and its errors"),
    "benchmark": ("benchmark", "time networks, training and the contrast in turn"),
    "classify": ("classify", "train and measure classifiers, for the paper's Table 1"),
    "gpu": ("gpu", "make the most of some minutes on a GPU"),
}
"""Subcommand -> the module here that it runs, and what it does."""


def main() -> None:
    """Runs the subcommand that `sys.argv` names, with what follows as its options."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("-h", "--help"):
        print(f"usage: {PROGRAM} COMMAND ...\n\ncommands, each with a --help of its own:")
        print("\n".join(f"  {command:18}{what}" for command, (_, what) in COMMANDS.items()))
        return
    if name not in COMMANDS:
        sys.exit(f"{PROGRAM}: error: {name}: no such command; choose from {', '.join(COMMANDS)}")
    try:
        module = import_module(f"yolox_gssam.cli.{COMMANDS[name][0]}")
    except ImportError as error:
        if (error.name or "yolox").partition(".")[0] == "yolox_gssam":  # a fault of ours
            raise
        missing = error.name or "yolox"
        sys.exit(f"{PROGRAM} {name}: error: needs {missing}, which is not installed; type: {INSTALL_TRAIN}")
    sys.argv[:2] = [f"{PROGRAM} {name}"]
    run_tool(module.make_parser(), module.main)
