"""Makes the most of some minutes on a GPU, most valuable first: whether it computes right, times, then Table 2.

  make gpu-bundle DATA=datasets/infrared WEIGHTS=yolox_nano.pth   # where there is network
  python tools/gpu.py --minutes 9                   # on the GPU's machine, which needs none
  python tools/gpu.py --minutes 9 --plan visible    # the table of visible light alone, from a bundle of its data
  python tools/gpu.py --minutes 3 --device cpu      # a rehearsal at small sizes

Each result is a file of its own from the moment it is there; given again, the command goes on after it. What is to be
brought home lies in a few files in --back. `tools/tables.py report --cells DIR` makes the table of them.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from yolox_gssam.cli.parser import HelpFormatter, count, positive
from yolox_gssam.common.errors import UserError
from yolox_gssam.research.gpu.bundle import MEGABYTE, check_bundle, install, make_bundle, unpack_dataset

ROOT = Path(__file__).resolve().parents[2]
PHASES = ("right", "times")
SIZES = {"infrared": "256,320", "visible": "512,640"}
"""Of the images of each plan, height and width."""
SHARES = {"right": 50.0, "times": 65.0}
"""Most seconds of the two phases before the table, of 540; fewer where there are fewer minutes."""
FULL_SECONDS = 540.0
LEAST_SECONDS = 25.0
"""Of a phase: importing torch takes the half of it on a slow machine."""
LAST_SECONDS = 8.0
"""Kept for packing what is brought back."""


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument("--minutes", type=positive, default=9.0, metavar="N", help="time from the start to the end")
    parser.add_argument("--device", default="cuda", metavar="NAME", help="cuda, cuda:N, or cpu for a rehearsal")
    parser.add_argument(
        "--bundle", type=Path, default=Path("gpu_bundle"), metavar="DIR", help="made by make gpu-bundle"
    )
    parser.add_argument("--output-dir", type=Path, default=Path("runs/gpu"), metavar="DIR", help="of the results")
    parser.add_argument("--back", type=Path, metavar="DIR", help="of the packed results; by default OUTPUT_DIR/back")
    plans = "whose cells are trained; infrared: after the phases right and times"
    parser.add_argument("--plan", choices=tuple(SIZES), default="infrared", help=plans)
    parser.add_argument("--seeds", type=count, default=4, metavar="N", help="of the pair that is decided first")
    parser.add_argument("--epochs", type=count, metavar="N", help="of each training; by default 6, on a CPU 2")
    parser.add_argument(
        "--size",
        metavar="H,W",
        help="of the table's images, some of which are trained at twice it; by default the films' own, on a CPU 64,96",
    )
    parser.add_argument("--workers", type=int, default=0, metavar="N", help="trainings at once; 0: a trial decides")
    parser.add_argument("--bf16", action="store_true", help="train the table in bfloat16")
    make = parser.add_argument_group("making the bundle, and nothing else")
    make.add_argument("--make", type=Path, metavar="DATASET", help="with folds, of the plan's sensor; needs network")
    make.add_argument(
        "--weights", type=Path, metavar="FILE", help="checkpoint to start from, such as COCO's yolox_nano.pth"
    )
    make.add_argument("--quality", type=count, default=78, metavar="Q", help="of its JPEG files, 1 to 100")
    make.add_argument("--limit", type=positive, default=45.0, metavar="MIB", help="most that the bundle may take")
    parser.add_argument("--phase", choices=PHASES, help=argparse.SUPPRESS)
    parser.add_argument("--until", type=float, help=argparse.SUPPRESS)
    return parser


def main(args: argparse.Namespace) -> None:
    start = time.monotonic()
    rehearses = args.device == "cpu"
    args.size = args.size or ("64,96" if rehearses else SIZES[args.plan])
    args.epochs = args.epochs or (2 if rehearses else 6)
    args.bundle, args.output_dir = args.bundle.resolve(), args.output_dir.resolve()
    if args.make is not None:
        make(args)
        return
    if args.phase is None:
        check_bundle(args.bundle)
    site = args.output_dir / "site"
    seconds = install(args.bundle, site)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(site), str(ROOT), os.environ.get("PYTHONPATH"))))
    from yolox_gssam.research.gpu import phases  # now that everything is there

    if args.phase is not None:
        phases.run_phase(args.phase, args, args.until)
        return
    deadline = start + 60 * args.minutes - LAST_SECONDS
    print(f"packages: {seconds:.1f} s; data and weights follow", flush=True)
    args.data = unpack_dataset(args.bundle, args.output_dir / "data")
    phases.take_along(args)
    share = min(1.0, 60 * args.minutes / FULL_SECONDS)
    for phase in PHASES if args.plan == "infrared" else ():
        until = min(time.monotonic() + max(share * SHARES[phase], LEAST_SECONDS), deadline)
        _run_in_process(phase, until)
        phases.bring_back(args)
    phases.run_cells(args, deadline)
    phases.bring_back(args)


def make(args: argparse.Namespace) -> None:
    """Makes the bundle and says what takes how much."""
    if args.weights is None:
        raise UserError("--make needs --weights: a checkpoint to start from, such as COCO's yolox_nano.pth")
    manifest = make_bundle(args.make, args.weights, args.bundle, args.quality, args.limit)
    for name, size in manifest["bytes"].items():
        print(f"{size / MEGABYTE:6.2f} MiB  {name}")
    print(f"{sum(manifest['bytes'].values()) / MEGABYTE:6.2f} MiB  {args.bundle}")


def _run_in_process(phase: str, until: float) -> None:
    """A phase in a process of its own, so that what goes wrong there ends there."""
    command = [sys.executable, *sys.argv, "--phase", phase, "--until", str(until)]
    try:
        subprocess.run(command, check=False, timeout=max(1.0, until - time.monotonic() + 5))
    except subprocess.TimeoutExpired:
        print(f"phase {phase}: ended, its time is up; what it measured is kept", flush=True)
