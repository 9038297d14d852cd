"""Measures a trained detector: python tools/eval.py -f exps/gssam_sig_res_p1.py -c runs/gssam_sig_res_p1/best_ckpt.pth
Or anyone's detections, without a network: python tools/eval.py --detections found.json data_dir datasets/mine
Or the alarms of `watch` on whole films:   python tools/eval.py --clips films -c visible

Prints average precision by size and class, a confusion matrix, the recall at few false alarms, the same by centre,
precision, recall and F1, and the time per image. Writes them as JSON, precision-recall curves and the confusion matrix
as PNG, and the detections in COCO's format. docs/evaluate.md says what each number means.
"""

import argparse
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from loguru import logger

from yolox_gssam.cli.eval_clips import add_clip_options, measure_clips
from yolox_gssam.cli.host_flags import EVAL_FLAGS
from yolox_gssam.cli.parser import (
    TILES_HELP,
    HelpFormatter,
    Parser,
    add_fields,
    count,
    positive_share,
    refuse_options,
    share,
)
from yolox_gssam.common.device import choose_device, describe_device
from yolox_gssam.common.errors import UserError
from yolox_gssam.common.files import write_json
from yolox_gssam.common.log import setup_log
from yolox_gssam.common.shipped import NETWORKS, find_network
from yolox_gssam.data.coco_reader import CocoSplit, read_image
from yolox_gssam.detections import Detections
from yolox_gssam.evaluation.bootstrap import ap_interval
from yolox_gssam.evaluation.classes import check_classes, common_classes, keep_classes, keep_detections
from yolox_gssam.evaluation.coco_metrics import coco_results, evaluate_coco, percent
from yolox_gssam.evaluation.confusion import confusion_matrix
from yolox_gssam.evaluation.f1_interval import f1_points, table_lines
from yolox_gssam.evaluation.operating import recall_at_false_alarms, score_by_centre, split_by_sensor
from yolox_gssam.evaluation.plots import plot_confusion, plot_precision_recall
from yolox_gssam.evaluation.prediction import predict_split
from yolox_gssam.evaluation.provenance import Provenance, find_provenance
from yolox_gssam.evaluation.report import EvalReport
from yolox_gssam.evaluation.results_file import read_results
from yolox_gssam.evaluation.timing import InferenceTime, time_inference
from yolox_gssam.experiment.drone_exp import DroneExp
from yolox_gssam.experiment.field_checks import EVAL_LOADERS, overridden
from yolox_gssam.experiment.loading import load_detector, load_exp
from yolox_gssam.inference.backends import BACKENDS
from yolox_gssam.inference.predictor import Predictor

TIMED_IMAGES = 50
"""Images in memory that the timing goes round, spread over the split."""
NETWORK_OPTIONS = (
    "device",
    "fp16",
    "backend",
    "tight",
    "batch_size",
    "conf",
    "nms",
    "tsize",
    "tiles",
    "common_classes",
)
"""Options that say how the network runs, by their names in the parsed arguments."""


@dataclass(frozen=True)
class Measured:
    """What is scored: detections of a network or of a file.

    Attributes:
        settings: what they were found with, for the report.
        timing: of the network; None where none was timed.
        folder: where the numbers are written by default.
        validation: the split of --f1-from and what was found there; None: not asked for.
    """

    split: CocoSplit
    detections: Mapping[int, Detections]
    settings: Mapping[str, Any]
    timing: InferenceTime | None
    provenance: Provenance
    folder: Path
    validation: tuple[CocoSplit, Mapping[int, Detections]] | None = None


def make_parser() -> argparse.ArgumentParser:
    """The options; those that YOLOX's eval has too mean the same here."""
    parser = Parser(host_flags=EVAL_FLAGS, description=__doc__, formatter_class=HelpFormatter)
    model = parser.add_argument_group("model")
    model.add_argument("-f", "--exp_file", metavar="EXP", help="exp file; by default the checkpoint's, or a plain one")
    source = model.add_mutually_exclusive_group(required=True)
    known = f"checkpoint of tools/train.py, file of tools/export.py, or {' or '.join(NETWORKS)}"
    source.add_argument("-c", "--ckpt", metavar="FILE", help=known)
    source.add_argument(
        "--detections",
        type=Path,
        metavar="FILE",
        help="score these instead, in COCO's results format: a list of {image_id, category_id, bbox, score}",
    )
    model.add_argument("--device", metavar="NAME", help="cpu, cuda, cuda:N or mps; by default the best there is")
    model.add_argument("--fp16", action="store_true", help="16 bit: float16 on CUDA and MPS, bfloat16 on the CPU")
    model.add_argument(
        "--backend",
        choices=BACKENDS,
        help="what runs the network; by default torch, or what the suffix of an exported file says",
    )
    model.add_argument(
        "--tight", action="store_true", help="pad images to multiples of 32 only, as the demo does: faster"
    )
    model.add_argument("-b", "--batch-size", type=count, default=8, metavar="N", help="images a forward pass")
    model.add_argument("--conf", type=share, metavar="SCORE", help="least score of a detection; the exp's by default")
    model.add_argument("--nms", type=share, metavar="IOU", help="greatest IoU of two detections; the exp's by default")
    alone = "each anchor by itself, as in YOLOX's own evaluator; else those on one object vote on its box and class"
    model.add_argument("--no-votes", action="store_true", help=alone)
    model.add_argument("--tsize", type=count, metavar="N", help="input size N x N pixels; by default the trained one")
    model.add_argument(
        "--tiles", metavar="auto|off|N", help=f"{TILES_HELP}; by default off, with --clips auto as in watch"
    )
    add_measures(parser.add_argument_group("what is measured"))
    add_clip_options(parser.add_argument_group("alarms on whole films"))
    folder = (
        "by default the checkpoint's folder; for --detections FILE.json the folder FILE_eval beside it; for --clips "
        "runs/clips"
    )
    parser.add_argument("--output-dir", type=Path, metavar="DIR", help=folder)
    add_fields(parser, "fields of the exp, such as: data_dir datasets/mine")
    return parser


