"""Detections as label files of other tools, to be corrected there and trained on.

Which convention each writer follows stands in `CONVENTIONS`. What they write, `prepare_dataset.py` reads again.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from xml.sax.saxutils import escape, quoteattr

from yolox_gssam.common.files import write_text
from yolox_gssam.detections import Detections

CONVENTIONS = {
    "cvat": "CVAT for video 1.1 (films) or for images 1.1: edges in pixels from 0, frames from 0",
    "yolo": "a text file an image: centre and size as fractions of it; and classes.txt",
    "coco": "x, y, width, height in pixels from 0; a film's frames as <film>_<frame from 0>.jpg",
    "labelstudio": "percent of the frame; a film's frames from 1; predictions to import into a project",
    "voc": "an XML file an image: edges in pixels from 0, as labelImg writes them (database Unspecified)",
}
"""What each kind of label file counts."""
HOLD_TRACKS = frozenset({"cvat", "coco", "labelstudio"})
"""The kinds that say which boxes of a film show one thing."""
DECIMALS = 3


@dataclass(frozen=True, eq=False)
class LabelledFrame:
    """What was found in an image or in a frame of a film.

    Attributes:
        source: the image's name below its folder, or the film's name.
        index: number of the frame from 0; None: an image.
        size_wh: in pixels.
        tracks: (n,) whose box each is, from 1; None: not told.
    """

    source: str
    index: int | None
    size_wh: tuple[int, int]
    detections: Detections
    tracks: Sequence[int] | None = None

    @property
    def name(self) -> str:
        """The image's name, or that of the frame as `prepare_dataset.py video` calls it."""
        return self.source if self.index is None else f"{Path(self.source).stem}_{self.index:06d}.jpg"


def label_path(folder: Path, stem: str, kind: str) -> Path:
    """Where the labels of a kind go: `<stem>_labels.json` or .xml, or a folder `<stem>_labels`.

    Raises:
        ValueError: the kind is none of `CONVENTIONS`.
    """
    if kind not in CONVENTIONS:
        raise ValueError(f"labels are written as {', '.join(CONVENTIONS)}, not as {kind!r}")
    suffix = {"cvat": ".xml", "coco": ".json", "labelstudio": ".json"}.get(kind, "")
    return folder / f"{stem}_labels{suffix}"


def write_labels(
    kind: str, path: Path, frames: Sequence[LabelledFrame], class_names: Sequence[str], fps: float = 25.0
) -> None:
    """Writes the labels of images, or of the frames of one film, those without objects too.

    Args:
        kind, path: as `label_path` has them.
        fps: of a film, frames a second.

    Raises:
        UserError: the files could not be written.
    """
    if kind == "labelstudio":
        _write_label_studio(path, frames, class_names, fps)
    else:
        _WRITERS[kind](path, frames, class_names)


def _rows(frame: LabelledFrame) -> list[tuple[str, int, float, list[float]]]:
    """Label, track, score and [x1, y1, x2, y2] inside the image of each object that has an area there."""
    width, height = frame.size_wh
    rows = []
    found = frame.detections
    tracks = frame.tracks or [0] * len(found)
    for (left, top, right, bottom), score, label, track in zip(
        found.boxes_xyxy.astype(float), found.scores, found.labels, tracks, strict=True
    ):
        corners = [max(left, 0.0), max(top, 0.0), min(right, width), min(bottom, height)]
        box = [round(float(number), DECIMALS) for number in corners]
        if box[2] > box[0] and box[3] > box[1]:
            rows.append((str(int(label)), int(track), round(float(score), 5), box))
    return rows


def _write_coco(path: Path, frames: Sequence[LabelledFrame], names: Sequence[str]) -> None:
    """One JSON file; `score` stays in each annotation, as in COCO's results, and `track_id` where there is one."""
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for number, frame in enumerate(frames, 1):
        width, height = frame.size_wh
        images.append({"id": number, "file_name": frame.name, "width": width, "height": height})
        for label, track, score, (left, top, right, bottom) in _rows(frame):
            box = [left, top, round(right - left, DECIMALS), round(bottom - top, DECIMALS)]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": int(label) + 1,
                    "bbox": box,
                    "area": round(box[2] * box[3], DECIMALS),
                    "iscrowd": 0,
                    "score": score,
                    **({"track_id": track} if track else {}),
                }
            )
    categories = [{"id": number, "name": name} for number, name in enumerate(names, 1)]
    document = {"images": images, "annotations": annotations, "categories": categories}
    write_text(path, json.dumps(document, ensure_ascii=False))


