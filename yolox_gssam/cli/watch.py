"""Watches cameras, streams and files, and raises one alarm for each drone.

examples:
  python tools/watch.py rtsp://user:password@camera.local/stream          # alarms to runs/watch
  python tools/watch.py gate=rtsp://one/1 yard=rtsp://two/1 --page        # live on http://127.0.0.1:8080/
  python tools/watch.py 0 -c infrared --webhook https://receiver.local/alarms --mqtt mqtt://broker.local
  python tools/watch.py clips/*.mp4 --output found                        # films, as fast as they can be read

in the folder of results:
  watch.sqlite  alarms.jsonl  snapshots/  clips/

exit status:
  0  all files were read to their end
  1  wrong input; or a file among others could not be read
  2  wrong options
  128 + N  signal N ended it (130 Ctrl-C, 143 kill); all alarms are written
"""

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from loguru import logger
from numpy.typing import NDArray

from yolox_gssam.cli.parser import TILES_HELP, HelpFormatter, Parser, add_network, count, positive, positive_share
from yolox_gssam.common.errors import UserError
from yolox_gssam.common.files import sole_writer
from yolox_gssam.common.log import setup_log
from yolox_gssam.common.stop import StopRequest
from yolox_gssam.detections import Detections
from yolox_gssam.detector import DEFAULT, Detector
from yolox_gssam.tracking.tracks import TrackOptions
from yolox_gssam.watch.alarms import Alarm, AlarmEnd, AlarmOptions, utc_text
from yolox_gssam.watch.notify import Mqtt, Receiver, Sender, Webhook
from yolox_gssam.watch.recorder import Recorder
from yolox_gssam.watch.sources import SourceOptions, Sources
from yolox_gssam.watch.store import Store
from yolox_gssam.watch.watcher import Watcher, WatchOptions

_END_S = 4.0  # for all threads together, of the five seconds that a stop may take


@dataclass(frozen=True)
class NamedDetector:
    """A `FrameDetector` with names for its classes."""

    detect: Callable[[Sequence[NDArray[np.uint8]]], list[Detections]]
    class_names: Sequence[str]


def make_parser() -> argparse.ArgumentParser:
    parser = Parser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help="file, URL or number of a camera; or NAME=SOURCE")
    parser.add_argument("--realtime", action="store_true", help="files at their own speed, as from a camera")
    model = parser.add_argument_group("model")
    add_network(model, DEFAULT)
    model.add_argument(
        "--conf", type=positive_share, default=0.25, metavar="SCORE", help="least score to begin a track"
    )
    model.add_argument("--tsize", type=count, metavar="N", help="input size N x N pixels; by default the trained one")
    model.add_argument("--device", metavar="DEVICE", help="cpu, gpu, cuda:N or mps; by default the best there is")
    model.add_argument("--tiles", default="auto", metavar="auto|off|N", help=TILES_HELP)
    alarm = parser.add_argument_group("alarms")
    alarm.add_argument("--classes", nargs="+", default=["drone"], metavar="NAME", help="what is alarmed of")
    alarm.add_argument(
        "--threshold",
        type=positive,
        default=AlarmOptions.threshold,
        metavar="X",
        help="evidence that raises an alarm; see docs/watch.md",
    )
    alarm.add_argument(
        "--cooldown", type=positive, default=5.0, metavar="S", help="seconds in which a lost drone may come back"
    )
    alarm.add_argument("--fixed", action="store_true", help="the cameras never move, which saves their motion's time")
    output = parser.add_argument_group("output")
    output.add_argument("--output", type=Path, default=Path("runs/watch"), metavar="DIR", help="folder of results")
    output.add_argument(
        "--quota", type=positive, default=10.0, metavar="GB", help="of snapshots and clips; the oldest are removed"
    )
    output.add_argument("--webhook", nargs="+", default=[], metavar="URL", help="POST each alarm as JSON to these")
    output.add_argument("--mqtt", metavar="URL", help="mqtt://[USER:PASSWORD@]HOST[:PORT][/PREFIX]")
    output.add_argument(
        "--page", nargs="?", const="127.0.0.1:8080", metavar="HOST:PORT", help="live page; alone: 127.0.0.1:8080"
    )
    output.add_argument(
        "--token",
        default=os.environ.get("WATCH_TOKEN"),
        metavar="TEXT",
        help="that the page asks for, needed beyond this machine; also as WATCH_TOKEN in the environment",
    )
    return parser


