"""A set of labelled films, whatever tool labelled them: every N-th frame an image, clips never divided."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.images import encode_jpeg, encode_png
from yolox_gssam.common.progress import progress_bar
from yolox_gssam.common.text import printable, shorten
from yolox_gssam.data.builder import EncodedImage
from yolox_gssam.data.coco_reader import read_json
from yolox_gssam.data.faults import Fault, Report, check_objects
from yolox_gssam.data.formats.cvat_video import is_cvat_video, read_cvat_video
from yolox_gssam.data.formats.film_labels import FilmBox, FilmFinder, FilmLabels
from yolox_gssam.data.formats.film_lists import (
    is_anti_uav,
    is_drone_vs_bird,
    read_anti_uav,
    read_drone_vs_bird,
    read_mot,
    read_svanstrom,
)
from yolox_gssam.data.formats.films import Film, Sampling, film_frames, open_film, without_colour
from yolox_gssam.data.formats.label_studio_video import is_label_studio_video, read_label_studio_video
from yolox_gssam.data.formats.samples import part_of_path
from yolox_gssam.data.labelled import LabelledImage, xywh_to_xyxy

KNOWN = "Drone-vs-Bird, Anti-UAV, MOT, CVAT for video 1.1, Label Studio and Svanström's .mat"
"""What is recognised."""

_Read = Callable[[Path, FilmFinder, Report], list[FilmLabels]]


@dataclass(frozen=True, eq=False)
class Clip:
    """A film and its labels, which fit each other.

    Attributes:
        name: no other film of the set has it.
        frames: the labelled ones, in order.
    """

    name: str
    film: Film
    frames: Sequence[int]
    labels: FilmLabels


def read_clips(
    root: Path, report: Report, names: Sequence[str] = (), origin: int = 1, keep_unlabelled: bool = False
) -> list[Clip]:
    """All labelled films below a folder; shows a progress bar. Label files are recognised by what is in them.

    What labels and films tell differently is reported. Labels of frames that are not there are left out, and whole
    clips whose labels would come to lie on wrong frames.

    Args:
        names, origin: of MOT, see `read_mot`.
        keep_unlabelled: film files without labels are clips without objects, whose label file is the film itself;
            else they are left out.

    Raises:
        UserError: no films to read, two label files of one film, or a film that cannot be read; and whatever `report`
            raises.
    """
    if not root.is_dir():
        raise UserError(f"{printable(root)}: no such folder")
    finder = FilmFinder(root)
    found: list[FilmLabels] = []
    for path in finder.files:
        read = _reader_of(path, finder, names, origin)
        if read is not None:
            found += read(path, finder, report)
    if not found and not keep_unlabelled:
        raise UserError(f"{printable(root)}: no labels of films; known are those of {KNOWN}")
    label_of: dict[Path, Path] = {}
    for labels in found:
        other = label_of.setdefault(labels.film, labels.path)
        if other != labels.path:
            raise UserError(
                f"{printable(labels.path)}: {printable(labels.film)} is also labelled by {printable(other)}"
            )
    films = [film for paths in finder.films.values() for film in paths if film not in label_of]
    bare = sorted(film for film in films if film.is_file())
    if bare:
        fate = "count as showing nothing" if keep_unlabelled else "are left out"
        message = f"{len(bare)} films have no labels and {fate}, such as {printable(bare[0].name)}"
        report(Fault(root, "", message, fatal=False, of_set=True))
    if keep_unlabelled:
        found += [FilmLabels(film, film, None, ()) for film in bare]
    if not found:
        raise UserError(f"{printable(root)}: no films in there; give a folder of films")
    with progress_bar(found, description="films", unit="films") as bar:
        clips = [clip for labels in bar if (clip := _fit(labels, finder.name_of(labels.film), report))]
    if not clips:
        raise UserError(f"{printable(root)}: none of its {len(found)} films can be used")
    return clips


def class_names(clips: Iterable[Clip]) -> tuple[str, ...]:
    """All classes, by alphabet."""
    return tuple(sorted({box.name for clip in clips for box in clip.labels.boxes}))


def clip_records(
    clips: Sequence[Clip], classes: Sequence[str], sampling: Sampling, root: Path, keep_split: bool = False
) -> Iterator[EncodedImage]:
    """Every N-th labelled frame of each clip, named `<clip>_<frame from 0, six digits>`; frames without objects too.

    Boxes of other classes than those asked for are left out. Track ids stay, as `track_id`.

    Args:
        classes: in label order.
        keep_split: a clip's part is that of the folder that is named after one.

    Raises:
        UserError: a frame that cannot be decoded, or a clip whose part cannot be told.
    """
    for clip in clips:
        part = part_of_path(clip.film.path.parent.relative_to(root)) if keep_split else None
        if keep_split and part is None:
            raise UserError(f"{printable(clip.film.path)}: --keep-split needs clips in folders train, val and test")
        by_frame: dict[int, list[FilmBox]] = {}
        for box in clip.labels.boxes:
            if box.name in classes:
                by_frame.setdefault(box.frame, []).append(box)
        for number, image in film_frames(clip.film.path, sampled(clip, sampling)):
            boxes = by_frame.get(number, [])
            height, width = image.shape[:2]
            scale = [width, height, width, height] if clip.labels.fractions else [1, 1, 1, 1]
            boxes_xywh = np.array([box.box for box in boxes], np.float64).reshape(-1, 4) * scale
            labelled = LabelledImage(
                file_name=f"{clip.name}_{number:06d}.{'png' if sampling.png else 'jpg'}",
                width=width,
                height=height,
                boxes_xyxy=xywh_to_xyxy(boxes_xywh),
                labels=np.array([classes.index(box.name) for box in boxes], np.int64),
                group=clip.labels.group or clip.name,
                split=part,
                notes=[_note(box, clip.labels.linked) for box in boxes],
            )
            encoded = encode_png(image) if sampling.png else encode_jpeg(without_colour(image), sampling.jpeg_quality)
            yield labelled, encoded


def sampled(clip: Clip, sampling: Sampling) -> list[int]:
    """The frames of a clip that are taken: every N-th of the labelled ones, but none whose objects are not told."""
    return [frame for frame in clip.frames[sampling.offset :: sampling.stride] if frame not in clip.labels.unclear]


def _note(box: FilmBox, linked: bool) -> dict[str, object]:
    """What an annotation says besides: who it is, and whether a program found that out."""
    if not box.track:
        return {}
    return {"track_id": box.track, **({"track_linked": True} if linked else {})}


def _reader_of(path: Path, finder: FilmFinder, names: Sequence[str], origin: int) -> _Read | None:
    """What reads a file; None: it holds no labels of a film."""
    suffix = path.suffix.lower()
    if suffix == ".mat" and path.stem.endswith("_LABELS"):
        return read_svanstrom
    if suffix == ".xml" and is_cvat_video(path):
        return read_cvat_video
    if path.name == "gt.txt" and path.parent.name == "gt":
        return lambda path, finder, report: read_mot(path, finder, report, names, origin)
    if suffix == ".txt" and path.stem in finder.films and is_drone_vs_bird(path):
        return read_drone_vs_bird
    if suffix == ".json":
        try:
            document = read_json(path)
        except UserError:  # none of ours
            return None
        if is_anti_uav(document):
            return read_anti_uav
        if is_label_studio_video(document):
            return read_label_studio_video
    return None


def _fit(labels: FilmLabels, name: str, report: Report) -> Clip | None:
    """A clip with its labels on the right frames, and a word on what does not agree; None where that cannot be had."""
    film = open_film(labels.film)
    labels = _from_one(labels, film, report)

    def tell(message: str) -> None:
        report(Fault(labels.path, "", message, fatal=False))

    if film.missing:
        tell(f"{len(film.missing)} frames of {printable(film.path)} are not there, such as number {film.missing[0]}")
    if film.path.is_file() and film.claimed and film.claimed != film.count:
        tell(f"{printable(film.path.name)} claims {film.claimed} frames, {film.count} can be decoded; these count")
    if film.rate_varies:
        tell(f"{printable(film.path.name)} has no constant frame rate; frames are told by their number, not by time")
    apart = 0 if labels.stated_count is None else labels.stated_count - film.count
    stated = f"its labels are of {labels.stated_count} frames, {printable(film.path.name)} has {film.count}"
    if labels.needs_count and (abs(apart) > 1 or film.rate_varies):
        tell(f"{stated}, and are told by time: they would be on wrong frames; left out. Label it at its own rate")
        return None
    if apart:
        tell(f"{stated}; those that both have are taken")
    labelled = range(film.count) if labels.frames is None else labels.frames
    frames = [number for number in labelled if number < film.count and number not in film.missing]
    known = set(frames)
    boxes = [box for box in labels.boxes if box.frame in known]
    late = [box.frame for box in labels.boxes if box.frame >= film.count]
    if late:
        tell(f"{len(late)} boxes are on frames after the end of the film, such as frame {late[0]}; left out")
    counts = np.bincount([box.frame for box in boxes] or [0])
    check_objects(int(counts.max()), labels.path, f"frame {counts.argmax()}")
    if not frames:
        tell("none of the labelled frames is in the film; left out")
        return None
    return Clip(name, film, frames, replace(labels, boxes=boxes))


def _from_one(labels: FilmLabels, film: Film, report: Report) -> FilmLabels:
    """The labels counted from 0, where only a count from 1 fits the film's length."""
    if not labels.may_start_at_one or not labels.frames or labels.frames[0] == 0 or labels.frames[-1] != film.count:
        return labels
    message = f"counts frames from 1 to {film.count}, as {shorten(film.path.name)} has them; read so"
    report(Fault(labels.path, "", message, fatal=False))
    frames = [frame - 1 for frame in labels.frames]
    boxes = [replace(box, frame=box.frame - 1) for box in labels.boxes]
    return replace(labels, frames=frames, boxes=boxes, stated_count=film.count)