def _write_yolo(path: Path, frames: Sequence[LabelledFrame], names: Sequence[str]) -> None:
    """labels/<image>.txt and classes.txt, to lie beside images/."""
    for frame in frames:
        width, height = frame.size_wh
        lines = [
            f"{label} {(x1 + x2) / 2 / width:.8f} {(y1 + y2) / 2 / height:.8f} "
            f"{(x2 - x1) / width:.8f} {(y2 - y1) / height:.8f}"
            for label, _, _, (x1, y1, x2, y2) in _rows(frame)
        ]
        write_text(
            path / "labels" / PurePosixPath(frame.name).with_suffix(".txt"), "".join(f"{line}\n" for line in lines)
        )
    write_text(path / "classes.txt", "".join(f"{name}\n" for name in names))


def _write_voc(path: Path, frames: Sequence[LabelledFrame], names: Sequence[str]) -> None:
    """Annotations/<image>.xml, to lie beside JPEGImages/ or images/."""
    for frame in frames:
        width, height = frame.size_wh
        objects = "".join(
            f"<object><name>{escape(names[int(label)])}</name><pose>Unspecified</pose>"
            f"<truncated>0</truncated><difficult>0</difficult><bndbox><xmin>{x1:g}</xmin><ymin>{y1:g}</ymin>"
            f"<xmax>{x2:g}</xmax><ymax>{y2:g}</ymax></bndbox></object>\n"
            for label, _, _, (x1, y1, x2, y2) in _rows(frame)
        )
        text = (
            f"<annotation>\n<filename>{escape(PurePosixPath(frame.name).name)}</filename>\n"
            "<source><database>Unspecified</database></source>\n"
            f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>\n"
            f"<segmented>0</segmented>\n{objects}</annotation>\n"
        )
        write_text(path / "Annotations" / PurePosixPath(frame.name).with_suffix(".xml"), text)


def _write_cvat(path: Path, frames: Sequence[LabelledFrame], names: Sequence[str]) -> None:
    """One XML file: tracks of a film, each box a key frame and `outside` where the object is gone; else images."""
    is_film = any(frame.index is not None for frame in frames)
    labels = "".join(f"<label><name>{escape(name)}</name></label>" for name in names)
    size = 1 + max((frame.index or 0 for frame in frames), default=-1) if is_film else len(frames)
    mode = "interpolation" if is_film else "annotation"
    source = escape(frames[0].source) if is_film else ""
    head = (
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n<meta><task>'
        f"<size>{size}</size><mode>{mode}</mode><start_frame>0</start_frame><stop_frame>{max(size - 1, 0)}</stop_frame>"
        f"<frame_filter></frame_filter><labels>{labels}</labels></task><source>{source}</source></meta>\n"
    )
    body = _cvat_tracks(frames, names, size) if is_film else _cvat_images(frames, names)
    write_text(path, f"{head}{body}</annotations>\n")


def _cvat_corners(box: Sequence[float]) -> str:
    x1, y1, x2, y2 = box
    return f'xtl="{x1:.3f}" ytl="{y1:.3f}" xbr="{x2:.3f}" ybr="{y2:.3f}"'


@dataclass
class _FilmObject:
    """One thing in a film.

    Attributes:
        boxes: its frames' numbers from 0, sizes in pixels, and boxes, in order.
        votes: label -> sum of the scores of its boxes of that class.
    """

    boxes: list[tuple[int, tuple[int, int], list[float]]] = field(default_factory=list)
    votes: dict[str, float] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Other tools know one class for a track: the one that most of its scores are for."""
        return max(self.votes, key=self.votes.__getitem__)


def _film_objects(frames: Sequence[LabelledFrame]) -> list[_FilmObject]:
    """A film's objects in order of their first frames; a box without a track is one of its own."""
    objects: dict[int, _FilmObject] = {}
    single = 0
    for frame in frames:
        for label, track, score, box in _rows(frame):
            single -= not track
            one = objects.setdefault(track or single, _FilmObject())
            one.boxes.append((frame.index or 0, frame.size_wh, box))
            one.votes[label] = one.votes.get(label, 0.0) + score
    return list(objects.values())


