"""Detects objects on images, videos, a camera or a stream, and writes annotated pictures or videos.

examples:
  python tools/demo.py video --path clip.mp4                       # with the weights in weights/
  python tools/demo.py image --path photos/ -c best_ckpt.pth
  python tools/demo.py video --path clip.mp4 -c best_ckpt.pth --save-attention --save-detections csv
  python tools/demo.py video --path rtsp://camera.local/stream -c best_ckpt.pth
  python tools/demo.py video --path clip.mp4 -c detector.xml       # exported by tools/export.py: faster on a CPU
  python tools/demo.py webcam --camid 0 -c best_ckpt.pth --show

exit status:
  0  all was done: the file was read to its end, or Esc or q closed the window
  1  wrong input; or an image among others could not be read
  2  wrong options
  3  the camera or the stream ended by itself; what had come by then is kept
  128 + N  signal N ended it (130 Ctrl-C, 143 kill); what was done is kept
"""

import argparse
import sys
from functools import partial
from pathlib import Path

import cv2
import torch

from yolox_gssam.cli.host_flags import DEMO_FLAGS
from yolox_gssam.cli.parser import HelpFormatter, Parser, count, share
from yolox_gssam.common.device import choose_device
from yolox_gssam.common.errors import UserError
from yolox_gssam.data.bit_depth import add_range_option
from yolox_gssam.experiment.loading import load_detector
from yolox_gssam.inference.annotate import Outputs, Summary, annotate_images, annotate_video
from yolox_gssam.inference.backends import BACKENDS
from yolox_gssam.inference.label_files import CONVENTIONS
from yolox_gssam.inference.predictor import Predictor
from yolox_gssam.inference.sources import check_source
from yolox_gssam.inference.window import check_display
from yolox_gssam.models.yolox import attention_maps

SHIPPED_WEIGHTS = Path(__file__).resolve().parents[2] / "weights" / "yolox_tiny_gssam.weights.pth"
STREAM_ENDED = 3
"""The exit status that tells a script to start again."""


def make_parser() -> argparse.ArgumentParser:
    """The options; those that YOLOX's demo has too mean the same here."""
    parser = Parser(host_flags=DEMO_FLAGS, prog="demo.py", description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument("demo", choices=("image", "video", "webcam"), help="what to look at")
    source = parser.add_argument_group("source")
    source.add_argument(
        "--path", metavar="PATH", help="image or folder (image); video file or stream URL (video); none for webcam"
    )
    source.add_argument("--camid", type=int, default=0, metavar="N", help="number of the camera (webcam)")
    add_range_option(source)
    model = parser.add_argument_group("model")
    model.add_argument("-f", "--exp_file", metavar="EXP", help="experiment; by default what the checkpoint says")
    model.add_argument(
        "-c",
        "--ckpt",
        default=str(SHIPPED_WEIGHTS),
        metavar="FILE",
        help="checkpoint of tools/train.py or file of tools/export.py; by default those of weights/README.md",
    )
    model.add_argument("--opts", nargs="+", default=[], metavar="FIELD VALUE", help="fields of the experiment to set")
    model.add_argument("--conf", type=share, default=0.25, metavar="SCORE", help="least score of a detection, 0 to 1")
    model.add_argument("--nms", type=share, default=0.45, metavar="IOU", help="greatest IoU of two detections, 0 to 1")
    model.add_argument("--tsize", type=count, metavar="N", help="input size N x N pixels; by default the trained one")
    model.add_argument("--device", metavar="DEVICE", help="cpu, gpu, cuda:N or mps; by default the best there is")
    model.add_argument("--fp16", action="store_true", help="16 bit (float16; bfloat16 on the CPU)")
    model.add_argument(
        "--backend",
        choices=("auto", *BACKENDS),
        default="torch",
        help="what runs the network; auto: the fastest here, measured once and remembered",
    )
    model.add_argument(
        "--square", action="store_true", help="pad images to the whole input, as eval does, not to multiples of 32"
    )
    output = parser.add_argument_group("output")
    output.add_argument("--output", type=Path, metavar="DIR", help="by default vis_res in the experiment's folder")
    output.add_argument("--save-attention", action="store_true", help="also the attention maps as overlays")
    output.add_argument("--save-detections", choices=("json", "csv"), help="also the detections as a file")
    output.add_argument(
        "--save-labels",
        choices=tuple(CONVENTIONS),
        help=f"also labels, to correct and train on. {'; '.join(map(': '.join, CONVENTIONS.items()))}",
    )
    output.add_argument("--save_result", action="store_true", help="accepted as in YOLOX; results are always saved")
    output.add_argument("--show", action="store_true", help="also in a window; Esc or q ends")
    return parser


def main(args: argparse.Namespace) -> int:
    """Runs the demo and returns the exit status, see above."""
    check_source(args.demo, args.path)
    if args.show:
        check_display()
    options = [*args.opts] if args.tsize is None else [*args.opts, "test_size", f"({args.tsize}, {args.tsize})"]
    device = choose_device(args.device)
    # Of a file, frames a second count; of what is seen now, how soon it is detected.
    streams = torch.get_num_threads() if args.demo != "webcam" and "://" not in args.path else 1
    detector = load_detector(args.exp_file, args.ckpt, options, device, args.backend, args.fp16, streams)
    exp = detector.exp
    if detector.backend.streams > 1:
        # Each of them has a core to itself; threads beside them would only push them off it.
        torch.set_num_threads(1)
        cv2.setNumThreads(1)
    if args.save_attention and detector.model is None:
        raise UserError(f"--save-attention needs a checkpoint: {args.ckpt} holds no attention maps")
    predictor = Predictor(
        detector.backend,
        exp.class_names,
        exp.test_size,
        args.conf,
        args.nms,
        class_agnostic=True,
        tight=detector.dynamic_size and not args.square,
    )
    outputs = Outputs(
        folder=args.output or Path(exp.output_dir) / exp.exp_name / "vis_res",
        attention=partial(attention_maps, detector.model) if args.save_attention else None,
        export=args.save_detections,
        labels=args.save_labels,
        show=args.show,
    )
    if args.demo == "image":
        summary = annotate_images(predictor, Path(args.path), outputs, args.range)
    else:
        summary = annotate_video(predictor, args.path if args.demo == "video" else args.camid, outputs)
    return report(summary)


def report(summary: Summary) -> int:
    """Prints what was done, last the files, and returns the exit status."""
    for line in (*summary.notes, *summary.failures):
        print(line, file=sys.stderr)
    if summary.frames:
        print(
            f"{summary.objects} objects on {summary.frames} frames, {summary.frames / summary.seconds:.1f} frames/s, "
            f"{1000 * summary.seconds / summary.frames:.1f} ms per frame, "
            f"{1000 * summary.detection_seconds / summary.frames:.1f} ms from image to boxes"
        )
    for what, path in summary.files.items():
        print(f"{what}: {path}")
    if summary.signal_number is not None:
        print("ended early; what was done is kept", file=sys.stderr)
        return 128 + summary.signal_number
    if summary.failures:
        return 1
    return STREAM_ENDED if summary.stream_ended else 0
