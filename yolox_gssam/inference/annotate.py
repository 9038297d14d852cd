"""Images and videos in, annotated images and videos out: what the demo tool does."""

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import takewhile
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from yolox_gssam.common.bit_depth import RULE, ValueRange
from yolox_gssam.common.errors import UserError
from yolox_gssam.common.files import atomic_path
from yolox_gssam.common.images import IMAGE_SUFFIXES
from yolox_gssam.common.progress import progress_bar
from yolox_gssam.common.stop import StopRequest
from yolox_gssam.detections import Detections
from yolox_gssam.inference.detections_file import WriteDetections, open_detections_file
from yolox_gssam.inference.frames import Frame, find_images, image_frames
from yolox_gssam.inference.label_files import HOLD_TRACKS, LabelledFrame, label_path, write_labels
from yolox_gssam.inference.pipeline import in_thread, map_in_threads
from yolox_gssam.inference.predictor import Predictor
from yolox_gssam.inference.stages import AttentionMaps, DrawnFrame, detect_frames, draw_frame
from yolox_gssam.inference.video_io import DEFAULT_FPS, VideoReader, VideoWriter, open_video_writer
from yolox_gssam.inference.window import show

WRITTEN_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".webp", ".tif", ".tiff"})
"""Of formats that every OpenCV writes."""
AHEAD = 2
"""So many frames wait at most between reading and detection, and as many between detection and writing; with those in
hand at the stages, six are in memory at most, and as many more as the backend has streams, where it has several."""


@dataclass(frozen=True)
class Outputs:
    """What to make besides the annotated pictures, and where.

    Attributes:
        attention: makes the attention maps; None: none are saved.
        export: "json" or "csv" for a file of the detections; None: no such file.
        labels: a kind of `label_files.CONVENTIONS` for label files of another tool; None: none.
    """

    folder: Path
    attention: AttentionMaps | None = None
    export: str | None = None
    labels: str | None = None
    show: bool = False


@dataclass
class Summary:
    """What was done.

    Attributes:
        frames, objects: how many went through, how many were detected.
        seconds: the whole time, from reading to writing.
        detection_seconds: from image to boxes, summed over the frames; others are read, detected and drawn meanwhile.
        files: what they hold -> where they lie.
        notes: what the user should know, a line each.
        failures: inputs that could not be used, a line each.
        signal_number: the signal that ended it early, if one did.
        stream_ended: a camera or a stream gave no more frames, which nobody here had asked for.
    """

    frames: int = 0
    objects: int = 0
    seconds: float = 0.0
    detection_seconds: float = 0.0
    files: dict[str, Path] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    signal_number: int | None = None
    stream_ended: bool = False


def annotate_images(
    predictor: Predictor, path: Path, outputs: Outputs, value_range: ValueRange | None = None
) -> Summary:
    """Annotates an image, or all images in a folder and its subfolders, under their own names in `outputs.folder`.

    An image that cannot be read is one of the summary's failures; the others go on. Images of more than 8 bit are made
    8 bit by `value_range`, or as `read_image` does it.

    Raises:
        UserError: no image there, none that can be read, or results that would overwrite the images.
    """
    summary = Summary(files={"annotated images": outputs.folder})
    deep: list[str] = []
    images = find_images(path, outputs.folder, summary.failures.append)
    root = path if path.is_dir() else path.parent
    inputs = {image.resolve() for image in images}
    if any(_output_path(outputs.folder / image.relative_to(root)).resolve() in inputs for image in images):
        raise UserError(f"{outputs.folder}: the results would overwrite the images; choose another --output")
    frames = image_frames(images, root, summary.failures.append, value_range, deep, predictor.test_size)
    with (
        _records(outputs, path.resolve().stem, predictor, summary) as record,
        closing(_drawn(predictor, frames, outputs, len(images), summary)) as drawn_frames,
    ):
        for detected, picture, panels in drawn_frames:
            record(detected.frame, detected.detections)
            target = _output_path(outputs.folder / detected.frame.source)
            _write_image(target, picture)
            if panels is not None:
                _write_image(target.with_name(f"{target.stem}_attention{target.suffix}"), panels)
            if outputs.show and not show(picture, 0):
                break
        if summary.frames == 0:
            none_read = f"{path}: none of its {len(images)} images can be used, beginning with "
            raise _nothing_done(summary, (none_read if len(images) > 1 else "") + "".join(summary.failures[:1]))
    if deep and value_range is None:
        summary.notes.append(
            f"{len(deep)} images have more than 8 bit, such as {deep[0]}: {RULE}; --range sets a range"
        )
    return summary


