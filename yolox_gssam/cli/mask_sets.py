"""The subcommand `masks` of the data command: boxes from the masks of a set, or from Labelme's shapes."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from yolox_gssam.cli.importing import add_command, add_grouping, add_output, import_set
from yolox_gssam.cli.parser import count
from yolox_gssam.common.errors import UserError
from yolox_gssam.data.faults import Fault
from yolox_gssam.data.formats.labelme import is_labelme, read_labelme_set
from yolox_gssam.data.formats.masks import MaskRule, read_mask_set
from yolox_gssam.data.formats.samples import LabelledSet


def add_masks(commands: Any) -> None:
    parser = add_command(
        commands, "masks", _masks, "a set of images and masks (SIRST, NUDT-SIRST, IRSTD-1k), or of Labelme's files"
    )
    parser.add_argument("root", type=Path, metavar="ROOT", help="folder with images/ and masks/, or Labelme's JSON")
    parser.add_argument("--classes", nargs="+", default=(), metavar="NAME", help="class names (default: target)")
    parser.add_argument(
        "--instances", action="store_true", help="each value or palette colour is an object; otherwise each piece is"
    )
    parser.add_argument("--min-area", type=count, default=1, metavar="N", help="leave out pieces of fewer pixels")
    add_grouping(
        parser,
        nargs="?",
        const="",
        metavar="FOLDER",
        help="keep the set's own splits: of the lists train.txt, val.txt and test.txt in FOLDER (default: the one"
        " folder that has them), or of folders called so",
    )
    add_output(parser)


def _masks(args: argparse.Namespace) -> None:
    keep = args.keep_split is not None
    has_masks = any((args.root / name).is_dir() or any(args.root.glob(f"*/{name}")) for name in ("masks", "mask"))
    by_labelme = not has_masks and args.root.is_dir() and any(map(is_labelme, sorted(args.root.rglob("*.json"))[:20]))

    def read(report: Callable[[Fault], None]) -> LabelledSet:
        if by_labelme:
            return read_labelme_set(args.root, report=report, classes=args.classes, keep_split=keep)
        if len(args.classes) > 1:
            raise UserError("--classes: masks say nothing of classes; give one name for all objects")
        rule = MaskRule(next(iter(args.classes), "target"), args.instances, args.min_area)
        lists = Path(args.keep_split) if args.keep_split else None
        return read_mask_set(args.root, rule, report=report, keep_split=keep, lists=lists)

    import_set(args, read, "Labelme shapes" if by_labelme else "masks")
