"""Recreates Tables 2 and 3: trains and tests networks with several seeds, times them in turn, and compares them.

  python tools/tables.py run --dataset datasets/svanstrom --seeds 0 1 2 --size nano --input 416 --epochs 60
  python tools/tables.py run --exps origin gssam_sig_res_p1 wide=origin,width=0.28125 --seeds 0 1
  python tools/tables.py report
  python tools/tables.py report --cells runs/gpu/cells --dataset datasets/infrared    # of tools/gpu.py
  python tools/tables.py cells --dataset datasets/infrared -c yolox_nano.pth --input 256,320 --epochs 6 --jobs 2
  python tools/tables.py maps                # of the attention: flat or saturated, and what gradient reaches it
  python tools/tables.py archive --to results/mine    # what a report needs, without weights: to keep, to commit

`run` and `cells` may be stopped and started again: what is finished is kept, the rest goes on where it was saved.
`cells` cross-validates: each network on each fold of a data set made with --folds.
"""

import argparse
import csv
import io
from dataclasses import asdict, replace
from pathlib import Path

import torch

from yolox_gssam.cli.parser import HelpFormatter, count, positive
from yolox_gssam.common.device import choose_device
from yolox_gssam.common.errors import UserError
from yolox_gssam.common.files import sole_writer, write_json, write_text
from yolox_gssam.common.log import setup_log
from yolox_gssam.experiment import load_exp
from yolox_gssam.research.benchmark.frames import load_frames
from yolox_gssam.research.benchmark.latency import LatencySettings, measure_latency
from yolox_gssam.research.tables.archive import archive_runs
from yolox_gssam.research.tables.cell_pool import Batch, CellPool
from yolox_gssam.research.tables.cells import Study, plan_cells
from yolox_gssam.research.tables.cross_validation import build_cross_report, load_folds, read_cells
from yolox_gssam.research.tables.maps import map_states, map_table
from yolox_gssam.research.tables.plan import EXP_NAMES, SIZES, Plan, fields_of, read_plan
from yolox_gssam.research.tables.report import build_report
from yolox_gssam.research.tables.runs import Runner

TIMED_FRAMES = 50


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True, metavar="run|cells|report|maps|archive")
    run = commands.add_parser("run", help="train, test and time", formatter_class=HelpFormatter)
    cells = commands.add_parser("cells", help="cross-validate on folds", formatter_class=HelpFormatter)
    for command, dataset in ((run, "datasets/svanstrom"), (cells, "datasets/infrared")):
        _add_training(command, dataset)
    cells.add_argument("-c", "--ckpt", type=Path, metavar="FILE", help="weights that all start from, such as COCO's")
    cells.add_argument("--cuda-graph", action="store_true", help="as in tools/train.py")
    cells.add_argument(
        "--keep-weights", nargs="+", default=[], metavar="ROW", help="keep these rows' networks of seed 0, 16 bit"
    )
    cells.add_argument(
        "--task", type=_share_of, default=(0, 1), metavar="K/N", help="run every N-th cell from the K-th on, from 0"
    )
    cells.add_argument("opts", nargs=argparse.REMAINDER, metavar="FIELD VALUE", help="further fields of all networks")
    run.add_argument(
        "--start-from",
        default="",
        metavar="DIR",
        help="start from the best weights of the runs of the same name in DIR",
    )
    run.add_argument(
        "--iterations", type=int, default=1000, metavar="N", help="inferences of each network that are timed; 0: none"
    )
    run.add_argument("opts", nargs=argparse.REMAINDER, metavar="FIELD VALUE", help="further fields of all networks")
    report = commands.add_parser("report", help="tables and plots of what is done", formatter_class=HelpFormatter)
    report.add_argument(
        "--cells",
        type=Path,
        nargs="+",
        metavar="PATH",
        help="cells of a cross-validated table instead of runs: folders or archives of any machines",
    )
    report.add_argument("--dataset", type=Path, default=Path("datasets/infrared"), metavar="DIR", help="of the cells")
    report.add_argument("--first", default="origin", metavar="ROW", help="of the cells: what others are compared with")
    report.add_argument("--draws", type=count, default=500, metavar="N", help="of clips, for the intervals of cells")
    maps = commands.add_parser("maps", help="how far the attention's maps vary", formatter_class=HelpFormatter)
    maps.add_argument("-b", "--batch-size", type=count, default=16, metavar="N", help="training images a batch")
    maps.add_argument("--batches", type=count, default=4, metavar="N", help="how many batches")
    archive = commands.add_parser("archive", help="keep what a report needs", formatter_class=HelpFormatter)
    archive.add_argument("--to", type=Path, required=True, metavar="DIR", help="folder that report can be given, too")
    for command in (run, report, maps, archive):
        command.add_argument("--output-dir", type=Path, default=Path("runs/tables"), metavar="DIR", help="of the runs")
    cells.add_argument("--output-dir", type=Path, default=Path("runs/cells"), metavar="DIR", help="of the cells")
    return parser


