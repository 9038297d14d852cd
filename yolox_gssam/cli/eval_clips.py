"""`eval --clips`: a detector on whole films, measured as a guard would; see docs/evaluate.md."""

import argparse
from functools import partial
from pathlib import Path

from yolox_gssam.cli.parser import positive, refuse_options
from yolox_gssam.cli.watch import NamedDetector, load_detector
from yolox_gssam.common.errors import UserError
from yolox_gssam.common.files import sole_writer, write_json
from yolox_gssam.research.guard.film_trial import TrialOptions, require_films_without_drones, run_trial
from yolox_gssam.research.guard.guard_report import GuardReport
from yolox_gssam.research.guard.labelled_film import read_films
from yolox_gssam.research.guard.other_trackers import OTHER_TRACKERS, require_trackers
from yolox_gssam.research.guard.trials import FOLD, Trial, plan_trials
from yolox_gssam.tracking.tracks import TrackOptions
from yolox_gssam.watch.alarms import AlarmOptions

DEFAULT_FOLDER = Path("runs/clips")
WATCH_TILES = "auto"
"""What --tiles is by default, as in watch."""
IMAGE_OPTIONS = (
    "exp_file", "fp16", "backend", "tight", "nms", "common_classes", "confusion_score", "match_iou", "f1_score",
    "f1_from", "f1_detections", "iterations", "draws", "no_votes",
)  # fmt: skip
"""Options for single images, by their names in the parsed arguments."""


def add_clip_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--clips",
        type=Path,
        metavar="ROOT",
        help="measure alarms on the films below this folder, by their labels; a film without labels shows no drone. "
        f"A network per fold: -c 'runs/mine{FOLD}/best_ckpt.pth' with data_dir and a data set with folds",
    )
    group.add_argument("--fps", type=positive, default=10.0, metavar="N", help="frames per second that are looked at")
    group.add_argument(
        "--false-per-hour",
        type=positive,
        default=1.0,
        metavar="N",
        help="false alarms an hour that a threshold may raise on films without drones",
    )
    group.add_argument(
        "--threshold",
        type=positive,
        default=AlarmOptions.threshold,
        metavar="X",
        help="of watch: measured beside the calibrated one",
    )
    group.add_argument(
        "--other-trackers",
        action="store_true",
        help=f"compare with {', '.join(OTHER_TRACKERS.values())} of the package trackers (pip install trackers)",
    )


def measure_clips(args: argparse.Namespace, defaults: argparse.ArgumentParser) -> None:
    """Detects, replays, prints the tables and writes clips.json; `defaults` is the parser of `args`."""
    data = _data_of(args, defaults)
    conf = TrackOptions.start_score if args.conf is None else args.conf
    if not 0 < conf < 1:
        raise UserError(f"--conf {conf:g}: with --clips a track begins from this score on; give one between 0 and 1")
    tracks = TrackOptions.from_score(conf)
    options = TrialOptions(
        fps=args.fps,
        per_hour=args.false_per_hour,
        given=args.threshold,
        drone=args.class_name or "drone",
        tracks=tracks,
        batch_size=args.batch_size,
        settings={
            "least_score": tracks.keep_score,
            "input_size": args.tsize,
            "tiles": args.tiles or WATCH_TILES,
            "votes": True,  # as `Detector` has it
        },
        other_trackers=tuple(OTHER_TRACKERS) if args.other_trackers else (),
    )
    if args.other_trackers:
        require_trackers()
    folder = args.output_dir or DEFAULT_FOLDER
    with sole_writer(folder):
        films = read_films(args.clips, folder / "labels")
        trials = plan_trials(films, args.ckpt, data, args.split)
        require_films_without_drones(trials, options.drone)
        place = folder / "detections"
        results = [run_trial(trial, options, place, partial(open_network, args, trial, conf)) for trial in trials]
        report = GuardReport.of(results, options)
        print(report.table(), flush=True)
        write_json(folder / "clips.json", report.to_json())
    print(f"numbers: {folder / 'clips.json'}")


def open_network(args: argparse.Namespace, trial: Trial, conf: float) -> NamedDetector:
    """The network of a trial, as watching runs it; refused where it was trained on another fold."""
    detector = load_detector(trial.weights, conf, args.tiles or WATCH_TILES, args)
    fold = detector.network.exp.get("fold")
    if trial.fold is not None and fold not in (None, trial.fold):
        raise UserError(f"{trial.weights}: was trained on fold {fold} and has seen test clips of fold {trial.fold}")
    return NamedDetector(detector.predictor.predict, detector.class_names)


def _data_of(args: argparse.Namespace, defaults: argparse.ArgumentParser) -> Path | None:
    """The data set of `data_dir`, None without; options and fields that mean nothing for films are refused."""
    if args.ckpt is None:
        raise UserError("--clips looks at films: give a network, -c FILE")
    refuse_options(args, defaults, IMAGE_OPTIONS, "is for single images: leave it out with --clips")
    fields = args.opts
    if fields and (len(fields) != 2 or fields[0] != "data_dir"):
        raise UserError(
            f"{' '.join(fields)}: with --clips the only field is data_dir, the data set that names the clips"
        )
    return Path(fields[1]) if fields else None
