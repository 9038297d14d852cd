"""From a video file to the annotated one: our demo and stock YOLOX's own, a whole clip in turn."""

import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from unittest.mock import patch

import cv2
import torch
from yolox.tools.demo import imageflow_demo

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.progress import progress_bar
from yolox_gssam.data.synthetic import write_clip
from yolox_gssam.evaluation.timing import summarize
from yolox_gssam.inference.annotate import Outputs, annotate_video
from yolox_gssam.inference.video import VideoReader, open_video_writer
from yolox_gssam.research.benchmark.compare import measure_in_turn, speed_ratio
from yolox_gssam.research.benchmark.frames import DRAWN_HW
from yolox_gssam.research.benchmark.latency import LatencySettings, OwnSide, Side, StockSide, build_side
from yolox_gssam.research.benchmark.machine import describe_machine
from yolox_gssam.research.benchmark.memory import HOW, peak_memory
from yolox_gssam.research.benchmark.network import NetworkSize, network_size
from yolox_gssam.research.benchmark.report import TOTAL, Report, SideResult
from yolox_gssam.research.benchmark.sides import SideSpec, leave_out_stock

DRAWN_FRAMES = 100
WARMUP_FRAMES = 5


@dataclass(frozen=True)
class VideoSettings:
    """How to measure.

    Attributes:
        rounds: turns of each side, each the whole clip.
        frames: only so many of the clip's first frames; None: all.
        score_threshold, nms_threshold: of all sides.
        seed: of the weights without a checkpoint, and of the order of the sides.
        quick: said in the report.
    """

    rounds: int
    frames: int | None
    score_threshold: float
    nms_threshold: float
    seed: int
    quick: bool = False

    def for_sides(self) -> LatencySettings:
        """The same as the sides are built with."""
        return LatencySettings(1, 0, 1, self.score_threshold, self.nms_threshold, self.seed)


def measure_video(
    specs: Sequence[SideSpec], path: Path | None, settings: VideoSettings, device: torch.device
) -> Report:
    """Measures all sides in turn on one clip.

    Args:
        specs: the sides; the first is the one compared with.
        path: a video file; None: one is drawn.

    Raises:
        UserError: a side cannot be built, or no such video.
    """
    specs, left_out = leave_out_stock(specs, device, ("cpu", "cuda"))
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name)
        clip = path or _drawn_clip(folder, settings.frames or DRAWN_FRAMES)
        if settings.frames is not None:
            clip = first_frames(clip, settings.frames, folder / f"first_{settings.frames}.mp4")
        frames = _count_frames(clip)
        short = first_frames(clip, WARMUP_FRAMES, folder / "warmup.mp4")
        sides = {spec.name: _build(spec, settings, device) for spec in specs}
        for side in sides.values():
            annotate(side, short, folder / "out")

        def seconds(side: Side) -> float:
            start = time.perf_counter()
            annotate(side, clip, folder / "out")
            return time.perf_counter() - start

        turns = {name: lambda _, side=side: seconds(side) for name, side in sides.items()}
        with progress_bar(description="video", unit="turns", total=settings.rounds * len(sides)) as bar:
            times = measure_in_turn(turns, range(settings.rounds), settings.seed, bar.update)
        results = {
            spec.name: SideResult(
                what=str(spec),
                steps={TOTAL: summarize([1000 / frames * value for value in times[spec.name]])},
                ratio=speed_ratio(times[specs[0].name], times[spec.name], settings.seed),
                memory_bytes=peak_memory(
                    prepare_annotation, (spec, settings, str(device), clip, folder / "memory"), device
                ),
                network=_network_size(sides[spec.name]),
            )
            for spec in specs
        }
    described = {
        "clip": f"{path or 'a drawn one'}, {frames} frames",
        "turns": settings.rounds,
        "score_threshold": settings.score_threshold,
        "nms_threshold": settings.nms_threshold,
        "seed": settings.seed,
    }
    how = [
        "Time: a whole clip, from opening the file to closing the annotated one, over its frames; the sides in turn, "
        "in an order drawn anew each round. images/s are frames/s.",
        f"MiB: {HOW[device.type]}: building the side and the whole clip.",
    ]
    return Report("video", settings.quick, described, describe_machine(device), results, how, left_out)


def _build(spec: SideSpec, settings: VideoSettings, device: torch.device) -> Side:
    """As tools/demo.py does for a file: as many frames at a time as there are threads."""
    return build_side(spec, settings.for_sides(), device, torch.get_num_threads())


def _network_size(side: Side) -> NetworkSize | None:
    return None if side.model is None else network_size(side.model, side.exp.test_size)


def annotate(side: Side, clip: Path, folder: Path) -> None:
    """Writes the annotated clip into `folder`, as the side's own demo does.

    Raises:
        UserError: the video cannot be read, or the result cannot be written.
    """
    if isinstance(side, OwnSide):
        summary = annotate_video(side.predictor, str(clip), Outputs(folder))
        if summary.signal_number is not None:
            raise KeyboardInterrupt
    elif isinstance(side, StockSide):
        folder.mkdir(parents=True, exist_ok=True)
        # It asks for a key after each frame, which needs a display.
        with patch.object(cv2, "waitKey", return_value=-1):
            arguments = Namespace(demo="video", path=str(clip), save_result=True)
            imageflow_demo(side.predictor, str(folder), time.localtime(), arguments)


def prepare_annotation(
    spec: SideSpec, settings: VideoSettings, device: str, clip: Path, folder: Path
) -> Callable[[], Side]:
    """What the memory is measured of: building the side, and annotating the clip."""

    def work() -> Side:
        side = _build(spec, settings, torch.device(device))
        annotate(side, clip, folder)
        return side

    return work


def first_frames(clip: Path, count: int, target: Path) -> Path:
    """Writes the clip's first frames as a clip of its own and returns `target`.

    Raises:
        UserError: no such video, or nothing in it that can be decoded.
    """
    with VideoReader(str(clip)) as reader:
        frames = list(islice(reader.frames(), count))
        if not frames:
            raise UserError(f"{clip}: no frame could be decoded")
        with open_video_writer(target, reader.fps) as writer:
            for frame in frames:
                writer.write(frame.image)
    return target


def _count_frames(clip: Path) -> int:
    with VideoReader(str(clip)) as reader:
        return sum(1 for _ in reader.frames())


def _drawn_clip(folder: Path, frames: int) -> Path:
    write_clip(folder / "drawn.mp4", 0, DRAWN_HW, frames)
    return folder / "drawn.mp4"
