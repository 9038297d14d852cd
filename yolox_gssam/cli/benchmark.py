"""Measures time and memory of variants in turn: networks and backends, training, attention, the global contrast.

A variant is [NAME=]EXP[,SETTING=VALUE ...]: EXP is an exp file, or "stock" for YOLOX itself; a setting is ckpt,
backend, fp16 or tight (train: cache, fp16 or bf16), or any field of the experiment. The first variant is what the
others are compared with.

examples:
  python tools/benchmark.py latency --variant stock --variant exps/origin.py --variant exps/gssam_sig_res_p1.py
  python tools/benchmark.py latency --variant exps/origin.py --variant fast=exps/origin.py,backend=openvino
  python tools/benchmark.py latency --variant a=exps/origin.py,ckpt=a.pth --variant int8=exps/origin.py,ckpt=a.xml
  python tools/benchmark.py train --variant exps/origin.py --variant cached=exps/origin.py,cache=True width 0.25
  python tools/benchmark.py attention --variant exps/cbam_p1.py --variant exps/gssam_sig_p1.py width 0.25
  python tools/benchmark.py contrast
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from yolox_gssam.cli.parser import HelpFormatter, add_command, add_fields, count, share
from yolox_gssam.common.device import choose_device
from yolox_gssam.common.log import setup_log
from yolox_gssam.research.benchmark import attention_cost, contrast_cost, latency, training_speed
from yolox_gssam.research.benchmark.cost_report import CostReport, CostSettings
from yolox_gssam.research.benchmark.measured_frames import load_frames
from yolox_gssam.research.benchmark.speed_report import SpeedReport
from yolox_gssam.research.benchmark.variants import parse_variants

FRAMES, FRAMES_QUICK = 50, 10
"""Held in memory; the latency goes round them."""
VARIANTS = {
    "latency": ["stock", "exps/origin.py", "exps/gssam_sig_res_p1.py"],
    "train": ["exps/origin.py", "exps/gssam_sig_res_p1.py"],
    "attention": [
        "gssam=exps/gssam_sig_res_p1.py",
        "conv=exps/conv_res_p1.py",
        "cbam=exps/cbam_p1.py",
        "bam=exps/bam_p1.py",
        "gam=exps/gam_p1.py",
        "ema_attention=exps/ema_p1.py",
        "coordinate=exps/coordinate_p1.py",
        "nonlocal=exps/nonlocal_p1.py",
        "se=exps/cbam_p1.py,attention=se",
    ],
}


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    commands = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    _add_latency(commands)
    _add_train(commands)
    _add_attention(commands)
    _add_contrast(commands)
    return parser


def main(args: argparse.Namespace) -> None:
    setup_log(quiet=True)
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    report: SpeedReport | CostReport = args.run(args)
    # Written first: the numbers outlive a pipe that is closed while the tables are printed.
    path = report.write(args.output_dir or Path("runs", "benchmark", args.what))
    print(f"{report.table()}\n\nnumbers: {path}")


def run_latency(args: argparse.Namespace) -> SpeedReport:
    iterations = args.iterations or (50 if args.quick else 1000)
    settings = latency.LatencySettings(
        inferences=iterations,
        warmup=min(iterations, 10 if args.quick else 50),
        batch_size=args.batch_size,
        score_threshold=args.conf,
        nms_threshold=args.nms,
        seed=args.seed,
    )
    variants = parse_variants(args.variant or VARIANTS["latency"], args.opts, latency.SETTINGS)
    images, frames = load_frames(args.data, FRAMES_QUICK if args.quick else FRAMES)
    return latency.measure_latency(variants, images, frames, settings, choose_device(args.device), args.quick)


def run_train(args: argparse.Namespace) -> SpeedReport:
    settings = training_speed.TrainingSettings(
        iterations=args.iterations or (2 if args.quick else 5),
        rounds=args.rounds or (2 if args.quick else 7),
        batch_size=args.batch_size,
        seed=args.seed,
        quick=args.quick,
    )
    variants = parse_variants(args.variant or VARIANTS["train"], args.opts, training_speed.SETTINGS)
    return training_speed.measure_training(variants, args.data, settings, choose_device(args.device))


def run_contrast(args: argparse.Namespace) -> CostReport:
    values = args.values or (contrast_cost.QUICK_VALUES if args.quick else contrast_cost.VALUES)
    samples = args.samples or (contrast_cost.QUICK_SAMPLES if args.quick else contrast_cost.SAMPLES)
    settings = CostSettings(args.rounds or (5 if args.quick else 21), 8, args.seed, args.quick)
    return contrast_cost.measure_contrast(cpu_and_device(args.device), values, samples, settings)


def run_attention(args: argparse.Namespace) -> CostReport:
    rounds, seconds = (3, 1) if args.quick else (21, 20)
    variants = parse_variants(args.variant or VARIANTS["attention"], args.opts, ())
    settings = CostSettings(args.rounds or rounds, seconds, args.seed, args.quick)
    return attention_cost.measure_attention(variants, cpu_and_device(args.device), settings)


def cpu_and_device(name: str | None) -> list[torch.device]:
    """The device of this name; without a name the CPU and, where there is one, the GPU."""
    device = choose_device(name)
    return [device] if name is not None or device.type == "cpu" else [torch.device("cpu"), device]


def _add_latency(commands: Any) -> None:
    parser = _add(commands, "latency", run_latency, "from an image in memory to its boxes, in all and by step")
    parser.add_argument(
        "--iterations", type=count, metavar="N", help="inferences of each variant; 1000, or 50 if quick"
    )
    parser.add_argument("-b", "--batch-size", type=count, default=1, metavar="N", help="images per inference")
    parser.add_argument(
        "--data", type=Path, metavar="PATH", help="data set, folder of images or video; datasets/svanstrom by default"
    )
    parser.add_argument("--conf", type=share, default=0.25, metavar="SCORE", help="least score of a detection")
    parser.add_argument("--nms", type=share, default=0.45, metavar="IOU", help="greatest IoU of two detections")
    _add_variants(parser, "latency")


def _add_train(commands: Any) -> None:
    parser = _add(commands, "train", run_train, "images per second of training, and where the time goes")
    parser.add_argument("--iterations", type=count, metavar="N", help="steps per turn; 5, or 2 if quick")
    parser.add_argument("--rounds", type=count, metavar="N", help="turns of each variant; 7, or 2 if quick")
    parser.add_argument("-b", "--batch-size", type=count, default=8, metavar="N", help="images per step")
    parser.add_argument("--data", type=Path, metavar="DIR", help="data set; datasets/svanstrom by default")
    _add_variants(parser, "train")


def _add_attention(commands: Any) -> None:
    summary = "size, time and memory of attention modules at the five stages of the backbone"
    parser = _add(commands, "attention", run_attention, summary)
    parser.add_argument("--rounds", type=count, metavar="N", help="most turns of each variant; 21, or 3 if quick")
    _add_variants(parser, "attention")


def _add_contrast(commands: Any) -> None:
    summary = "the global contrast against broadcasting and torch.cdist, as sizes grow"
    parser = _add(commands, "contrast", run_contrast, summary)
    parser.add_argument("--rounds", type=count, metavar="N", help="most turns of each variant; 21, or 5 if quick")
    parser.add_argument("--values", type=count, nargs="+", metavar="M", help="numbers of values, 400 to 409,600")
    parser.add_argument("--samples", type=count, nargs="+", metavar="N", help="numbers of samples, 1 to 1,600")


def _add(
    commands: Any, name: str, run: Callable[[argparse.Namespace], SpeedReport | CostReport], summary: str
) -> argparse.ArgumentParser:
    """A benchmark with the options that all of them have."""
    parser = add_command(commands, name, run, summary)
    parser.add_argument("--device", metavar="NAME", help="cpu, cuda, cuda:N or mps; by default the best there is")
    parser.add_argument("--threads", type=count, metavar="N", help="threads of torch; by default its own choice")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of weights and of the order of the variants")
    parser.add_argument("--quick", action="store_true", help="rough numbers in about a minute")
    parser.add_argument(
        "--output-dir", type=Path, metavar="DIR", help=f"where the files go; runs/benchmark/{name} by default"
    )
    return parser


def _add_variants(parser: argparse.ArgumentParser, name: str) -> None:
    parser.add_argument(
        "--variant",
        action="append",
        metavar="[NAME=]EXP[,SETTING=VALUE ...]",
        help=f"a variant, once for each; by default {', '.join(VARIANTS[name])}",
    )
    add_fields(parser, "fields of all variants, such as: width 0.25")
