"""A user's own set in YOLO's format: a text file an image, a line an object, in fractions of the image.

Format: https://docs.ultralytics.com/datasets/detect, with a data.yaml or as plain folders images/ and labels/.
"""

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from yolox_gssam.data.faults import MAX_OBJECTS, TOO_MANY_OBJECTS, Fault, Report, is_text, one_line, printable, shorten
from yolox_gssam.data.formats.samples import LabelledSet, Sample, find_images, read_text
from yolox_gssam.data.paths import is_inside, name_fault, require_inside
from yolox_gssam.data.split import PARTS
from yolox_gssam.errors import UserError

MAX_OVERHANG = 0.01
"""A coordinate may leave 0..1 by so much: rounding. More means that it is not a fraction of the image."""
MAX_YAML_BYTES = 2**17
"""A data.yaml of a thousand classes has a third of it."""
MAX_LIST_BYTES = 2**26
"""Largest text file of image paths: a million of them."""


def read_yolo_set(
    source: Path,
    *,
    report: Report,
    root: Path | None = None,
    classes: Sequence[str] = (),
    keep_split: bool = False,
) -> LabelledSet:
    """Reads a set. The classes keep the order of `names` in data.yaml, of classes.txt, or of `classes`.

    An image without a label file, or with an empty one, has no objects. A line of a polygon counts as its outer box.

    Args:
        source: a data.yaml, a folder that holds one, or a folder with images/ and labels/ (or both in one folder).
        root: the folder that the paths in data.yaml start from and must not leave; None: where data.yaml says,
            but inside its own folder.
        keep_split: the parts of data.yaml are kept.

    Raises:
        UserError: no such set, no class names, a path that leaves the set, or no label file at all.
    """
    yaml_path = _yaml_path(source)
    if yaml_path is None:
        if keep_split:
            raise UserError(f"{printable(source)}: --keep-split needs a data.yaml that names the parts")
        root, names = source, tuple(classes) or _names_of_file(source)
        folder = source / "images"
        images = [("", path) for path in find_images(require_inside(folder, root) if folder.is_dir() else source)]
    else:
        if classes:
            raise UserError(f"{printable(yaml_path)}: names the classes itself; leave out --classes")
        settings = _settings(yaml_path)
        names = _names(settings.get("names"), yaml_path)
        start = _start(settings, yaml_path, root)
        root = root or yaml_path.parent
        images = _images_of_parts(settings, yaml_path, start, root)
        if not keep_split:
            report(Fault(yaml_path, "", "its parts are split anew; --keep-split keeps them", fatal=False))
    samples = [_read_sample(path, root, len(names), part if keep_split else None, report) for part, path in images]
    _report_unmatched([sample.path for sample in samples], root, report)
    return LabelledSet(names, samples)


def label_path(image_path: Path, root: Path) -> Path:
    """The label file of an image: the last folder "images" between `root` and it becomes "labels", the suffix .txt."""
    parts = list(image_path.relative_to(root).parts)
    for index in range(len(parts) - 2, -1, -1):
        if parts[index] == "images":
            parts[index] = "labels"
            break
    return root.joinpath(*parts).with_suffix(".txt")


def read_label_file(path: Path, num_classes: int, report: Report) -> tuple[list[list[float]], list[int]]:
    """Boxes [x, y, width, height] with their left upper corner, in fractions of the image, and the labels.

    Raises:
        UserError: the file cannot be read; and whatever `report` raises.
    """
    boxes: list[list[float]] = []
    labels: list[int] = []
    lines = [(number, line) for number, line in enumerate(read_text(path).splitlines(), 1) if line.strip()]
    if len(lines) > MAX_OBJECTS:
        raise UserError(str(Fault(path, "", TOO_MANY_OBJECTS)))
    for number, line in lines:
        words = line.split()
        box, problem = _parse_line(words, num_classes)
        if problem:
            report(Fault(path, f"line {number}", problem))
        elif box[2] <= 0 or box[3] <= 0:
            report(Fault(path, f"line {number}", "the box has no area", fatal=False))
        else:
            boxes.append(box)
            labels.append(int(float(words[0])))
    return boxes, labels


