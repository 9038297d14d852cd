"""Films labelled in Label Studio, exported as JSON: boxes in percent of the frame, frames counted from 1.

Format: https://labelstud.io/guide/export. The tool works by time: it numbers the frames by a rate of its own, so that a
film of another length than it states would get its labels on wrong frames.
"""

import re
from pathlib import Path, PureWindowsPath
from typing import Any

from yolox_gssam.common.text import is_text, shorten
from yolox_gssam.data.coco_reader import read_json
from yolox_gssam.data.faults import Fault, Report
from yolox_gssam.data.formats.film_labels import FilmBox, FilmFinder, FilmLabels, KeyBox, interpolate

MAX_FRAMES = 10_000_000
_LISTS = ("annotations", "completions", "predictions")  # where a task's labels stand, of hand before those of programs
_UPLOAD = re.compile(r"^[0-9a-f]{8}-")  # what an upload gets before its name


def is_label_studio_video(document: Any) -> bool:
    """Whether a JSON value is an export of tasks with films."""
    tasks = document if isinstance(document, list) else [document]
    return any(isinstance(task, dict) and _source(task) for task in tasks[:100]) and all(
        isinstance(task, dict) and any(key in task for key in _LISTS) for task in tasks[:100]
    )


def read_label_studio_video(path: Path, finder: FilmFinder, report: Report) -> list[FilmLabels]:
    """The labels of each film in an export.

    Raises:
        UserError: no such film; and whatever `report` raises.
    """
    document = read_json(path)
    found = []
    for number, task in enumerate(document if isinstance(document, list) else [document], 1):
        where = f"task {task.get('id', number)}" if isinstance(task, dict) else f"task {number}"
        source = _source(task) if isinstance(task, dict) else None
        if source is None:
            report(Fault(path, where, "has no video; left out", fatal=False))
            continue
        results = _results(path, where, task, report)
        name = PureWindowsPath(source).name
        stem = PureWindowsPath(name).stem
        film = finder.find(path, stem) or finder.require(path, _UPLOAD.sub("", stem))
        boxes: list[FilmBox] = []
        counts: set[int] = set()
        for track, result in enumerate(results, 1):
            boxes += _track(path, f"{where}, region {track}", result, track, counts, report)
        if len(counts) > 1:
            report(Fault(path, where, f"its regions tell different lengths of the film: {sorted(counts)}"))
        stated = max(counts, default=None)
        found.append(FilmLabels(path, film, None, boxes, stated_count=stated, fractions=True, needs_count=True))
    return found


def _source(task: dict[str, Any]) -> str | None:
    """The film of a task: the value of its data that ends as a film does, first of those called video."""
    data = task.get("data")
    fields = data.items() if isinstance(data, dict) else ()
    for _, value in sorted(fields, key=lambda field: not field[0].startswith("video")):
        if is_text(value) and re.search(r"\.(mp4|webm|mov|avi|mkv|ogv|m4v)$", value.lower()):
            return value
    return None


def _results(path: Path, where: str, task: dict[str, Any], report: Report) -> list[dict[str, Any]]:
    """The regions of a task's first annotation that was not skipped."""
    annotations: list[Any] = next((found for key in _LISTS if isinstance(found := task.get(key), list) and found), [])
    kept = [entry for entry in annotations if isinstance(entry, dict) and not entry.get("was_cancelled")]
    if len(kept) > 1:
        report(Fault(path, where, f"has {len(kept)} annotations; the first is taken", fatal=False))
    results = kept[0].get("result") if kept else []
    regions = [entry for entry in results or [] if isinstance(entry, dict)]
    return [entry for entry in regions if entry.get("type") == "videorectangle"]


def _track(
    path: Path, where: str, result: dict[str, Any], number: int, counts: set[int], report: Report
) -> list[FilmBox]:
    """The boxes of one region in every frame that it is seen in, in fractions of the frame."""
    value = result.get("value")
    value = value if isinstance(value, dict) else {}
    labels, sequence = value.get("labels"), value.get("sequence")
    count: Any = value.get("framesCount")
    if not isinstance(labels, list) or not labels or not is_text(labels[0]):
        report(Fault(path, where, "has no label"))
        return []
    if not isinstance(sequence, list) or type(count) not in (int, float) or not 0 < count < MAX_FRAMES:
        report(Fault(path, where, "needs a sequence and framesCount; export it as JSON, not as JSON-MIN"))
        return []
    last = int(count)
    counts.add(last)
    keys: dict[int, KeyBox] = {}
    for entry in sequence:
        key = _key(entry)
        if key is None:
            report(Fault(path, where, f"needs frame, x, y, width and height as finite numbers, not {shorten(entry)}"))
        elif entry.get("rotation") not in (None, 0):
            report(Fault(path, f"{where}, frame {key.frame + 1}", "is rotated; set it upright"))
        else:
            keys[key.frame] = key
    if len(labels) > 1:
        report(Fault(path, where, f"has several labels; {shorten(labels[0])} is taken", fatal=False))
    found = interpolate([keys[frame] for frame in sorted(keys)], last - 1)
    return [FilmBox(frame, box, labels[0], number) for frame, box in sorted(found.items())]


def _key(entry: Any) -> KeyBox | None:
    """One key frame; None for anything else. A box that is disabled is the last one seen."""
    if not isinstance(entry, dict) or type(entry.get("frame")) is not int or not 0 < entry["frame"] < MAX_FRAMES:
        return None
    numbers: list[Any] = [entry.get(key) for key in ("x", "y", "width", "height")]
    if not all(type(number) in (int, float) and -1e6 < number < 1e6 for number in numbers):
        return None
    x, y, width, height = (float(number) / 100 for number in numbers)
    return KeyBox(entry["frame"] - 1, (x, y, width, height), ends=not entry.get("enabled", True))
