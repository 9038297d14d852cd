"""The data.yaml of a set in YOLO's format: its classes, its key points and where its images lie."""

import io
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.text import is_text, one_line, printable, shorten
from yolox_gssam.data.faults import Fault, Report
from yolox_gssam.data.formats.samples import find_images, read_text
from yolox_gssam.data.paths import find_end, is_inside, name_fault
from yolox_gssam.data.split import SPLITS

MAX_YAML_BYTES = 2**17
"""A data.yaml of a thousand classes has a third of it."""
MAX_LIST_BYTES = 2**26
"""Largest text file of image paths: a million of them."""


def read_data_yaml(
    path: Path, root: Path | None, report: Report
) -> tuple[tuple[str, ...], int | None, list[tuple[str, Path]]]:
    """Reads a data.yaml and finds the images that it names, below `root` or, without one, below its own folder.

    A val or test that is not there is left out and reported. Where a path is one of another machine and its end lies
    below that folder, this is taken and reported.

    Returns:
        The class names in label order, how many numbers of key points a line holds (None: it has no kpt_shape), and
        part and path of each image.

    Raises:
        UserError: not such a file, no class names, images that are not there, or a path that leaves the folder.
    """
    settings = _settings(path)
    names = _names(settings.get("names"), path)
    kpt_numbers = _kpt_numbers(settings.get("kpt_shape"), path)
    return names, kpt_numbers, _Places(path, settings, root, report).images()


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
    """Class names in label order, of a list or of a mapping from 0, 1, 2 on, in quotes or not."""
    if isinstance(names, dict):
        by_label = {_label(key): name for key, name in names.items()}
        if len(by_label) < len(names) or set(by_label) != set(range(len(names))):
            raise UserError(
                f"{printable(path)}: the keys of names must be 0, 1, 2 and so on, not {shorten(list(names))}"
            )
        names = [by_label[label] for label in range(len(names))]
    if not isinstance(names, list) or not names or not all(isinstance(name, int) or is_text(name) for name in names):
        raise UserError(f"{printable(path)}: names must list the class names, not {shorten(names)}")
    return tuple(str(name) for name in names)


def _label(key: object) -> object:
    """The number of a class, also where it stands in quotes."""
    return int(key) if isinstance(key, str) and re.fullmatch("[0-9]{1,9}", key.strip()) else key


def _kpt_numbers(shape: object, path: Path) -> int | None:
    """How many numbers of key points a line holds by kpt_shape."""
    if shape is None:
        return None
    if not (
        isinstance(shape, list)
        and len(shape) == 2
        and all(type(number) is int for number in shape)
        and 0 < shape[0] <= 10_000
        and shape[1] in (2, 3)
    ):
        message = f"kpt_shape must be [number of key points, 2 or 3], not {shorten(shape)}"
        raise UserError(f"{printable(path)}: {message}")
    return int(shape[0] * shape[1])