def _cvat_tracks(frames: Sequence[LabelledFrame], names: Sequence[str], size: int) -> str:
    tracks = []
    for number, one in enumerate(_film_objects(frames)):
        lines = []
        for place, (index, _, box) in enumerate(one.boxes):
            lines.append(_cvat_box(index, box, outside=0))
            following = one.boxes[place + 1][0] if place + 1 < len(one.boxes) else size
            if index + 1 < following:
                lines.append(_cvat_box(index + 1, box, outside=1))
        name = quoteattr(names[int(one.label)])
        tracks.append(f'<track id="{number}" label={name} source="auto">\n{"".join(lines)}</track>\n')
    return "".join(tracks)


def _cvat_box(frame: int, box: Sequence[float], outside: int) -> str:
    return (
        f'<box frame="{frame}" {_cvat_corners(box)} outside="{outside}" occluded="0" keyframe="1" z_order="0"></box>\n'
    )


def _cvat_images(frames: Sequence[LabelledFrame], names: Sequence[str]) -> str:
    images = []
    for number, frame in enumerate(frames):
        boxes = "".join(
            f'<box label={quoteattr(names[int(label)])} source="auto" occluded="0" {_cvat_corners(box)} '
            'z_order="0"></box>\n'
            for label, _, _, box in _rows(frame)
        )
        width, height = frame.size_wh
        images.append(
            f'<image id="{number}" name={quoteattr(frame.name)} width="{width}" height="{height}">\n{boxes}</image>\n'
        )
    return "".join(images)


def _write_label_studio(path: Path, frames: Sequence[LabelledFrame], names: Sequence[str], fps: float) -> None:
    """Tasks with a prediction each: of a film one, with a region for each track; else one for each image."""
    is_film = any(frame.index is not None for frame in frames)
    tasks = [_film_task(frames, names, fps)] if is_film else [_image_task(frame, names) for frame in frames]
    write_text(path, json.dumps(tasks, ensure_ascii=False))


def _percent(box: Sequence[float], size_wh: tuple[int, int]) -> dict[str, object]:
    x1, y1, x2, y2 = box
    width, height = size_wh
    return {
        "x": 100 * x1 / width,
        "y": 100 * y1 / height,
        "width": 100 * (x2 - x1) / width,
        "height": 100 * (y2 - y1) / height,
        "rotation": 0,
    }


def _film_task(frames: Sequence[LabelledFrame], names: Sequence[str], fps: float) -> dict[str, object]:
    """The task of a film; frames count from 1, and a box that is not enabled is the last one of its object."""
    count = 1 + max(frame.index or 0 for frame in frames)
    regions = []
    for number, one in enumerate(_film_objects(frames)):
        numbers = [index + 1 for index, _, _ in one.boxes]
        sequence = [
            {"frame": frame, "enabled": frame + 1 == following, "time": frame / fps, **_percent(box, size_wh)}
            for frame, following, (_, size_wh, box) in zip(numbers, [*numbers[1:], 0], one.boxes, strict=True)
        ]
        value = {
            "framesCount": count,
            "duration": count / fps,
            "sequence": sequence,
            "labels": [names[int(one.label)]],
        }
        region = {"id": f"r{number}", "type": "videorectangle", "from_name": "box", "to_name": "video", "value": value}
        regions.append(region)
    data = {"video": frames[0].source}
    return {"data": data, "predictions": [{"model_version": "yolox_gssam", "result": regions}]}


def _image_task(frame: LabelledFrame, names: Sequence[str]) -> dict[str, object]:
    width, height = frame.size_wh
    regions = [
        {
            "id": f"r{number}",
            "type": "rectanglelabels",
            "from_name": "label",
            "to_name": "image",
            "original_width": width,
            "original_height": height,
            "score": score,
            "value": {**_percent(box, frame.size_wh), "rectanglelabels": [names[int(label)]]},
        }
        for number, (label, _, score, box) in enumerate(_rows(frame))
    ]
    return {"data": {"image": frame.name}, "predictions": [{"model_version": "yolox_gssam", "result": regions}]}


_WRITERS = {"cvat": _write_cvat, "yolo": _write_yolo, "coco": _write_coco, "voc": _write_voc}