def annotate_video(predictor: Predictor, source: str | int, outputs: Outputs) -> Summary:
    """Annotates a video file, a stream or a camera into `<name>.mp4` in `outputs.folder`.

    A video that breaks off keeps all that was decoded; so does one ended by Ctrl-C or SIGTERM.

    Raises:
        UserError: no such video, nothing in it that can be decoded, or a result that would overwrite it.
    """
    with VideoReader(source) as reader:
        stem = (Path(reader.name).stem or "stream") if isinstance(source, str) else "camera"
        target = outputs.folder / f"{stem}.mp4"
        if isinstance(source, str) and Path(source).resolve() == target.resolve():
            raise UserError(f"{target}: the result would overwrite the video; choose another --output")
        summary = Summary(files={"annotated video": target})
        with ExitStack() as stack:
            sound_of = None if reader.container.sound is False else reader.path
            video = stack.enter_context(open_video_writer(target, reader.fps, sound_of))
            panels_video = None
            if outputs.attention is not None:
                summary.files["attention maps"] = outputs.folder / f"{stem}_attention.mp4"
                panels_video = stack.enter_context(open_video_writer(summary.files["attention maps"], reader.fps))
            record = stack.enter_context(_records(outputs, stem, predictor, summary, reader.fps))
            frames, total = reader.frames(), reader.claimed_frames
            drawn_frames = stack.enter_context(
                closing(_drawn(predictor, frames, outputs, total, summary, live=reader.live))
            )
            for detected, picture, panels in drawn_frames:
                record(detected.frame, detected.detections)
                time_s = detected.frame.time_s if reader.live else None
                video.write(picture, time_s)
                if panels_video is not None and panels is not None:
                    panels_video.write(panels, time_s)
                if outputs.show and not show(picture, 1):
                    break
            if summary.frames == 0:
                raise _nothing_done(summary, f"{reader.name}: no frame could be decoded")
        summary.stream_ended = reader.live and reader.ended and summary.signal_number is None
        summary.notes += _video_notes(reader, summary, video)
    return summary


def _drawn(
    predictor: Predictor,
    frames: Iterable[Frame],
    outputs: Outputs,
    total: int,
    summary: Summary,
    live: bool = False,
) -> Generator[DrawnFrame, None, None]:
    """Reading and drawing in a thread each, detection in this one, under a progress bar, counted in `summary`.

    torch is slower by half in any other thread than where it began: OpenMP keeps threads for each, more than there are
    cores, and lets none of them wait busily. What runs in this thread besides is writing, and windows, which OpenCV
    shows in the main thread only. `live` frames that come faster than they are detected are left out, and none waits
    behind detection: to queue them would show what was seen ever longer ago.
    """
    start = time.perf_counter()
    with StopRequest() as stop, progress_bar(description="detect", unit="frames", total=total or None) as bar:
        read = in_thread(frames, 1 if live else AHEAD, newest=live)
        detected_frames = detect_frames(predictor, takewhile(lambda frame: not stop, read), outputs.attention)
        draw = partial(draw_frame, class_names=predictor.class_names)
        drawn_frames = map_in_threads(draw, detected_frames, 1, 0 if live else AHEAD)
        with closing(read), closing(drawn_frames):
            for drawn in drawn_frames:
                detected, _, _ = drawn
                summary.frames += 1
                summary.objects += len(detected.detections)
                summary.detection_seconds += detected.seconds
                summary.seconds = time.perf_counter() - start
                yield drawn
                bar.update()
        summary.seconds = time.perf_counter() - start
        summary.signal_number = stop.signal_number


def _nothing_done(summary: Summary, reason: str) -> BaseException:
    """The error that says why there is no result at all."""
    return UserError(reason) if summary.signal_number is None else KeyboardInterrupt()


