"""tools/watch.py with the network of `scenes`, which starts in a second."""

from watch.scenes import CLASSES, BrightSpots

from yolox_gssam.cli import watch
from yolox_gssam.cli.parser import run_tool

if __name__ == "__main__":
    watch.open_detector = lambda args: watch.NamedDetector(BrightSpots().detect, CLASSES)
    run_tool(watch.make_parser(), watch.main)
