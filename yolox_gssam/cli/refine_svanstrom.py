"""The subcommand `refine-svanstrom` of the data command: the tight boxes of all Svanström clips, measured anew."""

import argparse
import multiprocessing
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import cv2

from yolox_gssam.cli.importing import add_command
from yolox_gssam.cli.parser import count
from yolox_gssam.common.files import atomic_path
from yolox_gssam.common.progress import progress_bar
from yolox_gssam.data.formats.svanstrom import SENSORS, ClipLabels, find_clips, label_path, read_labels
from yolox_gssam.data.formats.svanstrom_refined import REFINED_PATH, loose_boxes, measure_clip
from yolox_gssam.data.refinement.clip import WAYS, Refined
from yolox_gssam.data.refinement.packed import PackedClips


def add_refine_svanstrom(commands: Any) -> None:
    summary = "measure the tight boxes of all Svanström clips and pack them into the file that the importer uses"
    parser = add_command(commands, "refine-svanstrom", run, summary)
    parser.add_argument("root", type=Path, metavar="ROOT", help="folder with Data/Video_V/, Data/Video_IR/ or both")
    parser.add_argument("--sensor", choices=tuple(SENSORS), default="both", help="whose clips are measured")
    parser.add_argument("--output", type=Path, default=REFINED_PATH, metavar="FILE", help="written anew")
    parser.add_argument(
        "--workers", type=count, default=1, metavar="N", help="processes; the file does not depend on it"
    )


def run(args: argparse.Namespace) -> None:
    clips = find_clips(args.root, args.sensor)
    packed, ways = PackedClips({}), Counter[str]()
    workers = min(args.workers, len(clips))  # not a Pool: its processes may not have the guarded reader's as children
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        results = pool.map(_refined, clips)
        with progress_bar(results, description="measure", unit="clips", total=len(clips)) as bar:
            for clip, (truth, refined) in zip(clips, bar, strict=True):
                packed.add(clip.stem, loose_boxes(truth), refined)
                ways.update(WAYS[way] for way in refined.way.tolist())
    with atomic_path(args.output) as path:
        path.write_bytes(packed.to_bytes())
    print(", ".join(f"{ways[name]} {name}" for name in WAYS))
    print(args.output)


def _refined(clip: Path) -> tuple[ClipLabels, Refined]:
    """The labels of a clip and its tight boxes."""
    cv2.setNumThreads(1)
    truth = read_labels(label_path(clip))
    return truth, measure_clip(clip, truth)
