"""The subcommand `cutouts` of the data command: a bank of objects to paste into training images."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2

from yolox_gssam.cli.importing import add_command
from yolox_gssam.cli.parser import count
from yolox_gssam.common.errors import UserError
from yolox_gssam.common.files import atomic_path
from yolox_gssam.data.coco_reader import load_split
from yolox_gssam.data.cutouts.bank import Cutout, CutoutBank
from yolox_gssam.data.cutouts.extract import sheet
from yolox_gssam.data.cutouts.make import cutouts_of_pictures, cutouts_of_split, draw_sheet, merge
from yolox_gssam.data.cutouts.render import rendered_airframes, rendered_mesh

SHEET_EACH = 60
"""Cut-outs of each kind on the contact sheet."""


def add_cutouts(commands: Any) -> None:
    parser = add_command(commands, "cutouts", run, "a bank of objects cut out, to paste into training images")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "root", type=Path, nargs="?", metavar="DIR", help="a data set, or a folder of PNG pictures with alpha"
    )
    what.add_argument(
        "--airframes", type=count, metavar="N", help="render so many pictures of each kind of drone, balloon, kite, ..."
    )
    what.add_argument("--mesh", type=Path, metavar="FILE", help="render a mesh (.obj, .stl), --most pictures of it")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the bank; a picture goes beside it")
    parser.add_argument("--source", required=True, metavar="NAME", help="short name of where the objects come from")
    parser.add_argument("--licence", required=True, metavar="TEXT", help="its licence and address, kept in the bank")
    parser.add_argument("--airframe", nargs="+", default=[], metavar="NAME", help="only these of --airframes")
    parser.add_argument("--kind", metavar="NAME", help="what all objects show; by default their class (data sets)")
    parser.add_argument("--split", default="train", metavar="NAME", help="whose objects are taken, never a test's")
    parser.add_argument("--fold", type=int, metavar="N", help="of a data set with folds: the fold whose split is taken")
    parser.add_argument("--most", type=count, default=150, metavar="N", help="cut-outs of each class")
    beside = "banks to put beside them; shipped: the one that comes along"
    parser.add_argument("--add", type=Path, nargs="+", default=[], metavar="BANK", help=beside)
    without = "leave these sources of the --add banks out, such as svanstrom, whose clips may be in your test"
    parser.add_argument("--without", nargs="+", default=[], metavar="NAME", help=without)
    parser.add_argument("--seed", type=int, default=0, help="of which objects are taken")


def _cutouts(args: argparse.Namespace) -> Iterator[Cutout]:
    if args.airframe and args.airframes is None:
        raise UserError("--airframe says which of the rendered kinds: give --airframes N, how many of each, with it")
    if args.airframes is not None:
        yield from rendered_airframes(args.source, args.airframes, args.seed, args.airframe)
    elif args.mesh is not None:
        yield from rendered_mesh(args.mesh, args.kind or "drone", args.source, args.most, args.seed)
    elif (annotations := args.root / "annotations").is_dir():
        folder = annotations if args.fold is None else annotations / f"fold{args.fold}"
        split = load_split(folder / f"{args.split}.json", args.root / "images")
        kinds = {} if args.kind is None else dict.fromkeys(split.classes, args.kind)
        yield from cutouts_of_split(split, args.source, args.most, args.seed, kinds)
    elif args.kind is None:
        raise UserError(f"{args.root}: no data set, so pictures with alpha: say by --kind what they show")
    else:
        yield from cutouts_of_pictures(args.root, args.kind, args.source)


def _banks(paths: Sequence[Path], without: Sequence[str]) -> list[CutoutBank]:
    """The banks to put beside, less the sources to leave out."""
    banks = [CutoutBank.load(path) for path in paths]
    known = sorted({source for bank in banks for source in bank.sources})
    if unknown := sorted(set(without) - set(known)):
        raise UserError(
            f"--without {' '.join(unknown)}: no such source in the --add banks; they have {', '.join(known)}"
        )
    return [left for bank in banks if (left := bank.without(without)) is not None]


def run(args: argparse.Namespace) -> None:
    banks = _banks(args.add, args.without)
    cutouts = list(_cutouts(args))
    if not cutouts:
        raise UserError(f"{args.root}: no object stands clearly before a calm background; nothing was made")
    bank = merge(banks, cutouts, {args.source: args.licence})
    bank.save(args.out)
    picture = args.out.with_suffix(".png")
    with atomic_path(picture) as part:
        cv2.imwrite(str(part), sheet(draw_sheet(bank, SHEET_EACH, args.seed)))
    print(", ".join(f"{number} {kind}" for kind, number in bank.kinds.items()))
    print(args.out, picture, sep="\n")
