"""Makes a data set in the layout that training reads, checks it, and shows what is in it."""

import argparse
from functools import partial
from pathlib import Path
from typing import Any

from yolox_gssam.cli.classifier_sets import add_classes, add_crops
from yolox_gssam.cli.cutouts import add_cutouts
from yolox_gssam.cli.importing import (
    add_command,
    add_grouping,
    add_output,
    build,
    command_line,
    import_set,
    tell,
    tell_faults,
)
from yolox_gssam.cli.mask_sets import add_masks
from yolox_gssam.cli.parser import PlainFormatter, count, natural
from yolox_gssam.cli.refine_svanstrom import add_refine_svanstrom
from yolox_gssam.common.bit_depth import RULE
from yolox_gssam.common.errors import UserError
from yolox_gssam.common.progress import progress_bar
from yolox_gssam.common.text import printable
from yolox_gssam.data.check import MAX_FAULTS, MIN_SIDE, check_dataset, count_shrunk, read_splits
from yolox_gssam.data.faults import Fault, raise_fatal
from yolox_gssam.data.formats.coco import read_coco_set
from yolox_gssam.data.formats.films import Sampling
from yolox_gssam.data.formats.svanstrom import (
    SENSORS,
    SVANSTROM_CLASSES,
    find_clips,
    known_classes,
    label_path,
    read_labels,
    svanstrom_records,
)
from yolox_gssam.data.formats.svanstrom_refined import REFINED_PATH, refine_labels
from yolox_gssam.data.formats.video import KNOWN, class_names, clip_records, read_clips, sampled
from yolox_gssam.data.formats.voc import read_voc_set
from yolox_gssam.data.formats.voc_coordinates import COORDINATES, MEANING
from yolox_gssam.data.formats.yolo import read_yolo_set
from yolox_gssam.data.label_hints import label_hints
from yolox_gssam.data.refinement.clip import PADDING
from yolox_gssam.data.refinement.dataset import looseness, refine_dataset
from yolox_gssam.data.refinement.packed import PackedClips
from yolox_gssam.data.stats import summary_table, write_contact_sheet, write_histogram
from yolox_gssam.data.synthetic import SYNTHETIC_CLASSES, synthetic_records, write_clip


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=PlainFormatter)
    commands = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    _add_svanstrom(commands)
    _add_synthetic(commands)
    _add_coco(commands)
    _add_yolo(commands)
    _add_voc(commands)
    add_masks(commands)
    _add_video(commands)
    _add_refine(commands)
    add_crops(commands)
    add_classes(commands)
    _add_check(commands)
    _add_stats(commands)
    _add_clip(commands)
    add_cutouts(commands)
    add_refine_svanstrom(commands)
    return parser


def main(args: argparse.Namespace) -> int | None:
    status: int | None = args.run(args)
    return status


def _add_svanstrom(commands: Any) -> None:
    parser = add_command(commands, "svanstrom", _svanstrom, "frames of the public drone clips by F. Svanström")
    parser.add_argument("root", type=Path, metavar="ROOT", help="folder with Data/Video_V/, Data/Video_IR/ or both")
    parser.add_argument("--sensor", choices=tuple(SENSORS), default="visible", help="whose clips are taken")
    parser.add_argument("--stride", type=count, required=True, metavar="N", help="take every N-th frame")
    parser.add_argument("--offset", type=natural, default=0, metavar="N", help="first frame taken, from 0")
    parser.add_argument(
        "--classes", nargs="+", default=list(SVANSTROM_CLASSES), metavar="NAME", help="classes to keep, in this order"
    )
    parser.add_argument(
        "--keep-negatives", action="store_true", help="keep clips without the chosen classes, as images without objects"
    )
    parser.add_argument(
        "--labels",
        choices=("refined", "original"),
        default="refined",
        help="boxes measured tight, or the label files', two to five times as wide: see docs/labels.md",
    )
    parser.add_argument("--jpeg-quality", type=int, default=95, metavar="Q", help="of the stored frames, 1 to 100")
    add_output(parser)


