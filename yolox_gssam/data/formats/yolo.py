"""A user's own set in YOLO's format: a text file an image, a line an object, in fractions of the image.

Format: https://docs.ultralytics.com/datasets/detect, with a data.yaml or as plain folders images/ and labels/.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.text import printable
from yolox_gssam.data.faults import Fault, Report
from yolox_gssam.data.formats.samples import LabelledSet, Sample, find_images, part_of_path, read_text
from yolox_gssam.data.formats.yolo_lines import LabelLines, LineKind
from yolox_gssam.data.formats.yolo_yaml import MAX_YAML_BYTES, read_data_yaml

NAME_FILES = ("classes.txt", "obj.names", "_darknet.labels")
"""Of class names in label order, a line each: of labelImg and its kin, of darknet and of Roboflow's export for it."""


def read_yolo_set(
    source: Path,
    *,
    report: Report,
    root: Path | None = None,
    classes: Sequence[str] = (),
    keep_split: bool = False,
    lines: LineKind | None = None,
) -> LabelledSet:
    """Reads a set. The classes keep the order of `names` in data.yaml, of classes.txt, or of `classes`.

    An image without a label file, or with an empty one, has no objects. A line of a polygon counts as its outer box, of
    a line of a box and key points the box counts. An object named twice counts once.

    Args:
        source: a data.yaml, a folder that holds one, or a folder with images/ and labels/ (or both in one folder).
        root: the folder that the paths in data.yaml start from and must not leave; None: where data.yaml says,
            but inside its own folder.
        keep_split: the parts of data.yaml are kept, or without one those that folders are named after.
        lines: what long lines hold; None: as kpt_shape in data.yaml says, and without it as they look.

    Raises:
        UserError: no such set, no class names, a path that leaves the set, or no label file at all.
    """
    yaml_path = _yaml_path(source)
    if yaml_path is None:
        root, names, kpt_numbers = source, tuple(classes) or _names_of_file(source, report), None
        folder = source / "images" if (source / "images").is_dir() else source
        images = [(part_of_path(path.parent.relative_to(source)) or "", path) for path in find_images(folder, report)]
        unnamed = next((path for part, path in images if not part), None)
        if keep_split and unnamed is not None:
            raise UserError(
                f"{printable(source)}: --keep-split needs a data.yaml that names the parts, or images in folders "
                f"called train, val and test, not {printable(unnamed)}"
            )
    else:
        if classes:
            raise UserError(f"{printable(yaml_path)}: names the classes itself; leave out --classes")
        names, kpt_numbers, images = read_data_yaml(yaml_path, root, report)
        root = root or yaml_path.parent
    if not keep_split and any(part for part, _ in images):
        report(Fault(yaml_path or root, "", "its parts are split anew; --keep-split keeps them", False, of_set=True))
    kind = lines or (None if kpt_numbers is None else "key-points")
    labels = LabelLines(len(names), kind, kpt_numbers)
    samples = [_read_sample(path, root, labels, part if keep_split else None, report) for part, path in images]
    labels.finish(yaml_path or root, report)
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


def _read_sample(path: Path, root: Path, lines: LabelLines, part: str | None, report: Report) -> Sample:
    """One image and its label file."""
    labelled = label_path(path, root)
    boxes: list[list[float]] = []
    labels: list[int] = []
    if os.path.exists(labelled):  # false, unlike Path.exists, for a name too long for the system
        boxes, labels = lines.read(labelled, report)
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
        report(Fault(root, "", f"{message}, such as {printable(expected[missing[0]].name)}", False, of_set=True))
    for folder in sorted({path.parent for path in expected}):
        for path in sorted(folder.glob("*.txt")):
            if path not in expected and path.name not in NAME_FILES:
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


def _names_of_file(folder: Path, report: Report) -> tuple[str, ...]:
    """Class names of the file that labelling tools leave among plain folders."""
    places = [folder, *(path for depth in ("*", "*/*") for path in sorted(folder.glob(depth)) if path.is_dir())]
    found = [path for place in places for name in NAME_FILES if (path := place / name).is_file()]
    lines = {path: read_text(path, MAX_YAML_BYTES).splitlines() for path in found}
    names = {path: tuple(filter(None, map(str.strip, lines[path]))) for path in found}
    for path in found:
        if names[path] != names[found[0]]:
            raise UserError(
                f"{printable(path)}: its class names differ from those of {printable(found[0])}; remove one"
            )
    if found:
        if found[0].parent not in (folder, folder / "labels"):
            report(Fault(found[0], "", "the class names are taken from here", False, of_set=True))
        return names[found[0]]
    raise UserError(
        f"{printable(folder)}: no data.yaml, and no {' or '.join(NAME_FILES)} two folders deep; give the class names "
        "in label order by --classes"
    )