def _add_training(command: argparse.ArgumentParser, dataset: str) -> None:
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
    command.add_argument(
        "--jobs", type=count, default=1, metavar="K", help="runs at once; on a CPU they share the cores"
    )
    command.add_argument("--device", metavar="NAME", help="cpu, cuda, cuda:N or mps; by default the best there is")
    command.add_argument("--cache", choices=("ram", "gpu"), help="as in tools/train.py")
    command.add_argument("--fp16", action="store_true", help="as in tools/train.py")
    command.add_argument("--bf16", action="store_true", help="as in tools/train.py")
    command.add_argument("--clip-grad-norm", type=positive, metavar="X", help="as in tools/train.py")


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
    """Carries the plan out, then times all networks in turn."""
    flags = ["-b", str(args.batch_size)]
    for name in ("device", "cache", "clip_grad_norm"):
        value = getattr(args, name)
        flags += [f"--{name.replace('_', '-')}", str(value)] if value else []
    flags += [f"--{name}" for name in ("fp16", "bf16") if getattr(args, name)]
    fields = fields_of(args.dataset, args.size, args.input, args.epochs, args.opts)
    plan = Plan(tuple(args.exps), tuple(args.seeds), fields, tuple(flags), args.start_from)
    for job in plan.jobs(args.output_dir):
        if job.start is not None and not job.result.exists() and not job.start.exists():
            raise UserError(f"{job.start}: {job.name} would start from it; train it there first, with tables.py run")
    exp = load_exp(plan.sides()[0].exp_file, fields)
    for part in ("train", "val", "test"):
        exp.load_split(part)
    device = choose_device(args.device)
    with sole_writer(args.output_dir):
        plan.keep(args.output_dir)
        plan = read_plan(args.output_dir)
        jobs = plan.jobs(args.output_dir)
        Runner(args.jobs, args.device).run(jobs, args.epochs)
        if args.iterations > 0:
            time_networks(plan, args.output_dir, args.iterations, device)
        report(args)


def cells(args: argparse.Namespace) -> None:
    """Trains and tests every network on every fold with every seed."""
    common = fields_of(
        args.dataset, args.size, args.input, args.epochs, ["eval_interval", str(args.epochs), *args.opts]
    )
    sides = Plan(tuple(args.exps), tuple(args.seeds), common, (), "").sides()
    flags = {name: getattr(args, name) for name in ("cache", "fp16", "bf16", "clip_grad_norm", "cuda_graph")}
    study = Study(
        exps={side.name: side.exp_file for side in sides},
        row_fields={side.name: side.options[len(common) :] for side in sides},
        fields=common,
        batch_size=args.batch_size,
        checkpoint=None if args.ckpt is None else str(args.ckpt),
        flags=flags,
        keep_weights=args.keep_weights,
    )
    number, total = args.task
    chosen = plan_cells([side.name for side in sides], len(load_folds(Path(args.dataset))), args.seeds)[number::total]
    pool = CellPool(args.output_dir, str(choose_device(args.device)), args.jobs)
    done = pool.run([Batch(study, args.output_dir, chosen)])
    if pool.faults:
        raise UserError(f"{len(pool.faults)} of {len(chosen)} cells failed: {'; '.join(pool.faults)}")
    print(f"{done} cells done, {len(chosen)} there: {args.output_dir}")


def time_networks(plan: Plan, folder: Path, iterations: int, device: torch.device) -> None:
    """Times the runs of the first seed in turn and writes `latency.json` and a chart."""
    sides = [
        replace(job.side, settings={"ckpt": str(job.checkpoint)})
        for job in plan.jobs(folder)
        if job.seed == min(plan.seeds)
    ]
    images, frames = load_frames(Path(load_exp(sides[0].exp_file, plan.fields).data_dir), TIMED_FRAMES)
    settings = LatencySettings(iterations, 20, 1, score_threshold=0.25, nms_threshold=0.45, seed=0)
    timed = measure_latency(sides, images, frames, settings, device)
    print(timed.table())
    timed.write(folder)


def report(args: argparse.Namespace) -> None:
    """Prints the tables and writes them."""
    if getattr(args, "cells", None):
        report_cells(args)
        return
    plan = read_plan(args.output_dir)
    exp = load_exp(plan.sides()[0].exp_file, plan.fields)
    found = build_report(args.output_dir, [side.name for side in plan.sides()], exp.load_split("test"))
    print(found.markdown(), flush=True)
    files = {name: args.output_dir / f"tables.{name}" for name in ("md", "csv", "png")}
    write_text(files["md"], found.markdown())
    rows = found.csv_rows()
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(files["csv"], text.getvalue())
    found.plot(files["png"])
    print("written: " + ", ".join(map(str, files.values())))


def report_cells(args: argparse.Namespace) -> None:
    """Prints the cross-validated table of cells and writes it."""
    order = (args.first, *(row for row in EXP_NAMES if row != args.first))
    found = build_cross_report(read_cells(args.cells), load_folds(args.dataset), order, args.draws)
    print(found.markdown(), flush=True)
    write_text(args.output_dir / "cross_validation.md", found.markdown())
    write_json(args.output_dir / "cross_validation.json", found.to_json())
    print(f"written: {args.output_dir / 'cross_validation.md'}, {args.output_dir / 'cross_validation.json'}")


def maps(args: argparse.Namespace) -> None:
    """Prints the table of the maps and writes it."""
    plan = read_plan(args.output_dir)
    states = map_states(plan, args.output_dir, args.batches, args.batch_size)
    if not states:
        raise UserError(f"{args.output_dir}: none of its networks has an attention with a map")
    print(map_table(states), flush=True)
    write_text(args.output_dir / "maps.md", map_table(states) + "\n")
    write_json(args.output_dir / "maps.json", [asdict(state) for state in states])


def archive(args: argparse.Namespace) -> None:
    """Copies what `report` needs; the copy may be reported, and copied back and gone on with."""
    count = archive_runs(args.output_dir, args.to)
    print(f"{count} runs of {args.output_dir} kept in {args.to}")


RUN = {"run": run, "cells": cells, "report": report, "maps": maps, "archive": archive}