def _parse_line(words: Sequence[str], num_classes: int) -> tuple[list[float], str | None]:
    """The box of one line and what is wrong with the line."""
    try:
        label, *numbers = (float(word) for word in words)
    except ValueError:
        return [], f"must hold numbers only, not {shorten(' '.join(words))}"
    if not (0 <= label < num_classes and label == int(label)):
        return [], f"class {shorten(words[0])} is not one of 0 to {num_classes - 1}"
    if len(numbers) != 4 and (len(numbers) < 6 or len(numbers) % 2):
        return [], f"must hold a class and x y width height (or a polygon), not {len(numbers)} numbers after the class"
    if not all(-MAX_OVERHANG <= number <= 1 + MAX_OVERHANG for number in numbers):
        return [], f"must hold fractions of the image from 0 to 1, not {shorten(' '.join(words[1:]))}"
    if len(numbers) == 4:
        x, y, width, height = numbers
        return [x - width / 2, y - height / 2, width, height], None
    left, top = min(numbers[::2]), min(numbers[1::2])
    return [left, top, max(numbers[::2]) - left, max(numbers[1::2]) - top], None


def _read_sample(path: Path, root: Path, num_classes: int, part: str | None, report: Report) -> Sample:
    """One image and its label file."""
    require_inside(path, root)
    labelled = label_path(path, root)
    boxes: list[list[float]] = []
    labels: list[int] = []
    if os.path.exists(labelled):  # false, unlike Path.exists, for a name too long for the system
        boxes, labels = read_label_file(require_inside(labelled, root), num_classes, report)
    inner = path.relative_to(root).parts
    file_name = "/".join(inner[1:] if inner[0] == "images" else inner)
    return Sample(path, file_name, np.array(boxes, np.float64).reshape(-1, 4), labels, fractions=True, part=part)


def _report_unmatched(images: Sequence[Path], root: Path, report: Report) -> None:
    """Tells of images without a label file and of label files without an image; refuses a set without any labels."""
    expected = {label_path(path, root): path for path in images}
    missing = [path for path in expected if not os.path.exists(path)]
    if images and len(missing) == len(expected):
        raise UserError(
            f"{printable(root)}: no image has a label file; looked for {printable(missing[0])} and the like"
        )
    if missing:
        message = f"{len(missing)} images have no label file and count as images without objects"
        report(Fault(root, "", f"{message}, such as {printable(expected[missing[0]].name)}", fatal=False))
    for folder in sorted({path.parent for path in expected}):
        for path in sorted(folder.glob("*.txt")):
            if path not in expected and path.name != "classes.txt":
                report(Fault(path, "", "label file without an image; left out", fatal=False))


def _yaml_path(source: Path) -> Path | None:
    """The set's data.yaml; None for plain folders."""
    if source.is_file():
        return source
    if not source.is_dir():
        raise UserError(f"{printable(source)}: no such file or folder")
    found = sorted(path for suffix in ("yaml", "yml") for path in source.glob(f"*.{suffix}"))
    named_data = [path for path in found if path.stem == "data"]
    if len(found) > 1 and len(named_data) != 1:
        raise UserError(f"{printable(source)}: holds several YAML files; name the right one")
    return next(iter(named_data or found), None)


