"""The subcommand `cutouts` of the data command: a bank of objects to paste into training images."""

import argparse
from pathlib import Path
from typing import Any

import cv2

from yolox_gssam.cli.parser import count
from yolox_gssam.common.errors import UserError
from yolox_gssam.common.files import atomic_path
from yolox_gssam.data.coco import load_split
from yolox_gssam.data.cutouts.bank import CutoutBank
from yolox_gssam.data.cutouts.extract import sheet
from yolox_gssam.data.cutouts.make import cutouts_of_pictures, cutouts_of_split, draw_sheet, merge

SHEET_EACH = 60
"""Cut-outs of each kind on the contact sheet."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the subcommand."""
    parser.add_argument("root", type=Path, metavar="DIR", help="a data set, or a folder of PNG pictures with alpha")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the bank; a picture goes beside it")
    parser.add_argument("--source", required=True, metavar="NAME", help="short name of where the objects come from")
    parser.add_argument("--licence", required=True, metavar="TEXT", help="its licence and address, kept in the bank")
    parser.add_argument("--kind", metavar="NAME", help="what all objects show; by default their class (data sets)")
    parser.add_argument("--split", default="train", metavar="NAME", help="whose objects are taken, never a test's")
    parser.add_argument("--fold", type=int, metavar="N", help="of a data set with folds: the fold whose split is taken")
    parser.add_argument("--most", type=count, default=150, metavar="N", help="cut-outs of each class")
    parser.add_argument("--add", type=Path, nargs="+", default=[], metavar="BANK", help="banks to put beside them")
    parser.add_argument("--seed", type=int, default=0, help="of which objects are taken")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Makes the bank, draws its contact sheet and says what is in it."""
    banks = [CutoutBank.load(path) for path in args.add]
    annotations = args.root / "annotations"
    if annotations.is_dir():
        folder = annotations if args.fold is None else annotations / f"fold{args.fold}"
        split = load_split(folder / f"{args.split}.json", args.root / "images")
        kinds = {} if args.kind is None else dict.fromkeys(split.classes, args.kind)
        cutouts = list(cutouts_of_split(split, args.source, args.most, args.seed, kinds))
    elif args.kind is None:
        raise UserError(f"{args.root}: no data set, so pictures with alpha: say by --kind what they show")
    else:
        cutouts = list(cutouts_of_pictures(args.root, args.kind, args.source))
    if not cutouts:
        raise UserError(f"{args.root}: no object stands clearly before a calm background; nothing was made")
    bank = merge(banks, cutouts, {args.source: args.licence})
    bank.save(args.out)
    picture = args.out.with_suffix(".png")
    with atomic_path(picture) as part:
        cv2.imwrite(str(part), sheet(draw_sheet(bank, SHEET_EACH, args.seed)))
    print(", ".join(f"{number} {kind}" for kind, number in bank.kinds.items()))
    print(args.out, picture, sep="\n")


def add_command(commands: Any, formatter: type[argparse.HelpFormatter]) -> None:
    """Adds the subcommand to the data command."""
    summary = "a bank of objects cut out, to paste into training images"
    add_options(commands.add_parser("cutouts", help=summary, description=summary, formatter_class=formatter))
