"""Tracks drawn in CVAT, exported as "CVAT for video 1.1".

Format: https://docs.cvat.ai/docs/manual/advanced/formats/format-cvat. Boxes are edges in pixels from 0. A frame's
number is that of the film, also where the task begins later or takes every so many frames only.
"""

import re
from pathlib import Path, PureWindowsPath
from xml.etree.ElementTree import Element

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.text import printable, shorten
from yolox_gssam.data.faults import MAX_OBJECTS, Fault, Report
from yolox_gssam.data.formats.film_labels import FilmBox, FilmFinder, FilmLabels, KeyBox, interpolate
from yolox_gssam.data.formats.samples import read_xml, xml_number

MAX_XML_BYTES = 2**28
"""Largest export that is read: some millions of boxes."""
MAX_FRAMES = 10_000_000


def is_cvat_video(path: Path) -> bool:
    """Whether an XML file is an export of CVAT's for video."""
    with path.open("rb") as stream:
        head = stream.read(2**16)
    return b"<annotations" in head and (b"<track" in head or b"<mode>interpolation" in head)


def read_cvat_video(path: Path, finder: FilmFinder, report: Report) -> list[FilmLabels]:
    """The labels of the film that an export speaks of.

    Raises:
        UserError: not such a file, no such film, or a frame that its steps do not reach; and whatever `report` raises.
    """
    tree = read_xml(path, MAX_XML_BYTES)
    film = _film(path, tree, finder)
    frames = _frames(path, tree)
    boxes: list[FilmBox] = []
    for number, track in enumerate(tree.findall("track"), 1):
        boxes += _track(path, track, number, frames, report)
    return [FilmLabels(path, film, frames, boxes)]


def _film(path: Path, tree: Element, finder: FilmFinder) -> Path:
    """The film: called as <source> says, or as the file, or the only one beside it."""
    source = (tree.findtext("meta/source") or tree.findtext("meta/task/source") or "").strip()
    for stem in filter(None, (PureWindowsPath(source).stem, path.stem)):
        film = finder.find(path, stem)
        if film is not None:
            return film
    near = [film for films in finder.films.values() for film in films if path.parent in film.parents]
    if len(near) == 1:
        return near[0]
    said = f"its <source> is {shorten(source)}" if source else "it has no <source>"
    raise UserError(
        f"{printable(path)}: {said}, and no film of this name or its own lies below {printable(finder.root)}"
    )


def _frames(path: Path, tree: Element) -> range | None:
    """The frames that were labelled, of the task or of the job; None where the file does not say."""
    meta = next((found for kind in ("task", "job") if (found := tree.find(f"meta/{kind}")) is not None), None)
    size = _whole(meta.findtext("size")) if meta is not None else None
    if meta is None or not size:
        return None
    start = _whole(meta.findtext("start_frame")) or 0
    stated_step = re.search(r"step\s*=\s*([0-9]{1,6})", meta.findtext("frame_filter") or "")
    step = int(stated_step[1]) if stated_step else 1
    segments = [
        (_whole(segment.findtext("start")), _whole(segment.findtext("stop")))
        for segment in meta.findall("segments/segment")
    ]
    first, last = 0, size - 1
    if segments and all(one is not None and other is not None for one, other in segments):
        first, last = min(one or 0 for one, _ in segments), max(other or 0 for _, other in segments)
    if not 0 <= first <= last < MAX_FRAMES or step < 1:
        raise UserError(f"{printable(path)}: <meta> tells no sensible range of frames ({first} to {last}, step {step})")
    return range(start + first * step, start + last * step + 1, step)


def _track(path: Path, track: Element, number: int, frames: range | None, report: Report) -> list[FilmBox]:
    """The boxes of one track in every labelled frame."""
    where, name = f"track {track.get('id', number)}", (track.get("label") or "").strip()
    if not name:
        report(Fault(path, where, "has no label"))
        return []
    others = sorted({element.tag for element in track} - {"box", "attribute"})
    if others:
        report(Fault(path, where, f"holds {', '.join(others)}; only boxes are read: make rectangles of them in CVAT"))
        return []
    keys: dict[int, KeyBox] = {}
    for element in track.findall("box"):
        key = _key(path, where, element, frames, report)
        if key is not None:
            keys[key.frame] = key
    ordered = [keys[frame] for frame in sorted(keys)]
    if not ordered:
        return []
    last, step = (frames[-1], frames.step) if frames else (ordered[-1].frame, 1)
    found = interpolate(ordered, last, step)
    if len(found) > MAX_FRAMES or number > MAX_OBJECTS:
        raise UserError(f"{printable(path)}: {where}: too many boxes")
    return [FilmBox(frame, box, name, number) for frame, box in sorted(found.items())]


def _key(path: Path, where: str, element: Element, frames: range | None, report: Report) -> KeyBox | None:
    """One <box>; None where it is faulty, which is reported."""
    frame = _whole(element.get("frame"))
    corners = [xml_number(element.get(key)) for key in ("xtl", "ytl", "xbr", "ybr")]
    if frame is None or frame >= MAX_FRAMES or any(corner is None for corner in corners):
        report(Fault(path, where, "a box needs a frame and the finite numbers xtl, ytl, xbr, ybr"))
        return None
    here = f"{where}, frame {frame}"
    if xml_number(element.get("rotation", "0")) != 0:
        report(Fault(path, here, f"is rotated by {element.get('rotation')} degrees; set it upright in CVAT"))
        return None
    if frames is not None and frame not in frames and not (frame > frames[-1] and element.get("outside") == "1"):
        steps = f"{frames.start} to {frames[-1]} in steps of {frames.step}"
        raise UserError(f"{printable(path)}: {here}: is not among the labelled frames, {steps}; export it anew")
    left, top, right, bottom = (corner or 0.0 for corner in corners)
    return KeyBox(frame, (left, top, right - left, bottom - top), hidden=element.get("outside") == "1")


def _whole(text: str | None) -> int | None:
    """A whole number from 0; None for anything else."""
    return int(text) if text is not None and re.fullmatch(r"\s*[0-9]{1,9}\s*", text) else None
