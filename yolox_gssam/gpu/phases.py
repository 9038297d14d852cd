"""The phases of some minutes on a GPU, most valuable first."""

import json
import time
from argparse import Namespace
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from loguru import logger

from yolox_gssam.engine.log import setup_log
from yolox_gssam.gpu import checks, results, times, trial
from yolox_gssam.gpu.bundle import WEIGHTS
from yolox_gssam.tables.cell_pool import CellPool
from yolox_gssam.tables.cells import Study, plan_cells

EXPS = Path(__file__).parents[2] / "exps"
BATCH = 16
PAPER_SIZE = (640, 640)
NANO = ("depth", "0.33", "width", "0.25", "depthwise", "True")
RECIPE = (
    "mosaic_prob", "0", "enable_mixup", "False", "multiscale_range", "0", "hsv_gains", "0,0,30",
    "basic_lr_per_img", "0.0003", "ema_decay", "0.998", "ema_ramp", "200", "warmup_epochs", "1", "no_aug_epochs", "1",
    "data_num_workers", "4",
)  # fmt: skip
"""Whole grey images from COCO's weights."""
MOST_WORKERS = 4
UNRECORDED_WORKERS = 8
BACK_EVERY_SECONDS = 30.0


def run_phase(phase: str, args: Namespace, until: float) -> None:
    """One of "right" and "times", in this process."""
    setup_log()
    found = results.Results(args.output_dir, until)
    {"right": right, "times": measure_times}[phase](args, found, torch.device(args.device))


def right(args: Namespace, found: results.Results, device: torch.device) -> None:
    """Whether the device computes what float64 does, and what the exact contrast costs there."""
    checkpoint = str(args.bundle / WEIGHTS)
    is_cuda = device.type == "cuda"
    found.measure("right_module", device, lambda: checks.module_errors(device))
    found.measure("right_network", device, lambda: checks.network_errors(device, checkpoint))
    sizes = [(M, N) for M in (400, 6400, 102_400) for N in (25, 100, 400)] if is_cuda else [(400, 25), (6400, 100)]
    found.measure("contrast", device, lambda: checks.contrast_costs(device, sizes, 0.5))
    data = args.output_dir / "data" / json.loads((args.bundle / "manifest.json").read_bytes())["data"]
    for graph in (True, False) if is_cuda else (False,):
        name = f"right_resume{'_graph' if graph else ''}"
        found.measure(name, device, partial(checks.resumed_run, device, data, checkpoint, graph))


def measure_times(args: Namespace, found: results.Results, device: torch.device) -> None:
    """Times of YOLOX-s at 640 beside stock YOLOX, and images a second of training."""
    is_cuda = device.type == "cuda"
    fields: tuple[str, ...] = () if is_cuda else NANO
    size_hw = PAPER_SIZE if is_cuda else (128, 160)
    seconds = 15.0 if is_cuda else 4.0
    rows = [path.stem for path in sorted(EXPS.glob("*_p[12].py")) if path.stem.startswith(("gssam", "conv"))]
    models = times.networks(["origin", "stock", *(row for row in rows if row not in ("origin", "stock"))], fields)
    few = {row: models[row] for row in ("stock", "origin", "gssam_sig_res_p1")}
    for batch in (1, 16) if is_cuda else (1,):
        work = partial(times.inference_times, models, device, size_hw, batch, seconds)
        found.measure(f"times_batch{batch}", device, work)
    batch = BATCH if is_cuda else 2
    found.measure("training_rates", device, lambda: times.training_rates(few, device, size_hw, batch, seconds))
    sizes = ((256, 320), (512, 640)) if is_cuda else ((64, 64),)
    found.measure("training_variants", device, lambda: times.step_variants(device, sizes, batch, 1.0))
    if not is_cuda:
        logger.info("left out on a CPU: CUDA graphs, float16, torch.compile")
    elif found.seconds_left > 60:
        found.measure("times_compile", device, lambda: times.compiled_times(models, device, size_hw, 5.0))
    else:
        logger.warning("times_compile: left out, compiling takes a minute and less is left of this phase")


def run_cells(args: Namespace, checkpoint: str, pair: Sequence[str], rows: Sequence[str], deadline: float) -> None:
    """The pair that is decided first with all seeds, then the other rows with one, until the time is up."""
    device = torch.device(args.device)
    is_cuda = device.type == "cuda"
    size = args.size if is_cuda else "64,96"
    fields = ["data_dir", str(args.data), *NANO, "input_size", size, *RECIPE, "max_epoch", str(args.epochs),
              "eval_interval", str(args.epochs)]  # fmt: skip
    setup_log()
    workers, records = _choose_workers(args, device)
    flags = {"cache": "gpu", "cuda_graph": records, "bf16": args.bf16}
    study = Study({row: str(EXPS / f"{row}.py") for row in rows}, {}, fields, BATCH, checkpoint, flags, pair)
    folds = len(list((Path(args.data) / "annotations").glob("fold*")))
    cells = plan_cells(pair, folds, range(args.seeds))
    cells += plan_cells([row for row in rows if row not in pair], folds, [0])
    folder = args.output_dir / "cells"
    last_back = time.monotonic()

    def pack() -> None:
        nonlocal last_back
        if time.monotonic() - last_back > BACK_EVERY_SECONDS:
            bring_back(args)
            last_back = time.monotonic()

    start = time.monotonic()
    pool = CellPool(study, folder, args.device, workers, pack)
    done = pool.run(cells, deadline)
    seconds = time.monotonic() - start
    rate = pool.images * args.epochs / seconds
    results.write_json(
        args.output_dir / f"cells_{int(time.time())}.json",
        {
            "name": "cells",
            "done": done,
            "workers": workers,
            "seconds": seconds,
            "images_per_second": rate,
            "faults": pool.faults,
            "machine": results.machine(device),
        },
    )
    logger.info(f"{done} cells in {seconds:.0f} s by {workers} workers: {rate:.0f} training images a second in all")
    for fault in pool.faults:
        logger.error(fault)


def take_along(args: Namespace) -> None:
    """Unpacks what an earlier machine brought back, so that nothing is done twice."""
    count = results.take_back(_back(args), args.output_dir)
    if count:
        logger.info(f"{count} results from before")


def bring_back(args: Namespace) -> None:
    """Packs the results into a few files."""
    results.bring_back(args.output_dir, _back(args))


def _back(args: Namespace) -> Path:
    return args.back.resolve() if args.back is not None else args.output_dir / "back"


def _choose_workers(args: Namespace, device: torch.device) -> tuple[int, bool]:
    """How many trainings at once a short trial found best, and whether their steps are recorded.

    Where recording fails, as many as keep the processor's cores busy train without it. On a CPU one is enough.
    """
    if device.type != "cuda":
        return args.workers or 1, False
    found = results.Results(args.output_dir, time.monotonic() + 60)
    height, width = (int(side) for side in args.size.split(","))
    counts = tuple(range(1, MOST_WORKERS + 1))
    work = partial(trial.images_per_second, device, (height, width), BATCH, counts, 1.5, args.bf16)
    found.measure("workers_trial", device, work)
    rates = json.loads((args.output_dir / "workers_trial.json").read_bytes()).get("result")
    if rates is None:
        logger.warning("recording a step failed: training without it")
        return args.workers or UNRECORDED_WORKERS, False
    return args.workers or int(max(rates, key=rates.get)), True
