"""The subcommand `video` of the data command: every N-th frame of labelled films."""

import argparse
from pathlib import Path
from typing import Any

from yolox_gssam.cli.importing import add_command, add_output, build, tell_faults
from yolox_gssam.cli.parser import count, natural
from yolox_gssam.common.errors import UserError
from yolox_gssam.data.faults import Fault
from yolox_gssam.data.formats.films import Sampling
from yolox_gssam.data.formats.video import KNOWN, class_names, clip_records, read_clips, sampled


def add_video(commands: Any) -> None:
    summary = f"frames of labelled films, recognised by their labels: {KNOWN}"
    parser = add_command(commands, "video", _video, summary)
    parser.add_argument("root", type=Path, metavar="ROOT", help="folder of films, or of folders of frames, and labels")
    parser.add_argument("--stride", type=count, required=True, metavar="N", help="take every N-th labelled frame")
    parser.add_argument("--offset", type=natural, default=0, metavar="N", help="first frame taken, from 0")
    parser.add_argument(
        "--classes", nargs="+", default=(), metavar="NAME", help="classes to keep, in this order (default: all)"
    )
    parser.add_argument(
        "--mot-origin", type=int, choices=(0, 1), default=1, help="what MOT calls the first pixel: 1 by its definition"
    )
    parser.add_argument("--keep-split", action="store_true", help="keep the splits that folders are named after")
    parser.add_argument("--format", choices=("jpg", "png"), default="jpg", help="of the stored frames")
    parser.add_argument("--jpeg-quality", type=count, default=95, metavar="Q", help="of jpg, 1 to 100")
    add_output(parser)


def _video(args: argparse.Namespace) -> None:
    faults: list[Fault] = []
    sampling = Sampling(args.stride, args.offset, args.jpeg_quality, png=args.format == "png")
    clips = read_clips(args.root, faults.append, args.classes, args.mot_origin)
    tell_faults(faults)
    classes = tuple(args.classes) or class_names(clips)
    if not classes:
        raise UserError(f"{args.root}: no object in any film; name the classes by --classes")
    total = sum(len(sampled(clip, sampling)) for clip in clips)
    records = clip_records(clips, classes, sampling, args.root, args.keep_split)
    build(args, classes, records, "labelled films", total, {"stride": args.stride, "offset": args.offset})
