"""Recreates Tables 2 and 3: trains and tests networks with several seeds, times them in turn, and compares them.

  python tools/tables.py run --dataset datasets/svanstrom --seeds 0 1 2 --size nano --input 416 --epochs 60
  python tools/tables.py run --exps origin gssam_sig_res_p1 wide=origin,width=0.28125 --seeds 0 1
  python tools/tables.py report
  python tools/tables.py cells --dataset datasets/infrared -c yolox_nano.pth --input 256,320 --epochs 6 --jobs 2
  python tools/tables.py report --cells runs/cells --dataset datasets/infrared    # or those of tools/gpu.py
  python tools/tables.py maps                # of the attention: flat or saturated, and what gradient reaches it

`run` trains on the data set's own splits; `cells` cross-validates: each network on each fold of a data set made with
--folds. Both may be stopped and started again: what is finished is kept, the rest goes on where it was saved. What is
finished is a file per training, ROW_seedN.npz, which holds all that a report needs: to keep, to commit.
"""

import argparse
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path

import torch

from yolox_gssam.cli.parser import HelpFormatter, add_fields, count, positive
from yolox_gssam.common.device import choose_device
from yolox_gssam.common.errors import UserError
from yolox_gssam.common.files import sole_writer, write_json, write_text
from yolox_gssam.common.log import setup_log
from yolox_gssam.experiment import load_exp
from yolox_gssam.research.benchmark.latency import LatencySettings, measure_latency
from yolox_gssam.research.benchmark.measured_frames import load_frames
from yolox_gssam.research.benchmark.variants import VariantSpec
from yolox_gssam.research.gpu.sharing import shared_device
from yolox_gssam.research.tables.cells import STUDY, Cell, Study, plan_cells, tasks_of
from yolox_gssam.research.tables.maps import map_states, map_table
from yolox_gssam.research.tables.measures import load_folds, read_cells, splits_of
from yolox_gssam.research.tables.plan import EXP_NAMES, SIZES, fields_of, read_rows
from yolox_gssam.research.tables.pool import Pool
from yolox_gssam.research.tables.table_report import build_report, read_times

TIMED_FRAMES = 50
DRAWS = 500


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True, metavar="run|cells|report|maps")
    run = commands.add_parser("run", help="train, test and time", formatter_class=HelpFormatter)
    _add_training(run, "datasets/svanstrom", "runs/tables")
    run.add_argument(
        "--iterations", type=int, default=1000, metavar="N", help="inferences of each network that are timed; 0: none"
    )
    cells = commands.add_parser("cells", help="cross-validate on folds", formatter_class=HelpFormatter)
    _add_training(cells, "datasets/infrared", "runs/cells")
    cells.add_argument("--keep-weights", nargs="+", default=[], metavar="ROW", help="keep these rows' networks, 16 bit")
    cells.add_argument(
        "--task", type=_share_of, default=(0, 1), metavar="K/N", help="run every N-th cell from the K-th on, from 0"
    )
    for command in (run, cells):
        add_fields(command, "further fields of all networks")
    report = commands.add_parser("report", help="tables and plots of what is done", formatter_class=HelpFormatter)
    report.add_argument(
        "--cells", type=Path, nargs="+", metavar="PATH", help="folders or archives of any machines (default: DIR)"
    )
    report.add_argument("--dataset", type=Path, metavar="DIR", help="what they were trained on, if it has moved")
    report.add_argument("--first", metavar="ROW", help="what the others are compared with; origin by default")
    report.add_argument("--draws", type=count, default=DRAWS, metavar="N", help="of clips, for the intervals")
    maps = commands.add_parser("maps", help="how far the attention's maps vary", formatter_class=HelpFormatter)
    maps.add_argument("-b", "--batch-size", type=count, default=16, metavar="N", help="training images per batch")
    maps.add_argument("--batches", type=count, default=4, metavar="N", help="how many batches")
    for command in (report, maps):
        command.add_argument("--output-dir", type=Path, default=Path("runs/tables"), metavar="DIR", help="of the runs")
    return parser


def _add_training(command: argparse.ArgumentParser, dataset: str, output: str) -> None:
    """What `run` and `cells` have in common."""
    command.add_argument("--dataset", default=dataset, metavar="DIR", help="data set with train, val and test")
    command.add_argument(
        "--exps",
        nargs="+",
        default=list(EXP_NAMES),
        metavar="[NAME=]EXP[,FIELD=VALUE ...]",
        help="networks; the first is compared with; EXP is an exp file, or the name of one in exps/",
    )
    command.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="N", help="runs of each network")
    command.add_argument("--size", choices=tuple(SIZES), default="s", help="depth and width of all networks")
    command.add_argument("--input", default="640", metavar="N|H,W", help="input size in pixels")
    command.add_argument("--epochs", type=count, default=100, metavar="N", help="of each run")
    command.add_argument("-b", "--batch-size", type=count, default=16, metavar="N", help="images per step")
    command.add_argument("-c", "--ckpt", type=Path, metavar="FILE", help="weights that all start from, such as COCO's")
    command.add_argument("--jobs", type=count, default=1, metavar="K", help="runs at once, which share the device")
    command.add_argument("--device", metavar="NAME", help="cpu, cuda, cuda:N or mps; by default the best there is")
    command.add_argument("--cache", choices=("ram", "gpu"), help="as in tools/train.py")
    command.add_argument("--cuda-graph", action="store_true", help="as in tools/train.py")
    command.add_argument("--fp16", action="store_true", help="as in tools/train.py")
    command.add_argument("--bf16", action="store_true", help="as in tools/train.py")
    command.add_argument("--clip-grad-norm", type=positive, metavar="X", help="as in tools/train.py")
    command.add_argument("--output-dir", type=Path, default=Path(output), metavar="DIR", help="of the runs")


