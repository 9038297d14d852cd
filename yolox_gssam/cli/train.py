"""Trains an experiment: python tools/train.py -f exps/gssam_sig_res_p1.py"""

import argparse
from contextlib import nullcontext

from yolox_gssam.cli.host_flags import TRAIN_FLAGS
from yolox_gssam.cli.parser import Parser, add_fields, count, positive
from yolox_gssam.common.files import sole_writer
from yolox_gssam.engine.launch import check_batch_size, launch
from yolox_gssam.engine.run import SAVE_EVERY_MINUTES
from yolox_gssam.experiment import load_exp


def make_parser() -> argparse.ArgumentParser:
    parser = Parser(host_flags=TRAIN_FLAGS, description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("-f", "--exp_file", required=True, metavar="EXP", help="exp file, one of exps/ or your own")
    parser.add_argument(
        "-expn", "--experiment-name", metavar="NAME", help="name of the output folder; the exp's by default"
    )
    parser.add_argument(
        "-b", "--batch-size", type=count, default=16, metavar="N", help="images per step, over all processes"
    )
    parser.add_argument(
        "-d", "--devices", type=count, default=1, metavar="N", help="processes on this machine, one per GPU"
    )
    parser.add_argument("--device", metavar="NAME", help="cpu, cuda, cuda:N or mps; by default the best there is")
    parser.add_argument(
        "--fp16", action="store_true", help="mixed precision: float16 on CUDA and MPS, bfloat16 on the CPU"
    )
    parser.add_argument("--bf16", action="store_true", help="mixed precision in bfloat16, on any device that has it")
    parser.add_argument(
        "--cache",
        nargs="?",
        const="ram",
        metavar="ram|gpu",
        help="keep the decoded images in main memory (ram, also where nothing is said), or on the device and make the "
        "batches there, too (gpu)",
    )
    parser.add_argument(
        "--cuda-graph", action="store_true", help="record each step on CUDA and replay it: faster for small networks"
    )
    parser.add_argument(
        "--seed", type=int, metavar="N", help="seed of weights, order and augmentation; the exp's by default"
    )
    parser.add_argument(
        "--clip-grad-norm", type=positive, metavar="X", help="scale the gradient down to this norm where it is longer"
    )
    parser.add_argument(
        "--save-every-minutes",
        type=positive,
        default=SAVE_EVERY_MINUTES,
        metavar="MIN",
        help="save within an epoch, too, once so much time has passed",
    )
    _add_start(parser)
    add_fields(parser, "fields of the exp, such as: max_epoch 30 width 0.25")
    return parser


def _add_start(parser: argparse.ArgumentParser) -> None:
    start = parser.add_argument_group("where to start")
    start.add_argument(
        "-c", "--ckpt", metavar="FILE", help="start from these weights; with --resume, the run to go on with"
    )
    start.add_argument("--resume", action="store_true", help="go on with a run, by default from its latest checkpoint")
    start.add_argument(
        "--force",
        action="store_true",
        help="resume even where exp file, data or batch size are not the run's own; start from weights most of which "
        "do not fit",
    )
    start.add_argument(
        "-e", "--start_epoch", type=int, metavar="N", help="resume at this epoch instead of where the run was"
    )


def train(args: argparse.Namespace) -> None:
    if args.cache not in (None, "ram", "gpu"):  # a plain --cache takes the first field's name for its value
        args.cache, args.opts = "ram", [args.cache, *args.opts]
    exp = load_exp(args.exp_file, args.opts)
    if args.seed is not None:
        exp.seed = args.seed
    trainer = exp.get_trainer(args)
    with sole_writer(trainer.output_dir) if trainer.rank == 0 else nullcontext():
        trainer.train()


def main(args: argparse.Namespace) -> None:
    check_batch_size(args.batch_size, args.devices)
    launch(train, args, args.devices)