class _Places:
    """Looks for the images of each part."""

    def __init__(self, path: Path, settings: Mapping[str, Any], root: Path | None, report: Report) -> None:
        self.path = path
        self.settings = settings
        self.report = report
        self.root = root or path.parent
        base = settings.get("path") or "."
        if not isinstance(base, str) and root is None:
            raise UserError(f"{printable(path)}: path must be text, not {shorten(base)}")
        self.base = "." if root else str(base)
        self.start = self.root / self.base
        self.start_is_inside = is_inside(self.start, self.root)
        if not self.start_is_inside and os.path.exists(self.start):
            raise UserError(self._leaves())

    def images(self) -> list[tuple[str, Path]]:
        """Part and path of each image."""
        part_of: dict[Path, str] = {}
        for part in SPLITS:
            places = self.settings.get(part) or []
            for place in places if isinstance(places, list) else [places]:
                for image in self._images_of(part, place):
                    if image in part_of:
                        where = f"{printable(self.path)}: {part}: {shorten(place)}"
                        raise UserError(f"{where} names {printable(image)} again; each image belongs to one entry")
                    part_of[image] = part
        if not part_of:
            raise UserError(f"{printable(self.path)}: names no images under train, val or test")
        return [(part, image) for image, part in part_of.items()]

    def _images_of(self, part: str, place: object) -> list[Path]:
        """The images of one entry: a folder, or a text file of image paths."""
        if not isinstance(place, str) or not place:
            message = f"an entry of train, val or test must be a path, not {shorten(place)}"
            raise UserError(f"{printable(self.path)}: {message}")
        found = self._find(place)
        if found is None:
            return self._missing(part, place)
        if found.is_dir():
            return find_images(found, self.report)
        return self._images_of_list(found)

    def _find(self, place: str) -> Path | None:
        """Where an entry lies below the root; None: nowhere."""
        if self.start_is_inside:
            # Some exporters write ../train/images for a folder beside data.yaml; Ultralytics reads it so too.
            for candidate in (place, place.removeprefix("../")):
                below = _below(self.start / candidate, self.root)
                if below is not None and os.path.exists(below):
                    return below
        # What is there, but elsewhere, is not another machine's: the user must say which is meant.
        whole = place if self.start_is_inside else f"{self.base}/{place}"
        end = None if os.path.exists(self.start / place) else find_end(whole, self.root)
        if end is not None:
            message = f"{shorten(whole)} is not there; took {printable(end)}, where the path ends alike"
            self.report(Fault(self.path, "", message, fatal=False, of_set=True))
        return end

    def _missing(self, part: str, place: str) -> list[Path]:
        """No images, and a word about it; without those of train there is no set."""
        where = f"{printable(self.path)}: {self._line(part)}: {shorten(place)}"
        if os.path.exists(self.start / place):
            raise UserError(f"{where} leaves {printable(self.root)}; tell the set's folder by --root")
        if not self.start_is_inside:
            raise UserError(self._leaves())
        if part == "train":
            raise UserError(
                f"{where} is not there; write on this line where the images lie below {printable(self.root)}, as in "
                "'train: train/images', or tell the set's folder by --root"
            )
        message = f"{shorten(place)} is not there; left out"
        self.report(Fault(self.path, self._line(part), message, fatal=False, of_set=True))
        return []

    def _line(self, key: str) -> str:
        """Where a key stands in the file."""
        for number, line in enumerate(read_text(self.path, MAX_YAML_BYTES).splitlines(), 1):
            if re.match(rf"['\"]?{key}['\"]?\s*:", line.lstrip("{ ")):
                return f"line {number}: {key}"
        return key

    def _leaves(self) -> str:
        where = f"{printable(self.path)}: path {shorten(self.base)}"
        line = self._line("path").removesuffix(": path")
        return f"{where} leaves the folder of the file; tell the set's folder by --root, or change {line} to 'path: .'"

    def _images_of_list(self, path: Path) -> list[Path]:
        """The images that a text file names, a line each."""
        images: dict[Path, None] = {}
        moved: list[Path] = []
        for number, line in enumerate(io.StringIO(read_text(path, MAX_LIST_BYTES)), 1):
            if not line.strip():
                continue
            name = line.strip()
            start = path.parent if line.startswith("./") else self.start
            image = _below(start / name, self.root)
            if image is None or not os.path.isfile(image):
                end = None if os.path.exists(start / name) else find_end(name, self.root)
                if end is not None:
                    image = end
                    moved.append(end)
            where = f"{printable(path)}: line {number}: {shorten(name)}"
            if image is None:
                raise UserError(f"{where} leaves {printable(self.root)}")
            if image in images or not os.path.isfile(image):  # told here: a list without end is not read on
                raise UserError(f"{where} is {'listed twice' if image in images else 'no image file'}")
            images[image] = None
        if moved:
            message = f"{len(moved)} of its paths are not there; took the images whose paths end alike, such as"
            self.report(Fault(path, "", f"{message} {printable(moved[0])}", fatal=False, of_set=True))
        return list(images)


def _below(path: Path, root: Path) -> Path | None:
    """The same path, written as one that starts with `root`; None where it leaves it."""
    relative = os.path.relpath(path, root)
    return None if name_fault(relative) and relative != "." else root / relative
