"""The subcommands `crops` and `classes` of the data command: sets to train classifiers on."""

import argparse
from pathlib import Path
from typing import Any

from yolox_gssam.cli.importing import add_command, command_line
from yolox_gssam.cli.parser import count, natural
from yolox_gssam.data.check import read_splits
from yolox_gssam.data.crops import CropRule, make_crops
from yolox_gssam.data.faults import raise_fatal
from yolox_gssam.data.subset import copy_classes


def add_crops(commands: Any) -> None:
    parser = add_command(commands, "crops", _crops, "objects of a data set cut out, one folder a class, to classify")
    parser.add_argument("root", type=Path, metavar="DIR", help="the data set, such as datasets/svanstrom")
    rule = CropRule()
    parser.add_argument(
        "--context", type=float, default=rule.context, metavar="X", help="side of the square over the box's longer side"
    )
    parser.add_argument(
        "--min-side", type=count, default=rule.min_side, metavar="N", help="smallest square, in pixels of the image"
    )
    parser.add_argument("--size", type=count, metavar="N", help="scale each crop to so many pixels a side")
    parser.add_argument("--format", choices=("jpg", "png"), default="jpg", help="of the stored crops")
    parser.add_argument("--classes", nargs="+", metavar="NAME", help="classes to keep (default: all)")
    parser.add_argument("--limit", type=count, metavar="N", help="at most so many crops of each class in each split")
    parser.add_argument(
        "--balanced", action="store_true", help="in each split as many crops of each class as of its rarest one"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the new folder; must not exist")
    parser.add_argument("--seed", type=natural, default=0, help="of which crops are drawn where there are too many")


def _crops(args: argparse.Namespace) -> None:
    summary = make_crops(
        read_splits(args.root, raise_fatal),
        args.out,
        CropRule(args.context, args.min_side, args.size, args.format == "jpg"),
        classes=args.classes,
        limit=args.limit,
        balanced=args.balanced,
        seed=args.seed,
        source={"source": f"objects of {args.root}", "command": command_line()},
    )
    for split, counts in summary["splits"].items():
        print(f"{split}: {', '.join(f'{count} {name}' for name, count in counts['crops'].items())}")
    print(args.out)


def add_classes(commands: Any) -> None:
    parser = add_command(commands, "classes", _classes, "a few classes of a folder of images, drawn by seed")
    parser.add_argument("root", type=Path, metavar="ROOT", help="folder with train/ and val/, such as ImageNet-1K's")
    parser.add_argument("--count", type=count, default=10, metavar="N", help="how many classes to draw")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the new folder; must not exist")
    parser.add_argument("--seed", type=natural, default=0, help="of the draw")


def _classes(args: argparse.Namespace) -> None:
    source = {"source": f"classes of {args.root}", "command": command_line()}
    summary = copy_classes(args.root, args.out, args.count, args.seed, source)
    for split, counts in summary["splits"].items():
        print(f"{split}: {', '.join(f'{count} {name}' for name, count in counts.items())}")
    print(args.out)
