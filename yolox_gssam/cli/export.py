"""Writes a trained network as a file that needs no training code, for tools/demo.py, tools/eval.py and other programs.

examples:
  python tools/export.py -c best_ckpt.pth --format openvino --int8            # the fastest on a CPU
  python tools/export.py -c best_ckpt.pth --format onnx --dynamic-size
  python tools/export.py -c best_ckpt.pth --format onnx --layout yolox         # for YOLOX's demos, Frigate and others
  python tools/export.py -c best_ckpt.pth --format checkpoint --half           # small, to hand on
  python tools/demo.py video --path clip.mp4 -c best_ckpt.onnx
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from yolox_gssam.cli.host_flags import EXPORT_FLAGS
from yolox_gssam.cli.parser import HelpFormatter, Parser, add_fields, count
from yolox_gssam.common.errors import UserError
from yolox_gssam.common.files import sha256_of
from yolox_gssam.common.letterbox import letterbox
from yolox_gssam.common.log import setup_log
from yolox_gssam.data.coco_reader import CocoSplit, read_image
from yolox_gssam.evaluation.coco_metrics import evaluate_coco
from yolox_gssam.evaluation.prediction import predict_split
from yolox_gssam.experiment.drone_exp import DroneExp
from yolox_gssam.experiment.loading import load_detector, load_trained
from yolox_gssam.inference.backends.pytorch import TorchBackend
from yolox_gssam.inference.conversion.writing import SUFFIXES, check_format, export
from yolox_gssam.inference.model_info import CANDIDATES, LAYOUTS, UNDECODED, ModelInfo
from yolox_gssam.inference.network import Network

TOLERATED_LOSS = 0.5
"""Points of mAP that INT8 may lose before the tool warns."""


def make_parser() -> argparse.ArgumentParser:
    parser = Parser(host_flags=EXPORT_FLAGS, description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument("-f", "--exp_file", metavar="EXP", help="exp file; by default what the checkpoint says")
    parser.add_argument("-c", "--ckpt", required=True, metavar="FILE", help="checkpoint, as tools/train.py writes it")
    parser.add_argument("--format", required=True, choices=tuple(SUFFIXES), help="what to write")
    parser.add_argument(
        "--layout",
        choices=tuple(LAYOUTS),
        default=CANDIDATES,
        help="what goes in and comes out; yolox: as YOLOX's own exporter writes ONNX, for programs that take that",
    )
    parser.add_argument(
        "--batch-size", type=count, default=1, metavar="N", help="images at a time, for --layout yolox; others take any"
    )
    precision = parser.add_mutually_exclusive_group()
    precision.add_argument("--half", action="store_true", help="float16 weights and activations")
    precision.add_argument(
        "--int8", action="store_true", help="8 bit, scales measured on training images; says what mAP it costs"
    )
    parser.add_argument(
        "--dynamic-size", action="store_true", help="take smaller inputs as well, each side a multiple of 32"
    )
    parser.add_argument("--tsize", type=count, metavar="N", help="input size N x N pixels; by default the trained one")
    parser.add_argument("--output", "--output-name", type=Path, metavar="FILE", help="by default beside the checkpoint")
    parser.add_argument("--images", type=int, default=300, metavar="N", help="training images that set INT8's scales")
    add_fields(parser, "fields of the exp, such as: data_dir datasets/mine")
    return parser


def main(args: argparse.Namespace) -> None:
    """Exports, reads the file back and, for INT8, measures what it costs."""
    setup_log()
    precision = "int8" if args.int8 else "float16" if args.half else "float32"
    check_format(args.format, precision, args.layout)
    if args.layout == UNDECODED and args.dynamic_size:
        raise UserError("--layout yolox: takes inputs of one size; leave out --dynamic-size")
    path = args.output or Path(args.ckpt).with_suffix(SUFFIXES[args.format])
    if not path.name.endswith(SUFFIXES[args.format]):
        raise UserError(f"--output {path}: the name of a file of this format ends in {SUFFIXES[args.format]}")
    options = [*args.opts] if args.tsize is None else [*args.opts, "test_size", f"({args.tsize}, {args.tsize})"]
    exp, model = load_trained(args.exp_file, args.ckpt, options, torch.device("cpu"))
    info = ModelInfo(
        class_names=exp.class_names,
        input_size=exp.test_size,
        dynamic_size=args.dynamic_size,
        precision=precision,
        exp=exp.fields(),
        checkpoint_sha256=sha256_of(args.ckpt),
        layout=args.layout,
    )
    # Both splits are looked at before the work begins, so that a missing one is told at once.
    validation = exp.load_split("val") if args.int8 else None
    images = calibration_images(exp.load_split("train"), exp.test_size, args.images) if args.int8 else ()
    export(model, info, args.format, path, images, exp.test_conf, args.batch_size)
    if args.layout == UNDECODED:
        height, width = exp.test_size
        print(
            f"onnx: {path}, {precision}, as YOLOX's: images ({args.batch_size}, 3, {height}, {width}), BGR, float32 "
            f"from 0 to 255; output ({args.batch_size}, anchors, {5 + exp.num_classes}), boxes not decoded"
        )
        return
    cpu = torch.device("cpu")
    _, network = load_detector(args.exp_file, path, (), cpu)
    print(f"{args.format}: {path}, {precision}, read back by {network.backend.description}")
    if validation is not None:
        full = Network(TorchBackend(model, cpu), exp.class_names, exp.test_size)
        report_loss(exp, validation, full, network)


def calibration_images(split: CocoSplit, input_size: tuple[int, int], count: int) -> Iterator[NDArray[np.uint8]]:
    """`count` images from all over a split, letterboxed."""
    step = max(len(split.images) // max(count, 1), 1)
    for image in split.images[::step][:count]:
        yield letterbox([read_image(split.image_path(image))], input_size)


def report_loss(exp: DroneExp, split: CocoSplit, full: Network, quantized: Network) -> None:
    """Prints the mAP of both on the validation split, and warns where too much is lost."""
    points = []
    for network in (full, quantized):
        predictor = network.predictor(exp.test_conf, exp.nmsthre)
        points.append(100 * (evaluate_coco(split, predict_split(predictor, split, 1, 1)).overall.ap or 0.0))
    loss = points[0] - points[1]
    print(f"mAP50:95 on {len(split.images)} validation images: float32 {points[0]:.2f} %, int8 {points[1]:.2f} %")
    if loss > TOLERATED_LOSS:
        print(f"warning: INT8 loses {loss:.2f} points of mAP here, more than {TOLERATED_LOSS}; export without --int8")