@contextmanager
def _records(
    outputs: Outputs, stem: str, predictor: Predictor, summary: Summary, fps: float = DEFAULT_FPS
) -> Iterator[WriteDetections]:
    """Gives a function that adds a frame's detections to the file and the label files asked for, if any."""
    writers: list[WriteDetections] = []
    with ExitStack() as stack:
        if outputs.export is not None:
            path = summary.files["detections"] = outputs.folder / f"{stem}_detections.{outputs.export}"
            writers.append(stack.enter_context(open_detections_file(path, predictor.class_names)))
        if outputs.labels is not None:
            path = label_path(outputs.folder, stem, outputs.labels)
            summary.files[f"labels ({outputs.labels})"] = path
            writers.append(stack.enter_context(_labels(outputs.labels, path, predictor, summary, fps)))

        def record(frame: Frame, detections: Detections) -> None:
            for write in writers:
                write(frame, detections)

        yield record


@contextmanager
def _labels(kind: str, path: Path, predictor: Predictor, summary: Summary, fps: float) -> Iterator[WriteDetections]:
    """Gives a function that takes a frame's detections, and writes the label files of all at the end."""
    tracks_of = _tracks(predictor.score_threshold, summary) if kind in HOLD_TRACKS else None
    labelled: list[LabelledFrame] = []

    def write(frame: Frame, detections: Detections) -> None:
        index = None if frame.time_s is None else frame.index
        size_wh = frame.image.shape[1], frame.image.shape[0]
        source = frame.source if index is None else Path(frame.source).name
        tracks = None if index is None or tracks_of is None else tracks_of(frame, detections)
        labelled.append(LabelledFrame(source, index, size_wh, detections, tracks))

    yield write
    write_labels(kind, path, labelled, predictor.class_names, fps)


def _tracks(score: float, summary: Summary) -> Callable[[Frame, Detections], list[int] | None]:
    """Gives a function that tells whose each box (of this score at least) of a film's next frame is; None: no scipy."""
    try:
        from yolox_gssam.tracking.motion import CameraMotion
        from yolox_gssam.tracking.tracks import Tracker, TrackOptions
    except ImportError:
        summary.notes.append("labels of films: tracks need scipy (pip install scipy); each box is one of its own")
        return lambda frame, detections: None
    tracker, camera = Tracker(TrackOptions.from_score(score)), CameraMotion()

    def assign(frame: Frame, detections: Detections) -> list[int]:
        tracker.update(detections, frame.time_s or 0.0, camera.shift(frame.image))
        return tracker.assigned

    return assign


def _video_notes(reader: VideoReader, summary: Summary, written: VideoWriter) -> list[str]:
    """What the user should know about a video that was read to its end, and about the file that was written."""
    notes = []
    if not reader.fps_known:
        notes.append(f"{reader.name}: says no frame rate; {reader.fps:g} frames/s were assumed")
    if written.fps != reader.fps:
        notes.append(
            f"{reader.name}: has {reader.fps:.6g} frames/s, which MPEG-4 cannot hold; the result has the nearest rate "
            f"that it can, {written.fps:.6g}"
        )
    if written.no_sound is not None and reader.container.sound:
        notes.append(f"{reader.name}: the result has no sound; {written.no_sound}")
    uninterrupted = summary.signal_number is None
    if uninterrupted and summary.frames == reader.decoded and reader.is_damaged():
        notes.append(
            f"{reader.name}: {reader.decoded} of {reader.claimed_frames} frames could be decoded, the file is cut off "
            "or damaged; all of these were kept"
        )
    if summary.stream_ended:
        notes.append(f"{reader.name}: gave no more frames after {reader.decoded}")
    return notes


def _output_path(path: Path) -> Path:
    """`path`, with .png behind or in place of a suffix that no picture is written in."""
    if path.suffix.lower() in WRITTEN_SUFFIXES:
        return path
    # Behind: an image may lie beside another of its name, as in a.jfif and a.png.
    return path.with_name(f"{path.name}.png") if path.suffix.lower() in IMAGE_SUFFIXES else path.with_suffix(".png")


def _write_image(path: Path, image: NDArray[np.uint8]) -> None:
    done, data = cv2.imencode(path.suffix.lower(), image)
    if not done:
        raise UserError(f"{path}: an image of {image.shape[1]} x {image.shape[0]} cannot be written in this format")
    with atomic_path(path) as part:
        part.write_bytes(data.tobytes())