def _share_of(text: str) -> tuple[int, int]:
    """K/N, as a `type` for argparse."""
    number, _, total = text.partition("/")
    share = int(number), int(total)
    if not 0 <= share[0] < share[1]:
        raise argparse.ArgumentTypeError(f"must be K/N with K from 0 to N - 1, not {text}")
    return share


def main(args: argparse.Namespace) -> None:
    setup_log()
    RUN[args.command](args)


def run(args: argparse.Namespace) -> None:
    """Trains every network with every seed, then times all networks in turn."""
    fields = fields_of(args.dataset, args.size, args.input, args.epochs, args.opts)
    rows = read_rows(args.exps, fields)
    study = _study(args, rows, fields, keep_weights=[row.name for row in rows])
    exp = load_exp(rows[0].exp_file, rows[0].options)
    for name in ("train", "val", "test"):
        exp.load_split(name)
    with sole_writer(args.output_dir):
        study = study.keep(args.output_dir)
        _train(args, study, plan_cells(list(study.exps), None, args.seeds))
        if args.iterations > 0:
            _time_networks(args, rows)
        report(argparse.Namespace(cells=None, dataset=None, first=None, draws=DRAWS, output_dir=args.output_dir))


def cells(args: argparse.Namespace) -> None:
    """Trains and tests every network on every fold with every seed."""
    more = ["eval_interval", str(args.epochs), *args.opts]
    fields = fields_of(args.dataset, args.size, args.input, args.epochs, more)
    rows = read_rows(args.exps, fields)
    number, total = args.task
    chosen = plan_cells([row.name for row in rows], len(load_folds(Path(args.dataset))), args.seeds)[number::total]
    study = _study(args, rows, fields, args.keep_weights).keep(args.output_dir)
    _train(args, study, chosen)
    print(f"{len(chosen)} cells there: {args.output_dir}")


def _study(
    args: argparse.Namespace, rows: Sequence[VariantSpec], fields: Sequence[str], keep_weights: Sequence[str]
) -> Study:
    if args.ckpt is not None and not args.ckpt.is_file():
        raise UserError(f"{args.ckpt}: no such checkpoint to start from")
    return Study(
        exps={row.name: row.exp_file for row in rows},
        row_fields={row.name: row.options[len(fields) :] for row in rows},
        fields=fields,
        batch_size=args.batch_size,
        checkpoint=None if args.ckpt is None else str(args.ckpt),
        flags={name: getattr(args, name) for name in ("cache", "fp16", "bf16", "clip_grad_norm", "cuda_graph")},
        keep_weights=keep_weights,
    )


def _train(args: argparse.Namespace, study: Study, chosen: Sequence[Cell]) -> None:
    device = choose_device(args.device)
    pool = Pool(args.output_dir, str(device), args.jobs)
    with shared_device() if device.type == "cuda" and args.jobs > 1 else nullcontext():
        pool.run(tasks_of(study, args.output_dir, chosen))
    pool.require_no_faults()


def _time_networks(args: argparse.Namespace, rows: Sequence[VariantSpec]) -> None:
    """Times the runs of the first seed in turn and writes `latency.json`."""
    seed, folder = min(args.seeds), args.output_dir
    variants = [replace(row, settings={"ckpt": str(Cell(seed, None, row.name).network(folder))}) for row in rows]
    images, frames = load_frames(Path(load_exp(rows[0].exp_file, rows[0].options).data_dir), TIMED_FRAMES)
    settings = LatencySettings(args.iterations, 20, 1, score_threshold=0.25, nms_threshold=0.45, seed=0)
    timed = measure_latency(variants, images, frames, settings, torch.device(choose_device(args.device)))
    print(timed.table())
    timed.write(args.output_dir)


def report(args: argparse.Namespace) -> None:
    folder = args.output_dir
    found = read_cells(args.cells or [folder])
    is_own = args.cells is None and (folder / STUDY).exists()
    order = list(Study.read(folder / STUDY).exps if is_own else EXP_NAMES)
    order = list(dict.fromkeys((args.first or order[0], *order)))
    times = read_times(folder) if args.cells is None else {}
    splits, validation = (splits_of(found, args.dataset, part) for part in ("test", "val"))
    made = build_report(found, splits, validation, order, args.draws, times)
    print(made.markdown(), flush=True)
    print("written: " + ", ".join(map(str, made.write(folder))))


def maps(args: argparse.Namespace) -> None:
    states = map_states(Study.read(args.output_dir / STUDY), args.output_dir, args.batches, args.batch_size)
    if not states:
        raise UserError(f"{args.output_dir}: none of its networks has an attention with a map")
    print(map_table(states), flush=True)
    write_text(args.output_dir / "maps.md", map_table(states) + "\n")
    write_json(args.output_dir / "maps.json", [asdict(state) for state in states])


RUN = {"run": run, "cells": cells, "report": report, "maps": maps}
