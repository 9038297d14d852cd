"""The phases of some minutes on a GPU, most valuable first."""

import json
import time
from argparse import Namespace
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from loguru import logger

from yolox_gssam.common.files import write_json
from yolox_gssam.common.log import setup_log
from yolox_gssam.research.gpu import correctness, results, times, trial
from yolox_gssam.research.gpu.bundle import WEIGHTS
from yolox_gssam.research.gpu.sharing import forget_sharing, shared_device
from yolox_gssam.research.tables.cells import Study, plan_cells, tasks_of
from yolox_gssam.research.tables.plan import EXPS, SIZES
from yolox_gssam.research.tables.pool import Pool, Task

BATCH = 16
PAPER_SIZE = (640, 640)
NANO = SIZES["nano"]
RECIPE = (
    "mosaic_prob", "0", "enable_mixup", "False", "multiscale_range", "0", "basic_lr_per_img", "0.0003",
    "ema_decay", "0.998", "ema_ramp", "200", "warmup_epochs", "1", "no_aug_epochs", "1", "data_num_workers", "4",
)  # fmt: skip
"""Whole images from COCO's weights."""
OF_GREY = ("hsv_gains", "0,0,30")
"""Grey images have no hue and no saturation."""
SHARED_WORKERS, SLICED_WORKERS = (1, 2, 4, 8), (1, 2, 3)
"""Trainings at once that are tried, where their kernels run side by side and where they take turns."""
PAIR = ("origin", "gssam_sig_res_p1")
OTHERS = ("gssam_sig_res_p2", "gssam_sig_p1", "gssam_sig_p2", "gssam_std_p1", "gssam_std_p2", "conv_p1", "conv_p2",
           "conv_res_p1", "conv_res_p2")  # fmt: skip
FURTHER = {
    "wide": ("origin", "width", "0.28125"),
    "cbam_p1": ("cbam_p1",),
    "fine": ("origin", "strides", "4,8,16,32"),
}
"""Rows that the paper has not: exp file and fields."""
PASTED = {"pasted": ("origin", "paste_bank", "shipped")}
"""The row with objects pasted into its images, in the same way."""
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
    found.measure("right_module", device, lambda: correctness.module_errors(device))
    found.measure("right_network", device, lambda: correctness.network_errors(device, checkpoint))
    sizes = [(M, N) for M in (400, 6400, 102_400) for N in (25, 100, 400)] if is_cuda else [(400, 25), (6400, 100)]
    found.measure("contrast", device, lambda: correctness.contrast_costs(device, sizes, 0.5))
    data = args.output_dir / "data" / json.loads((args.bundle / "manifest.json").read_bytes())["data"]
    for graph in (True, False) if is_cuda else (False,):
        name = f"right_resume{'_graph' if graph else ''}"
        found.measure(name, device, partial(correctness.resumed_run, device, data, checkpoint, graph))


def measure_times(args: Namespace, found: results.Results, device: torch.device) -> None:
    """Times of YOLOX-s at 640 beside stock YOLOX, and images per second of training."""
    is_cuda = device.type == "cuda"
    fields: tuple[str, ...] = () if is_cuda else NANO
    size_hw = PAPER_SIZE if is_cuda else (64, 96)
    seconds = 9.0 if is_cuda else 1.0
    models = times.networks(["stock", *PAIR, *(OTHERS if is_cuda else ())], fields)
    few = {row: models[row] for row in ("stock", "origin", "gssam_sig_res_p1")}
    for batch in (1, 16) if is_cuda else (1,):
        work = partial(times.inference_times, models, device, size_hw, batch, seconds)
        found.measure(f"times_batch{batch}", device, work)
    batch = BATCH if is_cuda else 2
    found.measure("training_rates", device, lambda: times.training_rates(few, device, size_hw, batch, seconds))
    sizes = ((256, 320),) if is_cuda else ((64, 64),)
    found.measure("training_variants", device, lambda: times.step_variants(device, sizes, batch, 0.7))
    if not is_cuda:
        logger.info("left out on a CPU: CUDA graphs, float16, torch.compile")
    elif found.seconds_left > 60:
        found.measure("times_compile", device, lambda: times.compiled_times(models, device, size_hw, 5.0))
    else:
        logger.warning("times_compile: left out, compiling takes a minute and less is left of this phase")


def run_cells(args: Namespace, deadline: float) -> None:
    """Table 2 until the time is up, see `plan`."""
    setup_log()
    device = torch.device(args.device)
    last_back = time.monotonic()

    def pack() -> None:
        nonlocal last_back
        if time.monotonic() - last_back > BACK_EVERY_SECONDS:
            bring_back(args)
            last_back = time.monotonic()

    with shared_device() if device.type == "cuda" else nullcontext(False) as is_shared:
        workers, is_shared = _choose_workers(args, device, is_shared)
        start = time.monotonic()
        pool = Pool(args.output_dir, args.device, workers, pack)
        done = pool.run(plan(args), deadline)
        seconds = time.monotonic() - start
    content = {
        "name": "cells",
        "done": done,
        "workers": workers,
        "shared": is_shared,
        "seconds": seconds,
        "images_per_second": pool.images / seconds,
        "faults": pool.faults,
        "machine": results.machine(device),
    }
    write_json(args.output_dir / f"cells_{int(time.time())}.json", content)
    logger.info(
        f"{done} cells in {seconds:.0f} s by {workers} workers: {pool.images / seconds:.0f} training images per second"
    )
    for fault in pool.faults:
        logger.error(fault)