class _YamlLoader(yaml.SafeLoader):
    """Plain values only, and no merge keys: a file of a kilobyte can make them copy each other without end."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        if any(key.tag == "tag:yaml.org,2002:merge" for key, _ in node.value):
            raise yaml.constructor.ConstructorError(None, None, "merge keys (<<) are not read", node.start_mark)


def _settings(path: Path) -> Mapping[str, Any]:
    """The content of a data.yaml."""
    text = read_text(path, MAX_YAML_BYTES)
    try:
        # Not the loader in C: it is faster, but a deeply nested file overruns its stack and ends the process.
        settings = yaml.load(text, _YamlLoader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise UserError(f"{printable(path)}: not YAML: {one_line(error)}") from error
    except (LookupError, AttributeError, TypeError) as error:  # PyYAML's own answers to such a value
        raise UserError(f"{printable(path)}: not YAML: a value does not fit its tag, as in '!!bool 7'") from error
    if not isinstance(settings, dict):
        raise UserError(f"{printable(path)}: must hold names, train and val")
    return settings


def _names(names: object, path: Path) -> tuple[str, ...]:
    """Class names in label order, of a list or of a mapping from 0, 1, 2 on."""
    if isinstance(names, dict):
        if set(names) != set(range(len(names))):
            raise UserError(
                f"{printable(path)}: the keys of names must be 0, 1, 2 and so on, not {shorten(list(names))}"
            )
        names = [names[label] for label in range(len(names))]
    if not isinstance(names, list) or not names or not all(isinstance(name, int) or is_text(name) for name in names):
        raise UserError(f"{printable(path)}: names must list the class names, not {shorten(names)}")
    return tuple(str(name) for name in names)


def _names_of_file(folder: Path) -> tuple[str, ...]:
    """Class names of the classes.txt that labelling tools leave among plain folders."""
    for path in (folder / "classes.txt", folder / "labels" / "classes.txt"):
        if path.is_file():
            text = read_text(require_inside(path, folder), MAX_YAML_BYTES)
            return tuple(filter(None, (line.strip() for line in text.splitlines())))
    raise UserError(
        f"{printable(folder)}: no data.yaml and no classes.txt; give the class names in label order by --classes"
    )


def _start(settings: Mapping[str, Any], path: Path, root: Path | None) -> Path:
    """The folder that the paths of train, val and test start from."""
    base = settings.get("path") or "."
    if root is not None:
        return root
    if not isinstance(base, str):
        raise UserError(f"{printable(path)}: path must be text, not {shorten(base)}")
    start = path.parent / base
    if not is_inside(start, path.parent):
        raise UserError(
            f"{printable(path)}: path {shorten(base)} leaves the folder of the file; tell the set's folder by --root"
        )
    return start


def _images_of_parts(settings: Mapping[str, Any], path: Path, start: Path, root: Path) -> list[tuple[str, Path]]:
    """Part and path of each image that a data.yaml names."""
    part_of: dict[Path, str] = {}
    for part in PARTS:
        places = settings.get(part) or []
        for place in places if isinstance(places, list) else [places]:
            for image in _images_of_place(place, start, root, path):
                if image in part_of:
                    where = f"{printable(path)}: {part}: {shorten(place)}"
                    raise UserError(f"{where} names {printable(image)} again; each image belongs to one entry")
                part_of[image] = part
    if not part_of:
        raise UserError(f"{printable(path)}: names no images under train, val or test")
    return [(part, image) for image, part in part_of.items()]


def _images_of_place(place: object, start: Path, root: Path, path: Path) -> list[Path]:
    """The images of one entry, below `root`: a folder, or a text file of image paths."""
    if not isinstance(place, str) or not place:
        raise UserError(f"{printable(path)}: an entry of train, val or test must be a path, not {shorten(place)}")
    # Some exporters write ../train/images for a folder beside data.yaml; Ultralytics reads it so too.
    candidates = [_below(start / place, root), _below(start / place.removeprefix("../"), root)]
    found = next((candidate for candidate in candidates if candidate and os.path.exists(candidate)), None)
    if found is None:
        where = f"{printable(path)}: {shorten(place)}"
        raise UserError(f"{where} is not there or leaves {printable(root)}; tell the set's folder by --root")
    if require_inside(found, root).is_dir():
        return find_images(found)
    images: dict[Path, None] = {}
    for number, line in enumerate(io.StringIO(read_text(found, MAX_LIST_BYTES)), 1):
        if line.strip():
            image = _below((found.parent if line.startswith("./") else start) / line.strip(), root)
            where = f"{printable(found)}: line {number}: {shorten(line.strip())}"
            if image is None:
                raise UserError(f"{where} leaves {printable(root)}")
            if image in images or not os.path.isfile(image):  # told here, so that a list without end is not read on
                raise UserError(f"{where} is {'listed twice' if image in images else 'no image file'}")
            images[image] = None
    return list(images)


def _below(path: Path, root: Path) -> Path | None:
    """The same path, written as one that starts with `root`; None where it leaves it."""
    relative = os.path.relpath(path, root)
    return None if name_fault(relative) and relative != "." else root / relative
