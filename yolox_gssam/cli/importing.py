"""What the commands that make data sets share: their options, reading a user's own set, and writing it."""

import argparse
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from yolox_gssam.cli.parser import PlainFormatter, natural, several
from yolox_gssam.cli.parser import add_command as add_formatted
from yolox_gssam.common.bit_depth import RULE, add_range_option
from yolox_gssam.common.errors import UserError
from yolox_gssam.common.text import printable
from yolox_gssam.data.builder import EncodedImage, build_dataset
from yolox_gssam.data.faults import Fault
from yolox_gssam.data.formats.samples import LabelledSet, group_by_name

DEEP_IMAGES = f"when read, {RULE}; --range LOW HIGH stores all of them by one range"
"""What is said of images of more than 8 bit that are kept as they are."""
SHOWN_FAULTS = 50
"""Faults of single items that are printed; there may be one a line of a large set."""


class HelpFormatter(PlainFormatter, argparse.ArgumentDefaultsHelpFormatter):
    """Shows defaults where there are any."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        has_default = action.default not in (None, ()) and action.default is not False
        return super()._get_help_string(action) if has_default else action.help


add_command = partial(add_formatted, formatter=HelpFormatter)


def add_output(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("output")
    group.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="the new data set, such as datasets/mine; must not exist"
    )
    group.add_argument("--seed", type=natural, default=0, help="of the split; the same seed gives the same data set")
    split = group.add_mutually_exclusive_group()
    split.add_argument(
        "--shares",
        type=float,
        nargs=3,
        default=(0.8, 0.1, 0.1),
        metavar=("TRAIN", "VAL", "TEST"),
        help="share of the images in each split",
    )
    split.add_argument(
        "--folds",
        type=several,
        metavar="K",
        help="split into K folds for cross-validation: every group (clip) is in the test split of one of them, and a"
        " tenth of the groups validates",
    )


def add_grouping(parser: argparse.ArgumentParser, **keep_split: Any) -> Any:
    """Options that say which images belong together, --keep-split as told; returns the group, of which one is taken."""
    groups = parser.add_argument_group("split").add_mutually_exclusive_group()
    groups.add_argument(
        "--group-pattern",
        metavar="REGEX",
        help="images whose file names agree in the bracketed part stay together, as in '(.*)_[0-9]+'"
        " (default: each image by itself)",
    )
    groups.add_argument("--keep-split", **keep_split)
    add_range_option(parser.add_argument_group("images"))
    return groups


def import_set(args: argparse.Namespace, read: Callable[..., LabelledSet], source: str) -> None:
    """Reads a user's own set, `report` of `read` taking its faults, tells of these, and writes it in our layout."""
    faults: list[Fault] = []
    labelled = read(report=faults.append)
    tell_faults(faults)
    if args.group_pattern:
        labelled = LabelledSet(labelled.classes, group_by_name(labelled.samples, args.group_pattern))
    deep: list[str] = []
    records = labelled.records(args.range, deep)
    build(args, labelled.classes, records, source, len(labelled.samples))
    if deep:
        how = f"stored in 8 bit, {args.range[0]:g} as 0 and {args.range[1]:g} as 255" if args.range else DEEP_IMAGES
        print(f"{len(deep)} images have more than 8 bit, such as {printable(deep[0])}: {how}", file=sys.stderr)


def tell_faults(faults: Sequence[Fault]) -> None:
    """Prints what is wrong with a set, and ends there if any of it is fatal."""
    single = [fault for fault in faults if not fault.of_set]
    more = [f"and {len(single) - SHOWN_FAULTS} more"] if len(single) > SHOWN_FAULTS else []
    for line in [*single[:SHOWN_FAULTS], *more, *(fault for fault in faults if fault.of_set)]:
        print(line, file=sys.stderr)
    fatal = sum(fault.fatal for fault in faults)
    if fatal:
        raise UserError(f"{fatal} faults in the labels, listed above; put them right, nothing was made")


def command_line() -> str:
    return shlex.join(["python", "tools/prepare_dataset.py", *sys.argv[1:]])


def build(
    args: argparse.Namespace,
    classes: Sequence[str],
    images: Iterable[EncodedImage],
    source: str,
    total: int | None = None,
    details: Mapping[str, Any] | None = None,
) -> None:
    summary = build_dataset(
        args.out,
        classes,
        images,
        source=source,
        command=command_line(),
        seed=args.seed,
        shares=args.shares,
        folds=args.folds,
        total=total,
        details=details,
    )
    tell(summary)
    print(args.out)


def tell(summary: Mapping[str, Any]) -> None:
    for split, counts in summary["splits"].items():
        objects = ", ".join(f"{count} {name}" for name, count in counts["objects"].items())
        print(f"{split}: {counts['images']} images ({counts['images_without_objects']} without objects): {objects}")
    clipped, dropped = summary["boxes_clipped"], summary["boxes_dropped"]
    if clipped or dropped:
        print(f"{clipped} boxes clipped to their image, {dropped} without an area left out")
