"""Shows where a trained network looks, and measures how much of it lies on the objects.

examples:
  python tools/visualize.py detections -c best_ckpt.pth --path photos/     # attention maps, Grad-CAM of each detection
  python tools/visualize.py steps -c best_ckpt.pth --count 4               # GSSAM's inner steps, on the test split
  python tools/visualize.py errors -c best_ckpt.pth                        # what it finds, confuses, misses and invents
  python tools/visualize.py energy -c runs/origin/best_ckpt.pth -c runs/gssam_sig_res_p1/best_ckpt.pth
  python tools/visualize.py cam -c vgg19.pth -c vgg19_cbam.pth -c vgg19_gssam.pth --data datasets/crops
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from yolox_gssam.classification.data import LabelledImages
from yolox_gssam.cli.parser import HelpFormatter, add_command, count, positive_share, share
from yolox_gssam.common.device import choose_device
from yolox_gssam.common.errors import UserError
from yolox_gssam.common.files import atomic_path, write_json
from yolox_gssam.common.images import encode_png
from yolox_gssam.common.progress import progress_bar
from yolox_gssam.data.coco_reader import read_image
from yolox_gssam.evaluation.classes import check_classes
from yolox_gssam.experiment import DroneExp
from yolox_gssam.experiment.loading import load_trained
from yolox_gssam.inference.frames import find_images
from yolox_gssam.research.pictures.classifier_cam import classifier_row, load_classifiers, right_by_all
from yolox_gssam.research.pictures.detection_panels import detection_panels
from yolox_gssam.research.pictures.energy import detector_energy, energy_table
from yolox_gssam.research.pictures.error_cases import count_cases, error_picture, find_cases
from yolox_gssam.research.pictures.layout import grid
from yolox_gssam.research.pictures.look import Look
from yolox_gssam.research.pictures.steps import gssam_steps, steps_picture

T = TypeVar("T")


def make_parser() -> argparse.ArgumentParser:
    """The commands; flags that tools/demo.py has too mean the same here."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in (
        ("detections", "a detector's attention maps, and Grad-CAM of each of its detections"),
        ("steps", "what GSSAM computes on the way to its map, at each stage"),
    ):
        pictures = add_command(commands, name, make_pictures, text)
        _add_model(pictures)
        pictures.add_argument("--path", type=Path, metavar="PATH", help="image or folder; by default the data set")
        _add_draw(pictures, 8, "at most so many images, drawn at random")
        _add_output(pictures, Path("pictures") / name, "DIR")
    text = "examples of what a detector finds, takes for another class, misses and invents"
    errors = add_command(commands, "errors", show_errors, text)
    _add_model(errors)
    errors.add_argument(
        "--match-iou", type=positive_share, default=0.5, metavar="IOU", help="least IoU of detection and object"
    )
    _add_draw(errors, 6, "examples of each kind, at most one per clip")
    _add_output(errors, Path("pictures/errors.png"))
    text = "the share of the maps inside the true boxes, of several detectors side by side"
    energy = add_command(commands, "energy", measure_energy, text)
    _add_model(energy, several=True)
    _add_draw(energy, None, "at most so many images, drawn at random; by default all")
    _add_output(energy, Path("energy.json"))
    text = "Grad-CAM of several classifiers side by side, as Fig. 13 of GSSAM's paper"
    cam = add_command(commands, "cam", show_classifiers, text)
    cam.add_argument(
        "-c", "--ckpt", action="append", required=True, metavar="FILE", help="of tools/classify.py; a column each"
    )
    images = cam.add_mutually_exclusive_group(required=True)
    images.add_argument("--data", type=Path, metavar="DIR", help="draw from it what all networks get right")
    images.add_argument("--path", type=Path, nargs="+", metavar="FILE", help="show these images")
    _add_draw(cam, 6, "at most so many images of --data")
    cam.add_argument(
        "--stage", type=int, choices=range(1, 6), default=5, help="whose features; of small images the last are too few"
    )
    _add_device(cam)
    _add_output(cam, Path("pictures/cam.png"))
    return parser


def _add_model(parser: argparse.ArgumentParser, several: bool = False) -> None:
    action, more = ("append", "; again for each further one") if several else ("store", "")
    model = parser.add_argument_group("model")
    model.add_argument(
        "-f", "--exp_file", action=action, metavar="EXP", help=f"experiment; by default what the checkpoint says{more}"
    )
    model.add_argument(
        "-c", "--ckpt", action=action, required=True, metavar="FILE", help=f"checkpoint of tools/train.py{more}"
    )
    model.add_argument("--opts", nargs="+", default=[], metavar="FIELD VALUE", help="fields of the experiment to set")
    model.add_argument("--conf", type=share, default=0.25, metavar="SCORE", help="least score of a detection, 0 to 1")
    model.add_argument("--nms", type=share, default=0.45, metavar="IOU", help="greatest IoU of two detections, 0 to 1")
    _add_device(model)


