"""Detections as JSON or CSV, written as they come, so that hours of video need no memory."""

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from yolox_gssam.common.files import atomic_path
from yolox_gssam.detections import Detections
from yolox_gssam.inference.frames import Frame

CSV_COLUMNS = ("source", "frame", "time_s", "class", "score", "x", "y", "width", "height")

WriteDetections = Callable[[Frame, Detections], None]


@contextmanager
def open_detections_file(path: Path, class_names: Sequence[str]) -> Iterator[WriteDetections]:
    """Gives a function that adds a frame's detections to `path`, a .json or .csv file that appears, whole, at the end.

    JSON holds "class_names" and "frames", a record each, also for frames without objects; CSV holds a row an object.
    x, y (top left), width and height are pixels of the original image, to a thousandth, not clipped to it; scores have
    five decimals; time_s is null or empty for images.

    Raises:
        UserError: the file could not be written.
        ValueError: another suffix.
    """
    if path.suffix not in (".json", ".csv"):
        raise ValueError(f"detections are written as .json or .csv, not as {path.name}")
    with atomic_path(path) as part, part.open("w", encoding="utf-8", newline="") as stream:
        if path.suffix == ".csv":
            yield _csv_writer(stream)
        else:
            stream.write(f'{{"class_names": {json.dumps(list(class_names), ensure_ascii=False)},\n"frames": [')
            yield _json_writer(stream, class_names)
            stream.write("\n]}\n")


def _csv_writer(stream: TextIO) -> WriteDetections:
    rows = csv.writer(stream, lineterminator="\n")
    rows.writerow(CSV_COLUMNS)

    def write(frame: Frame, detections: Detections) -> None:
        time_s = "" if frame.time_s is None else round(frame.time_s, 3)
        rows.writerows((frame.source, frame.index, time_s, *record.values()) for record in detections.to_dicts())

    return write


def _json_writer(stream: TextIO, class_names: Sequence[str]) -> WriteDetections:
    separator = "\n"

    def write(frame: Frame, detections: Detections) -> None:
        nonlocal separator
        record = {
            "source": frame.source,
            "frame": frame.index,
            "time_s": None if frame.time_s is None else round(frame.time_s, 3),
            "width": frame.image.shape[1],
            "height": frame.image.shape[0],
            "detections": detections.to_dicts(),
        }
        stream.write(separator + json.dumps(record, ensure_ascii=False, allow_nan=False))
        separator = ",\n"

    return write