def plan(args: Namespace) -> list[Task]:
    """What is run, most valuable first; see `infrared_plan` and `visible_plan`."""
    size = [int(side) for side in args.size.split(",")]
    folds = len(list((args.data / "annotations").glob("fold*")))
    return {"infrared": infrared_plan, "visible": visible_plan}[args.plan](args, size, folds)


def infrared_plan(args: Namespace, size_hw: Sequence[int], folds: int) -> list[Task]:
    """The pair at the size of the images with some seeds; the same at twice that size with one, whose networks are
    kept; the other rows with one; the pair with further seeds."""
    native, double = args.output_dir / "cells", args.output_dir / "cells_double"
    rows = {row: (row,) for row in (*PAIR, *OTHERS)} | FURTHER
    study = _study(args, rows, size_hw, (*RECIPE, *OF_GREY))
    study_double = _study(args, rows, [2 * side for side in size_hw], (*RECIPE, *OF_GREY), keep_weights=PAIR)
    others = [row for row in rows if row not in PAIR]
    return [
        *tasks_of(study, native, plan_cells(PAIR, folds, range(args.seeds))),
        *tasks_of(study_double, double, plan_cells(PAIR, folds, [0])),
        *tasks_of(study, native, plan_cells(others, folds, [0])),
        *tasks_of(study, native, plan_cells(PAIR, folds, range(args.seeds, 3 * args.seeds))),
    ]


def visible_plan(args: Namespace, size_hw: Sequence[int], folds: int) -> list[Task]:
    """The pair with one seed; plain YOLOX with objects pasted into its images; convolutions instead of GSSAM, a wider
    network and one with a level at stride 4; the pair with further seeds. Kept are plain YOLOX's first networks."""
    rows = {row: (row,) for row in (*PAIR, "conv_res_p1")} | {row: FURTHER[row] for row in ("wide", "fine")}
    study = _study(args, rows, size_hw, RECIPE, keep_weights=["origin"])
    # Objects are pasted by the processor.
    pasted = _study(args, PASTED, size_hw, RECIPE, cache="ram", keep_weights=list(PASTED))
    folder = args.output_dir / "cells"
    return [
        *tasks_of(study, folder, plan_cells(PAIR, folds, [0])),
        *tasks_of(pasted, args.output_dir / "cells_pasted", plan_cells(list(PASTED), folds, [0])),
        *tasks_of(study, folder, plan_cells([row for row in rows if row not in PAIR], folds, [0])),
        *tasks_of(replace(study, keep_weights=()), folder, plan_cells(PAIR, folds, range(1, args.seeds))),
    ]


def _study(
    args: Namespace,
    rows: Mapping[str, tuple[str, ...]],
    size_hw: Sequence[int],
    recipe: Sequence[str],
    *,
    cache: str = "gpu",
    keep_weights: Sequence[str] = (),
) -> Study:
    """Trainings of nano networks; `rows`: name -> exp file and fields of its own."""
    is_cuda = torch.device(args.device).type == "cuda"
    fields = ["data_dir", str(args.data), *NANO, "input_size", f"{size_hw[0]},{size_hw[1]}", *recipe,
              "max_epoch", str(args.epochs), "eval_interval", str(args.epochs)]  # fmt: skip
    if not is_cuda:  # a rehearsal: the validation split is small
        fields += ["train_ann", "val.json"]
    return Study(
        exps={row: str(EXPS / f"{exp}.py") for row, (exp, *_) in rows.items()},
        row_fields={row: own for row, (_, *own) in rows.items()},
        fields=fields,
        batch_size=BATCH,
        checkpoint=str(args.bundle / WEIGHTS),
        flags={"cache": cache, "cuda_graph": is_cuda, "bf16": args.bf16},
        keep_weights=keep_weights,
    )


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


def _choose_workers(args: Namespace, device: torch.device, is_shared: bool) -> tuple[int, bool]:
    """How many trainings at once a short trial found best, and whether their kernels run side by side.

    On a CPU one is enough. Where the trial fails with a shared device, the service is not used.
    """
    if device.type != "cuda":
        return args.workers or 1, False
    found = results.Results(args.output_dir, time.monotonic() + 60)
    height, width = (int(side) for side in args.size.split(","))
    counts = SHARED_WORKERS if is_shared else SLICED_WORKERS
    work = partial(trial.images_per_second, device, (height, width), BATCH, counts, 1.5, args.bf16)
    name = f"workers_trial{'_shared' if is_shared else ''}"
    found.measure(name, device, work)
    rates = json.loads((args.output_dir / f"{name}.json").read_bytes()).get("result")
    if rates is None:
        logger.warning("the trial failed: a few trainings share the time of the device")
        forget_sharing()
        return args.workers or max(SLICED_WORKERS), False
    return args.workers or int(max(rates, key=rates.get)), is_shared