def _add_device(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--device", metavar="DEVICE", help="cpu, gpu, cuda:N or mps; by default the best there is")


def _add_draw(parser: argparse.ArgumentParser, default: int | None, of_what: str) -> None:
    images = parser.add_argument_group("images")
    images.add_argument("--split", choices=("test", "val", "train"), default="test", help="split of the data set")
    images.add_argument("--count", type=count, default=default, metavar="N", help=of_what)
    images.add_argument("--seed", type=int, default=0, metavar="N", help="of the draw")


def _add_output(parser: argparse.ArgumentParser, default: Path, metavar: str = "FILE") -> None:
    parser.add_argument("--output", type=Path, default=default, metavar=metavar, help="what is written")


def main(args: argparse.Namespace) -> None:
    args.run(args)


def make_pictures(args: argparse.Namespace) -> None:
    exp, look_at = open_detector(args.exp_file, args.ckpt, args)
    images = choose_images(exp, args)
    for path, name in progress_bar(images, description=args.command, unit="images"):
        look = look_at(read_image(path))
        heading = f"{name}, {exp.exp_name}"
        if args.command == "detections":
            picture = detection_panels(look, exp.class_names, heading)
        else:
            steps = gssam_steps(look.model, look.input)
            if not steps:
                raise UserError(f"{args.ckpt}: this network has no GSSAM, whose steps could be shown")
            box = look.detections.boxes_xyxy[0] if len(look.detections) else None
            picture = steps_picture(steps, look.image, look.test_size, box, heading)
        # Images of one name in two folders, or two formats, keep a picture each.
        write_png(args.output / f"{name.replace('/', '_')}.png", picture)
    print(f"{len(images)} pictures: {args.output}")


def show_errors(args: argparse.Namespace) -> None:
    """Writes one PNG: a row for each kind of right and wrong."""
    exp, look_at = open_detector(args.exp_file, args.ckpt, args)
    split = exp.load_split(args.split)
    check_classes(split, exp.class_names, args.ckpt)
    detections = {
        image.image_id: look_at(read_image(split.image_path(image))).detections
        for image in progress_bar(split.images, description="detect", unit="images")
    }
    cases = find_cases(split, detections, args.match_iou)
    heading = f"{exp.exp_name}, {args.split} split, score at least {args.conf:g}"
    write_png(args.output, error_picture(split, cases, args.count, args.seed, heading))
    print(f"{count_cases(cases)}: {args.output}")


def measure_energy(args: argparse.Namespace) -> None:
    exp_files = args.exp_file or [None] * len(args.ckpt)
    if len(exp_files) != len(args.ckpt):
        raise UserError(f"give -f as often as -c ({len(args.ckpt)} times), in the same order, or not at all")
    folders = [Path(checkpoint).resolve().parent.name for checkpoint in args.ckpt]
    names = folders if len(set(folders)) == len(folders) else args.ckpt
    rows = []
    for name, exp_file, checkpoint in zip(names, exp_files, args.ckpt, strict=True):
        exp, look_at = open_detector(exp_file, checkpoint, args)
        split = exp.load_split(args.split)
        split = replace(split, images=tuple(draw(split.images, args.count, args.seed)))
        rows += detector_energy(name, look_at, split, args.seed)
    if not rows:
        raise UserError(f"nothing to measure: no box on any image of the {args.split} split, or nothing found")
    print(energy_table(rows))
    print(
        "inside: share of the map above its minimum that lies inside the true boxes, ± standard error; raw: times "
        "chance of the values as they are; errors: bootstrap over the clips"
    )
    write_json(args.output, {"split": args.split, "score_threshold": args.conf, "rows": [asdict(row) for row in rows]})
    print(f"numbers: {args.output}")


def show_classifiers(args: argparse.Namespace) -> None:
    """Writes one PNG: one row per image, one column per network."""
    classifiers = load_classifiers(args.ckpt, choose_device(args.device))
    names = classifiers[0].class_names
    if args.path:
        titles = {path: path.name for path in args.path}
    else:
        images = LabelledImages(args.data, args.split, classifiers[0].image_size)
        if images.class_names != names:
            raise UserError(f"{args.data}: has the classes {images.class_names}, but {args.ckpt[0]} knows {names}")
        order = np.random.default_rng(args.seed).permutation(len(images))
        drawn = ((Path(images.folder.imgs[index][0]), images.labels[index]) for index in order)
        right = right_by_all(classifiers, drawn, args.count)
        if not right:
            raise UserError(
                f"{args.data}: no image of the {args.split} split is got right by all; choose some by --path"
            )
        titles = {path: names[label] for path, label in right}
    rows = [
        classifier_row(classifiers, path, title, args.stage - 1)
        for path, title in progress_bar(list(titles.items()), description="cam", unit="images")
    ]
    write_png(args.output, grid(rows, "Grad-CAM of the class that each network takes the image for"))
    print(f"{len(rows)} images, {len(classifiers)} networks: {args.output}")


def open_detector(
    exp_file: str | None, checkpoint: str, args: argparse.Namespace
) -> tuple[DroneExp, Callable[[NDArray[np.uint8]], Look]]:
    """The experiment of a checkpoint, and what puts its network in front of an image."""
    exp, model = load_trained(exp_file, checkpoint, args.opts, choose_device(args.device))

    def look_at(image: NDArray[np.uint8]) -> Look:
        return Look(model, image, exp.test_size, args.conf, args.nms)

    return exp, look_at


def choose_images(exp: DroneExp, args: argparse.Namespace) -> list[tuple[Path, str]]:
    """The images of `--path`, or of the data set's split, at most `--count`; and their names below its folder."""
    if args.path is not None:
        root = args.path if args.path.is_dir() else args.path.parent
        found = draw(find_images(args.path, leave_out=args.output), args.count, args.seed)
        return [(path, path.relative_to(root).as_posix()) for path in found]
    split = exp.load_split(args.split)
    return [(split.image_path(image), image.file_name) for image in draw(split.images, args.count, args.seed)]


def draw(items: Sequence[T], count: int | None, seed: int) -> list[T]:
    """At most `count` of the items, drawn by `seed`, in their order; all for None."""
    if count is None or count >= len(items):
        return list(items)
    return [items[index] for index in sorted(np.random.default_rng(seed).permutation(len(items))[:count])]


def write_png(path: Path, picture: NDArray[np.uint8]) -> None:
    with atomic_path(path) as part:
        part.write_bytes(encode_png(picture))