def _svanstrom(args: argparse.Namespace) -> None:
    classes = known_classes(args.classes)
    sampling = Sampling(args.stride, args.offset, args.jpeg_quality)
    clips = find_clips(args.root, args.sensor)
    with progress_bar(clips, description="labels", unit="clips") as bar:
        labels = {clip: read_labels(label_path(clip)) for clip in bar}
    if not args.keep_negatives:
        labels = {clip: truth for clip, truth in labels.items() if truth.shows(classes)}
    details: dict[str, Any] = {"labels": args.labels}
    if args.labels == "refined":
        labels = refine_labels(labels, PackedClips.from_file(REFINED_PATH))
        details["padding"] = PADDING
    total = sum(len(sampling.frames(truth.frames)) for truth in labels.values())
    records = svanstrom_records(labels, sampling, classes)
    build(args, classes, records, f"Svanström drone clips, {args.sensor}", total, details)


def _add_synthetic(commands: Any) -> None:
    parser = add_command(commands, "synthetic", _synthetic, "drawn scenes of small flying objects")
    parser.add_argument("--count", type=count, default=800, metavar="N", help="number of images")
    _add_size(parser)
    parser.add_argument(
        "--workers", type=count, default=2, metavar="N", help="processes; the images do not depend on it"
    )
    add_output(parser)


def _synthetic(args: argparse.Namespace) -> None:
    records = synthetic_records(args.count, args.seed, (args.height, args.width), args.workers)
    build(args, SYNTHETIC_CLASSES, records, "synthetic scenes of small flying objects", args.count)


def _add_coco(commands: Any) -> None:
    parser = add_command(commands, "coco", _coco, "your own set in COCO's format")
    parser.add_argument(
        "annotations", type=Path, nargs="+", metavar="JSON", help="annotation files, of the same categories"
    )
    parser.add_argument(
        "--images",
        type=Path,
        nargs="+",
        default=(),
        metavar="DIR",
        help="image folder, one for all files or one each (default: where each file lies, or beside its folder)",
    )
    keep_help = "keep the splits: each file is one, told by its name or folder"
    groups = add_grouping(parser, action="store_true", help=keep_help)
    groups.add_argument("--group-field", metavar="NAME", help="field of an image entry that names its group (clip)")
    add_output(parser)


def _coco(args: argparse.Namespace) -> None:
    read = partial(
        read_coco_set, args.annotations, args.images, group_field=args.group_field, keep_split=args.keep_split
    )
    import_set(args, read, "COCO annotations")


def _add_yolo(commands: Any) -> None:
    parser = add_command(commands, "yolo", _yolo, "your own set in YOLO's format")
    parser.add_argument(
        "source", type=Path, metavar="SOURCE", help="data.yaml, or a folder with it or with images/ and labels/"
    )
    parser.add_argument("--root", type=Path, metavar="DIR", help="folder of the set, where data.yaml lies elsewhere")
    parser.add_argument(
        "--classes",
        nargs="+",
        default=(),
        metavar="NAME",
        help="class names in label order, without data.yaml or classes.txt",
    )
    parser.add_argument(
        "--lines",
        choices=("auto", "polygons", "key-points"),
        default="auto",
        help="what a line of more than five numbers holds: a polygon, or a box and key points; auto: by kpt_shape in"
        " data.yaml, else by the numbers",
    )
    add_grouping(parser, action="store_true", help="keep the splits that data.yaml names")
    add_output(parser)


def _yolo(args: argparse.Namespace) -> None:
    lines = None if args.lines == "auto" else args.lines
    read = partial(
        read_yolo_set, args.source, root=args.root, classes=args.classes, keep_split=args.keep_split, lines=lines
    )
    import_set(args, read, "YOLO labels")


def _add_voc(commands: Any) -> None:
    parser = add_command(commands, "voc", _voc, "your own set in Pascal VOC's format")
    parser.add_argument(
        "root", type=Path, metavar="ROOT", help="folder with Annotations/ and JPEGImages/, or XML beside images"
    )
    parser.add_argument(
        "--classes",
        nargs="+",
        default=(),
        metavar="NAME",
        help="class names in label order (default: all, by alphabet)",
    )
    parser.add_argument(
        "--coordinates",
        choices=("auto", *COORDINATES),
        default="auto",
        help=f"what the numbers of a box count. {'; '.join(f'{name}: {MEANING[name]}' for name in COORDINATES)}; auto:"
        " by who wrote each file, where it says so, else by the images",
    )
    add_grouping(parser, action="store_true", help="keep the splits of ImageSets/Main/{train,val,test}.txt")
    add_output(parser)