def add_measures(measures: argparse._ArgumentGroup) -> None:
    measures.add_argument("--split", choices=("test", "val", "train"), default="test", help="split of the data set")
    measures.add_argument(
        "--class", dest="class_name", metavar="NAME", help="class that raises alarms; by default drone, or else each"
    )
    measures.add_argument(
        "--common-classes",
        action="store_true",
        help="data with other classes than the network's: measure those of the same name; other objects are background",
    )
    measures.add_argument(
        "--confusion-score", type=share, default=0.3, metavar="SCORE", help="least score in the confusion matrix"
    )
    measures.add_argument(
        "--match-iou",
        type=positive_share,
        default=0.5,
        metavar="IOU",
        help="least IoU of detection and object, for the confusion matrix and the false alarms",
    )
    measures.add_argument(
        "--f1-score",
        type=share,
        metavar="SCORE",
        help="least score for precision, recall and F1; by default that of the best F1 on these images",
    )
    measures.add_argument(
        "--f1-from",
        choices=("val", "train"),
        help="also precision, recall and F1 at the score that is best on this split, with intervals over images; with"
        " --detections give that split's by --f1-detections",
    )
    measures.add_argument("--f1-detections", type=Path, metavar="FILE", help="detections of the split of --f1-from")
    measures.add_argument(
        "--iterations", type=int, default=1000, metavar="N", help="inferences that are timed; 0: no timing"
    )
    measures.add_argument(
        "--draws", type=int, default=500, metavar="N", help="draws of whole clips for the interval of AP; 0: none"
    )


def main(args: argparse.Namespace) -> None:
    setup_log()
    if args.clips is not None:
        measure_clips(args, make_parser())
        return
    if (args.f1_detections is not None) != (args.detections is not None and args.f1_from is not None):
        raise UserError("--f1-detections goes with --detections and --f1-from, and is needed there")
    if args.f1_from is not None and args.common_classes:
        raise UserError("--f1-from measures the network's own classes: leave out --common-classes")
    measured = run_network(args) if args.detections is None else read_detections(args)
    split, detections = measured.split, measured.detections
    alarm_classes = choose_alarm_classes(split, args.class_name)
    report = EvalReport(
        split=args.split,
        images=len(split.images),
        settings=measured.settings,
        coco=evaluate_coco(split, detections),
        interval=ap_interval(split, detections, args.draws),
        confusion=confusion_matrix(split, detections, args.confusion_score, args.match_iou),
        false_alarms=[
            point
            for name in alarm_classes
            for point in recall_at_false_alarms(split, detections, name, rule=args.match_iou)
        ],
        timing=measured.timing,
        provenance=measured.provenance,
        centre=score_by_centre(split, detections, alarm_classes, args.f1_score),
        sensors={
            sensor: score_by_centre(own, detections, alarm_classes, args.f1_score)
            for sensor, own in split_by_sensor(split).items()
        },
    )
    print(report.table(), flush=True)
    points = {}
    if measured.validation is not None:
        points = {name: f1_points(split, detections, measured.validation, name, args.draws) for name in alarm_classes}
        print(*table_lines(points, args.f1_from), sep="\n", flush=True)
    folder = args.output_dir or measured.folder
    write_outputs(folder, report, measured)
    if points:
        path = folder / f"f1_{args.split}.json"
        write_json(path, {name: [asdict(point) for point in pair] for name, pair in points.items()})
        print(f"F1: {path}")