def main(args: argparse.Namespace) -> int:
    """Watches, and returns the exit status, see above."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # it would tell URLs with their passwords
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    setup_log()
    sources = Sources(args.sources, SourceOptions(realtime=args.realtime))
    address = None if args.page is None else page_address(args.page, args.token)
    detector = open_detector(args)
    options = WatchOptions(
        TrackOptions.from_score(args.conf),
        AlarmOptions(labels_of(args.classes, detector.class_names), args.threshold, cooldown_s=args.cooldown),
        camera_moves=not args.fixed,
    )
    with (
        StopRequest() as stop,
        sole_writer(args.output),
        contextlib.closing(Store(args.output, int(args.quota * 1e9))) as store,
    ):
        senders = [Sender(store, receiver) for receiver in open_receivers(args, sources)]
        store.end_interrupted(utc_text(time.time()))
        recorder = Recorder(store, partial(tell, senders))
        for sender in senders:
            sender.start()
        watcher = Watcher(detector, detector.class_names, sources, recorder, options)
        try:
            with serve_page(watcher, store, args.token, address):
                watcher.run(lambda: bool(stop))
        finally:
            written = end_threads(watcher, recorder, senders, time.monotonic() + _END_S)
    report(watcher)
    status = 128 + stop.signal_number if stop.signal_number else int(any(source.failed for source in sources.all))
    if not written:
        print("the disk did not take all alarms in time", file=sys.stderr)
    if any(source.is_alive() for source in sources.all):
        # A thread that hangs in a driver would hold up the end, and fall over what is torn down around it.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return status


def open_detector(args: argparse.Namespace) -> NamedDetector:
    detector = load_detector(args.ckpt, args.conf, args.tiles, args)
    return NamedDetector(detector.predictor.predict, detector.class_names)


def load_detector(weights: str, conf: float, tiles: str, args: argparse.Namespace) -> Detector:
    """A network as watching runs it, with boxes that go on with a track begun by `conf`.

    Raises:
        UserError: no such file, or one that cannot be used here.
    """
    size = None if args.tsize is None else (args.tsize, args.tsize)
    score = TrackOptions.from_score(conf).keep_score
    return Detector.load(weights, score_threshold=score, tiles=tiles, input_size=size, device=args.device)


def labels_of(names: Sequence[str], class_names: Sequence[str]) -> frozenset[int]:
    """The indices of classes by their names, whatever their case."""
    known = {name.lower(): label for label, name in enumerate(class_names)}
    for name in names:
        if name.lower() not in known:
            raise UserError(f"--classes {name}: the network has no such class; it has {', '.join(class_names)}")
    return frozenset(known[name.lower()] for name in names)


def page_address(text: str, token: str | None) -> tuple[str, int]:
    """Host and port of --page; it needs a token where others could read it."""
    from yolox_gssam.watch.page import is_loopback

    host, colon, port = text.rpartition(":")
    host = host.strip("[]")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise UserError(f"--page {text}: give HOST:PORT, as in 127.0.0.1:8080")
    if not is_loopback(host) and not token:
        raise UserError(f"--page {text}: others can reach this address; give --token, or 127.0.0.1:{port}")
    return host, int(port)


def open_receivers(args: argparse.Namespace, sources: Sources) -> list[Receiver]:
    receivers: list[Receiver] = [Webhook(url, os.environ.get("WATCH_WEBHOOK_TOKEN")) for url in args.webhook]
    if args.mqtt:
        receivers.append(Mqtt(args.mqtt, [source.source for source in sources.all]))
    return receivers


@contextlib.contextmanager
def serve_page(watcher: Watcher, store: Store, token: str | None, address: tuple[str, int] | None) -> Iterator[None]:
    """Serves the page while the block runs, if there is an address."""
    if address is None:
        yield
        return
    from yolox_gssam.watch.page import Page, serve

    host, port = address
    with serve(Page(watcher, store, token), host, port) as taken:
        print(f"page: http://{f'[{host}]' if ':' in host else host}:{taken}/", flush=True)
        yield


def end_threads(watcher: Watcher, recorder: Recorder, senders: Sequence[Sender], deadline_s: float) -> bool:
    """Ends sources, then the writing, then the receivers, until some time; whether all alarms were written."""

    def left(most: float) -> float:
        return max(0.05, min(most, deadline_s - time.monotonic()))

    watcher.sources.stop(left(1.0))
    written = recorder.close(left(2.0))
    for sender in senders:
        sender.ask_to_end()
    for sender in senders:
        sender.close(left(1.0))
    return written


def tell(senders: Sequence[Sender], event: Alarm | AlarmEnd) -> None:
    """Tells the receivers that something was written, and prints an alarm as a line."""
    for sender in senders:
        sender.wake()
    if isinstance(event, Alarm):
        print(f"{event.time_utc} {event.source}: {event.label} {event.score:.0%}, track {event.track}", flush=True)


def report(watcher: Watcher) -> None:
    timing = watcher.timing
    for state in watcher.sources.states():
        logger.info(f"{state.name}: {state.frames} frames read, {state.dropped} dropped, {state.reconnects} reconnects")
    if timing.frames:
        frame_ms = 1000 / timing.frames
        latest = f", the latest {1000 * timing.latency_s:.0f} ms after its frame" if timing.alarms else ""
        print(
            f"{timing.alarms} alarms{latest}; {timing.frames} frames, {timing.frames / timing.elapsed_s:.1f} frames/s, "
            f"{timing.network_s * frame_ms:.1f} ms per frame in the network, {timing.rest_s * frame_ms:.1f} ms in "
            "tracks, alarms and pictures"
        )
