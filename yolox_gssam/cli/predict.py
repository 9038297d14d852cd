"""Detects objects on images, videos, a camera or a stream, and writes annotated pictures or videos.

exit status:
  0  all was done: the file was read to its end, or Esc or q closed the window
  1  wrong input; or an image among others could not be read
  2  wrong options
  3  the camera or the stream ended by itself; what had come by then is kept
  128 + N  signal N ended it (130 Ctrl-C, 143 kill); what was done is kept
"""

import argparse
import sys
from pathlib import Path

import cv2

from yolox_gssam.cli.host_flags import DEMO_FLAGS
from yolox_gssam.cli.parser import TILES_HELP, HelpFormatter, Parser, add_network, count, share
from yolox_gssam.common.bit_depth import add_range_option
from yolox_gssam.common.errors import UserError
from yolox_gssam.detector import DEFAULT, Detector, load_network
from yolox_gssam.inference.annotate import Outputs, Summary, annotate_images, annotate_video
from yolox_gssam.inference.backends import BACKENDS
from yolox_gssam.inference.backends.base import thread_count
from yolox_gssam.inference.label_files import CONVENTIONS
from yolox_gssam.inference.source_kind import Kind, check_source, recognize
from yolox_gssam.inference.window import check_display

STREAM_ENDED = 3
"""The exit status that tells a script to start again."""
_EXAMPLES = """
  %(prog)s clip.mp4                                 # with the network that comes along
  %(prog)s photos/ -c infrared
  %(prog)s rtsp://camera.local/stream --save-detections csv
  %(prog)s 0 --show                                 # camera number 0
  %(prog)s clip.mp4 -c best_ckpt.pth --save-attention
  %(prog)s clip.mp4 -c detector.onnx --backend openvino
"""
_DEMO_EXAMPLES = """
  python tools/demo.py video --path clip.mp4                       # with the network that comes along
  python tools/demo.py image --path photos/ -c best_ckpt.pth
  python tools/demo.py video --path clip.mp4 -c best_ckpt.pth --save-attention --save-detections csv
  python tools/demo.py video --path rtsp://camera.local/stream -c best_ckpt.pth
  python tools/demo.py video --path clip.mp4 -c detector.xml       # exported by tools/export.py: faster on a CPU
  python tools/demo.py webcam --camid 0 -c best_ckpt.pth --show
"""


def make_parser() -> argparse.ArgumentParser:
    parser = _parser(_EXAMPLES)
    parser.add_argument(
        "source", metavar="SOURCE", help="image, folder of images, video, URL of a stream, or number of a camera"
    )
    _add_options(parser)
    return parser


def make_demo_parser() -> argparse.ArgumentParser:
    """The options of tools/demo.py; those that YOLOX's demo has too mean the same here."""
    parser = _parser(_DEMO_EXAMPLES)
    parser.add_argument("demo", choices=tuple(kind.value for kind in Kind), help="what to look at")
    source = parser.add_argument_group("source")
    source.add_argument(
        "--path", metavar="PATH", help="image or folder (image); video file or stream URL (video); none for webcam"
    )
    source.add_argument("--camid", type=int, default=0, metavar="N", help="number of the camera (webcam)")
    _add_options(parser)
    return parser


def _parser(examples: str) -> Parser:
    what, exit_status = str(__doc__).split("\n\n", 1)
    description = f"{what}\n\nexamples:{examples}\n{exit_status}"
    return Parser(host_flags=DEMO_FLAGS, description=description, formatter_class=HelpFormatter)


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_range_option(parser)
    model = parser.add_argument_group("model")
    model.add_argument("-f", "--exp_file", metavar="EXP", help="experiment; by default what the checkpoint says")
    add_network(model, DEFAULT)
    model.add_argument("--opts", nargs="+", default=[], metavar="FIELD VALUE", help="fields of the experiment to set")
    model.add_argument("--conf", type=share, default=0.25, metavar="SCORE", help="least score of a detection, 0 to 1")
    model.add_argument("--nms", type=share, default=0.45, metavar="IOU", help="greatest IoU of two detections, 0 to 1")
    model.add_argument("--tsize", type=count, metavar="N", help="input size N x N pixels; by default the trained one")
    model.add_argument("--device", metavar="DEVICE", help="cpu, gpu, cuda:N or mps; by default the best there is")
    model.add_argument("--fp16", action="store_true", help="16 bit (float16; bfloat16 on the CPU)")
    model.add_argument(
        "--backend",
        choices=BACKENDS,
        help="what runs the network; by default onnxruntime for an .onnx, openvino for an .xml, torch for a checkpoint",
    )
    model.add_argument(
        "--square", action="store_true", help="pad images to the whole input, as eval does, not to multiples of 32"
    )
    model.add_argument("--tiles", default="off", metavar="auto|off|N", help=TILES_HELP)
    output = parser.add_argument_group("output")
    output.add_argument("--output", type=Path, metavar="DIR", help="by default vis_res in the experiment's folder")
    output.add_argument("--save-attention", action="store_true", help="also the attention maps as overlays")
    output.add_argument("--save-detections", choices=("json", "csv"), help="also the detections as a file")
    output.add_argument(
        "--save-labels",
        choices=tuple(CONVENTIONS),
        help=f"also labels, to correct and train on. {'; '.join(map(': '.join, CONVENTIONS.items()))}",
    )
    output.add_argument("--show", action="store_true", help="also in a window; Esc or q ends")


def main(args: argparse.Namespace) -> int:
    """`yolox-gssam predict`; returns the exit status, see above."""
    kind, place = recognize(args.source)
    return _run(args, kind, place)


def demo_main(args: argparse.Namespace) -> int:
    """tools/demo.py; returns the exit status, see above."""
    check_source(args.demo, args.path)
    kind = Kind(args.demo)
    return _run(args, kind, str(args.camid) if kind is Kind.CAMERA else args.path)


def _run(args: argparse.Namespace, kind: Kind, place: str) -> int:
    if args.show:
        check_display()
    options = [*args.opts] if args.tsize is None else [*args.opts, "test_size", f"({args.tsize}, {args.tsize})"]
    # Of a file, frames per second count; of what is seen now, how soon it is detected.
    streams = thread_count() if kind is not Kind.CAMERA and "://" not in place else 1
    network = load_network(args.ckpt, args.device, args.backend, args.fp16, streams, args.exp_file, options)
    if network.backend.streams > 1:
        cv2.setNumThreads(1)  # each of them has a core to itself; threads beside them would only push them off it
    attention = None
    if args.save_attention:
        if network.model is None:
            raise UserError(f"--save-attention needs a checkpoint: {args.ckpt} holds no attention maps")
        from yolox_gssam.inference.backends.pytorch import attention_of

        attention = attention_of(network.model)
    outputs = Outputs(
        folder=args.output or Path(network.exp["output_dir"], network.exp["exp_name"], "vis_res"),
        attention=attention,
        export=args.save_detections,
        labels=args.save_labels,
        show=args.show,
    )
    predictor = Detector(network, args.conf, args.nms, args.square, args.tiles).predictor
    if kind is Kind.IMAGES:
        return report(annotate_images(predictor, Path(place), outputs, args.range))
    return report(annotate_video(predictor, int(place) if kind is Kind.CAMERA else place, outputs))


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