def _voc(args: argparse.Namespace) -> None:
    read = partial(
        read_voc_set, args.root, classes=args.classes, keep_split=args.keep_split, coordinates=args.coordinates
    )
    import_set(args, read, "Pascal VOC annotations")


def _add_video(commands: Any) -> None:
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


def _add_refine(commands: Any) -> None:
    parser = add_command(commands, "refine", _refine, "a data set with its loose boxes made tight by measurement")
    parser.add_argument("root", type=Path, metavar="DIR", help="the data set, such as datasets/mine")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the new data set; must not exist")


def _refine(args: argparse.Namespace) -> None:
    summary = refine_dataset(args.root, args.out, command=command_line())
    tell(summary)
    print(", ".join(f"{count} {way}" for way, count in summary["refined"].items()))
    print(args.out)


def _add_check(commands: Any) -> None:
    parser = add_command(commands, "check", _check, "list every fault of a data set; status 1 if there is any")
    parser.add_argument("root", type=Path, metavar="DIR", help="the data set, such as datasets/mine")
    parser.add_argument(
        "--input-size",
        type=count,
        nargs=2,
        default=(640, 640),
        metavar=("H", "W"),
        help="input of the network, for which objects that get too small are counted",
    )


def _check(args: argparse.Namespace) -> int:
    deep: list[str] = []
    faults = check_dataset(args.root, deep, tuple(args.input_size))
    for fault in faults:
        print(fault)
    if deep:
        print(f"{len(deep)} images have more than 8 bit, such as {printable(deep[0])}: when read, {RULE}")
    if len(faults) < MAX_FAULTS:
        splits = read_splits(args.root, lambda fault: None)
        objects, below, vanished = count_shrunk(splits.values(), tuple(args.input_size))
        print(
            f"at {args.input_size[0]} x {args.input_size[1]}: {below} of {objects} objects are below "
            f"{MIN_SIDE:g} pixels, {vanished} of them below 1"
        )
    if not faults:
        splits = read_splits(args.root, raise_fatal)
        print(looseness(splits))
        for hint in label_hints(list(splits.values())):
            print(hint)
    print(f"{len(faults)} faults" if faults else "no faults")
    return 1 if faults else 0


def _add_stats(commands: Any) -> None:
    parser = add_command(commands, "stats", _stats, "counts, a box-size histogram and a contact sheet")
    parser.add_argument("root", type=Path, metavar="DIR", help="the data set, such as datasets/mine")
    parser.add_argument("--output", type=Path, metavar="DIR", help="folder of the pictures (default: DIR/stats)")


def _stats(args: argparse.Namespace) -> None:
    output = args.output or args.root / "stats"
    splits = read_splits(args.root, raise_fatal)
    print(summary_table(splits))
    print(looseness(splits))
    write_histogram(output / "box_sizes.png", splits)
    write_contact_sheet(output / "contact_sheet.png", splits)
    print(output / "box_sizes.png", output / "contact_sheet.png", sep="\n")


def _add_clip(commands: Any) -> None:
    parser = add_command(commands, "clip", _clip, "a drawn video of a drone and a bird, to try the demo on")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the video, a name that ends in .mp4")
    parser.add_argument("--seed", type=natural, default=0, help="the same seed gives the same video")
    parser.add_argument("--frames", type=count, default=150, metavar="N", help="length; 30 frames are a second")
    _add_size(parser)


def _clip(args: argparse.Namespace) -> None:
    write_clip(args.out, args.seed, (args.height, args.width), args.frames)
    print(args.out)


def _add_size(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--width", type=count, default=320, metavar="W", help="of the pictures in pixels")
    parser.add_argument("--height", type=count, default=320, metavar="H", help="of the pictures in pixels")