def run_network(args: argparse.Namespace) -> Measured:
    """The detections of the trained network, and its time."""
    options = [*args.opts] if args.tsize is None else [*args.opts, "test_size", f"({args.tsize}, {args.tsize})"]
    device = choose_device(args.device)
    exp, network = load_detector(args.exp_file, args.ckpt, options, device, args.backend, args.fp16)
    for name in overridden(exp, DroneExp, EVAL_LOADERS):
        logger.warning(f"{args.exp_file}: {name} is not called here; measured are the images of {exp.data_dir}")
    if args.tight and not network.dynamic_size:
        raise UserError(f"{args.ckpt}: takes inputs of one size only; leave out --tight or export with --dynamic-size")
    split = exp.load_split(args.split)
    if args.common_classes:
        split = keep_classes(split, common_classes(split, exp.class_names))
    else:
        check_classes(split, exp.class_names, args.ckpt)
    choose_alarm_classes(split, args.class_name)  # a wrong class ends the run before the network has worked
    conf, nms = exp.test_conf if args.conf is None else args.conf, exp.nmsthre if args.nms is None else args.nms
    predictor = network.predictor(conf, nms, votes=not args.no_votes, tight=args.tight, tiles=args.tiles or "off")
    detections = predict_split(predictor, split, args.batch_size, exp.data_num_workers)
    if args.common_classes:
        detections = keep_detections(detections, exp.class_names, split.classes)
    settings = {
        "experiment": exp.exp_name,
        "input_height": exp.test_size[0],
        "input_width": exp.test_size[1],
        "score_threshold": conf,
        "nms_threshold": nms,
        "votes": "no" if args.no_votes else "yes",
        "precision": network.precision,
        "backend": network.backend.description,
        "padding": "tight" if args.tight else "square",
        "tiles": args.tiles or "off",
        "classes": ", ".join(split.classes),
    }
    validation = None
    if args.f1_from is not None:
        chosen = exp.load_split(args.f1_from)
        validation = chosen, predict_split(predictor, chosen, args.batch_size, exp.data_num_workers)
    timing = time_images(predictor, split, args.iterations)
    weights = find_network(args.ckpt)
    provenance = find_provenance(split, weights, describe_device(device))
    folder = Path("runs", args.ckpt) if args.ckpt in NETWORKS else weights.parent
    return Measured(split, detections, settings, timing, provenance, folder, validation)


def read_detections(args: argparse.Namespace) -> Measured:
    """The detections of the file, on a split of the data set that the exp, or else `data_dir`, names."""
    why = "says how a network runs, and with --detections none does: leave it out"
    refuse_options(args, make_parser(), NETWORK_OPTIONS, why)
    exp = DroneExp() if args.exp_file is None else load_exp(args.exp_file)
    exp.merge(args.opts)
    split = exp.load_split(args.split)
    detections = read_results(args.detections, split)
    settings = {"detections": str(args.detections), "classes": ", ".join(split.classes)}
    provenance = find_provenance(split, None, "no network", args.detections)
    # A folder of its own: beside the detections of a run lie the numbers of its network.
    folder = args.detections.with_name(f"{args.detections.stem}_eval")
    validation = None
    if args.f1_from is not None and args.f1_detections is not None:
        chosen = exp.load_split(args.f1_from)
        validation = chosen, read_results(args.f1_detections, chosen)
    return Measured(split, detections, settings, None, provenance, folder, validation)


def choose_alarm_classes(split: CocoSplit, wanted: str | None) -> tuple[str, ...]:
    """The class asked for; by default the drones, whatever the case, or every class where there are none."""
    if wanted is None:
        return tuple(name for name in split.classes if name.lower() == "drone") or split.classes
    if wanted not in split.classes:
        raise UserError(f"--class {wanted}: no such class in {split.path}; it has {', '.join(split.classes)}")
    return (wanted,)


def time_images(predictor: Predictor, split: CocoSplit, repeats: int) -> InferenceTime | None:
    """Times single images from all over the split; None for no repeats, and with tiles, whose number differs."""
    if repeats <= 0 or predictor.tiling is not None:
        return None
    step = -(-len(split.images) // TIMED_IMAGES)
    images = [read_image(split.image_path(image)) for image in split.images[::step]]
    return time_inference(predictor, images, repeats)


def write_outputs(folder: Path, report: EvalReport, measured: Measured) -> None:
    """Writes the files and prints the main numbers and where the files lie; given detections are not written again."""
    files = {
        "numbers": folder / f"eval_{report.split}.json",
        "curves": folder / f"precision_recall_{report.split}.png",
        "confusion": folder / f"confusion_{report.split}.png",
        "detections": folder / f"detections_{report.split}.json",
    }
    if (given := measured.provenance.detections) is None:
        write_json(files["detections"], coco_results(measured.split, measured.detections))
    else:
        files["detections"] = Path(given)
    plot_precision_recall(files["curves"], report.coco)
    plot_confusion(files["confusion"], report.confusion)
    write_json(files["numbers"], report.to_json())
    overall = report.coco.overall
    time = "" if report.timing is None else f", {report.timing.steps['total'].mean:.1f} ms per image"
    accuracy = f"mAP50:95 {percent(overall.ap)} %, AP50 {percent(overall.ap50)} %"
    print(f"\n{accuracy}, AP by centre {percent(report.centre.ap)} %{time}")
    for name, path in files.items():
        print(f"{name}: {path}")
