"""COCO files as other tools write them, against the same file as COCO has it."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pycocotools.mask import encode

from yolox_gssam.common.errors import UserError
from yolox_gssam.data.coco_reader import load_split
from yolox_gssam.data.faults import Fault, raise_fatal
from yolox_gssam.data.formats.coco import read_coco_set
from yolox_gssam.data.formats.coco_repair import repair_coco

RIGHT: dict[str, Any] = {
    "images": [
        {"id": 1, "file_name": "images/a.png", "width": 40, "height": 20},
        {"id": 2, "file_name": "images/b.png", "width": 30, "height": 50},
    ],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 2, "bbox": [10, 5, 12, 8], "iscrowd": 0},
        {"id": 2, "image_id": 2, "category_id": 1, "bbox": [3, 20.5, 12, 8], "iscrowd": 0},
        {"id": 3, "image_id": 2, "category_id": 2, "bbox": [0, 0, 30, 9], "iscrowd": 1},
    ],
    "categories": [{"id": 1, "name": "bird"}, {"id": 2, "name": "drone"}],
}
Change = Callable[[dict[str, Any]], object]


def write(root: Path, change: Change) -> Path:
    """The file with a change, beside its images."""
    document = copy.deepcopy(RIGHT)
    for image in document["images"]:
        path = root / image["file_name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.zeros((image["height"], image["width"], 3), np.uint8))
    change(document)
    path = root / "all.json"
    path.write_text(json.dumps(document))
    return path


def objects_of(path: Path, faults: list[Fault]) -> list[Any]:
    """All that counts of a set."""
    labelled = read_coco_set([path], report=faults.append)
    samples = [
        (
            s.path,
            s.file_name,
            s.size_wh,
            s.boxes_xywh.tolist(),
            [labelled.classes[label] for label in s.labels],
            s.crowd,
        )
        for s in labelled.samples
    ]
    return [labelled.classes, *samples]


def each(key: str, **changes: Any) -> Change:
    return lambda document: [entry.update(changes) for entry in document[key]]


def rename(pattern: str) -> Change:
    """File names by `pattern`, which gets the bare name."""
    return lambda document: [
        image.update(file_name=pattern.format(Path(image["file_name"]).name)) for image in document["images"]
    ]


def ids(text_of: Callable[[int], Any], *, references: bool = True, entries: bool = True) -> Change:
    def change(document: dict[str, Any]) -> None:
        for entry in [*document["images"], *document["categories"]] if entries else []:
            entry["id"] = text_of(entry["id"])
        for annotation in document["annotations"] if references else []:
            annotation.update({key: text_of(annotation[key]) for key in ("image_id", "category_id")})

    return change


def polygons(document: dict[str, Any], box: Any = None, flat: bool = False) -> None:
    """Each box becomes a diamond, or two triangles, that touch its sides."""
    for annotation in document["annotations"]:
        x, y, w, h = annotation.pop("bbox")
        diamond = [x + w / 2, y, x + w, y + h / 2, x + w / 2, y + h, x, y + h / 2]
        triangles = [[x, y, x + 1, y, x, y + 1], [x + w, y + h, x + w - 1, y + h, x + w, y + h - 1]]
        annotation["segmentation"] = diamond if flat else [diamond] if annotation["id"] == 1 else triangles
        if box is not None:
            annotation["bbox"] = box


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(ids(lambda key: f"{key:012d}"), "2 image ids are text", id="ids as text of digits"),
        pytest.param(ids(lambda key: f"no-{9 - key}"), "2 category ids are text", id="ids as text"),
        pytest.param(ids(lambda key: ("1", "01")[key - 1]), "2 image ids are text", id="ids of one number"),
        pytest.param(ids(str, references=False), "2 image ids are text", id="ids but not references"),
        pytest.param(ids(str, entries=False), "3 image ids are text", id="references but not ids"),
        pytest.param(each("annotations", iscrowd=None), "3 annotations had iscrowd null", id="iscrowd null"),
        pytest.param(each("annotations", iscrowd="0"), "3 annotations had iscrowd null or as text", id="iscrowd text"),
        pytest.param(each("images", width=None, height=None), "2 images had no width and height", id="size null"),
        pytest.param(each("images", width=0, height=0), "2 images had no width", id="size 0"),
        pytest.param(each("images", width=None), "2 images had no width", id="no width"),
        pytest.param(
            lambda document: [(image.pop("width"), image.pop("height")) for image in document["images"]],
            "2 images had no width and height; they were read from the files",
            id="no size",
        ),
        pytest.param(polygons, "3 annotations had no bbox", id="no boxes"),
        pytest.param(lambda document: polygons(document, [0, 0, 0, 0]), "3 annotations had no bbox", id="boxes of 0"),
        pytest.param(lambda document: polygons(document, []), "3 annotations had no bbox", id="empty boxes"),
        pytest.param(lambda document: polygons(document, flat=True), "3 annotations had no bbox", id="flat polygons"),
        pytest.param(rename("images\\{}"), "2 file names have backslashes", id="backslashes"),
        pytest.param(rename(".\\images\\{}"), "2 file names have backslashes", id="backslashes from ."),
        pytest.param(rename("C:\\Users\\me\\images\\{}"), "2 file names lead nowhere", id="absolute, Windows"),
        pytest.param(rename("/content/drive/drone/images/{}"), "2 file names lead nowhere", id="absolute"),
        pytest.param(rename("../elsewhere/images/{}"), "2 file names lead nowhere", id="from a folder above"),
    ],
)
def test_what_can_be_told_is_put_right_counted_and_said(tmp_path: Path, change: Change, message: str) -> None:
    expected = objects_of(write(tmp_path / "set", lambda document: None), [])
    if "iscrowd" in message:
        expected = objects_of(write(tmp_path / "set", each("annotations", iscrowd=0)), [])
    faults: list[Fault] = []
    assert objects_of(write(tmp_path / "set", change), faults) == expected
    assert all(str(fault).startswith(f"{tmp_path}/set/all.json: ") and not fault.fatal for fault in faults)
    assert [message in str(fault) for fault in faults].count(True) == 1


def test_a_right_file_is_not_touched(tmp_path: Path) -> None:
    faults: list[Fault] = []
    assert objects_of(write(tmp_path, lambda document: None), faults)[0] == ("bird", "drone")
    assert faults == []


def test_a_name_with_a_backslash_that_is_there_is_that_file(tmp_path: Path) -> None:
    path = write(tmp_path, rename("images\\{}"))
    for name in ("a.png", "b.png"):
        (tmp_path / "images" / name).rename(tmp_path / f"images\\{name}")
    faults: list[Fault] = []
    assert [sample[1] for sample in objects_of(path, faults)[1:]] == ["images\\a.png", "images\\b.png"]
    assert faults == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(rename("pictures\\x{}"), r"file_name 'pictures.*' has backslashes, and pictures/xa", id="slash"),
        pytest.param(rename("/content/{}.jpg"), "is absolute", id="absolute"),
        pytest.param(
            lambda document: [image.update(width=None, file_name="x.png") for image in document["images"]],
            "image 1: has no width and height, and its file cannot tell them: .*no such image file",
            id="no size, no file",
        ),
        pytest.param(
            each("annotations", bbox=None, segmentation=[[1, 2, 3, 4]]), "bbox must be 4 finite numbers", id="a line"
        ),
        pytest.param(
            each("annotations", bbox=None, segmentation={"counts": [1], "size": [1, 1]}), "bbox must be", id="a mask"
        ),
        pytest.param(each("annotations", iscrowd="yes"), "iscrowd must be 0 or 1", id="iscrowd"),
        pytest.param(each("annotations", image_id="x"), "image_id 'x' is not among the images", id="unknown image"),
        pytest.param(
            each("categories", name="drone"), "categories 1 and 2: are all called 'drone' and have objects", id="names"
        ),
    ],
)
def test_what_cannot_be_told_is_refused(tmp_path: Path, change: Change, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_coco_set([write(tmp_path, change)], report=raise_fatal)


@pytest.mark.parametrize("root", [{"id": 0, "name": "drone"}, {"id": 7, "name": "drone"}])
def test_a_root_category_of_a_class_s_own_name_is_dropped(tmp_path: Path, root: dict[str, Any]) -> None:
    expected = objects_of(write(tmp_path, lambda document: None), [])
    faults: list[Fault] = []
    assert objects_of(write(tmp_path, lambda document: document["categories"].insert(0, root)), faults) == expected
    assert [str(fault) for fault in faults] == [
        f"{tmp_path}/all.json: category {root['id']}: 'drone' is also category 2, and has no objects; dropped"
    ]


def test_a_root_category_beside_a_part_without_objects(tmp_path: Path) -> None:
    """Both parts must come out with the same classes in the same order, though one has no objects to tell by."""

    def export(document: dict[str, Any]) -> None:
        document["categories"].insert(0, {"id": 0, "name": "drone"})

    def empty(document: dict[str, Any]) -> None:
        export(document)
        document["annotations"] = []

    paths = [write(tmp_path / "train", export), write(tmp_path / "valid", empty)]
    labelled = read_coco_set(paths, report=raise_fatal, keep_split=True)
    assert labelled.classes == ("bird", "drone")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(ids(str), id="ids"),
        pytest.param(each("images", width=None), id="size"),
        pytest.param(each("annotations", iscrowd=None), id="iscrowd"),
    ],
)
def test_training_on_such_a_file_as_it_is_tells_what_makes_it_good(tmp_path: Path, change: Change) -> None:
    with pytest.raises(UserError, match=r"`tools/prepare_dataset\.py coco` makes it good"):
        load_split(write(tmp_path, change), tmp_path)


@pytest.mark.parametrize("compressed", [True, False])
def test_boxes_of_masks_are_those_of_their_pixels(tmp_path: Path, compressed: bool) -> None:
    """Encoded by pycocotools itself; the box is told from the drawn pixels."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        mask = (rng.random((15, 20)) < rng.choice([0.01, 0.1, 0.6])).astype(np.uint8)
        mask[7, 9] = 1
        runs = encode(np.asfortranarray(mask))["counts"].decode()
        flat = mask.ravel(order="F")
        counts = np.diff([0, *np.flatnonzero(np.diff(flat, prepend=0)), flat.size]).tolist()
        rows, columns = np.nonzero(mask)
        left, top = int(columns.min()), int(rows.min())
        expected = [left, top, int(columns.max()) + 1 - left, int(rows.max()) + 1 - top]
        annotation = {
            "id": 1,
            "image_id": 1,
            "category_id": 1,
            "segmentation": {"size": [15, 20], "counts": runs if compressed else counts},
        }
        document = {
            "images": [{"id": 1, "file_name": "a.png", "width": 20, "height": 15}],
            "annotations": [annotation],
            "categories": [{"id": 1, "name": "drone"}],
        }
        repair_coco(document, tmp_path / "a.json", tmp_path, lambda fault: None)
        assert annotation["bbox"] == expected


@pytest.mark.parametrize("counts", ["", "o", "\u20ac", "oooo", [1], [300], [-1, 301], [150, 150.0], None, {}])
def test_masks_that_are_damaged_give_no_box(tmp_path: Path, counts: object) -> None:
    annotation = {"id": 1, "segmentation": {"size": [15, 20], "counts": counts}}
    repair_coco({"images": [], "annotations": [annotation], "categories": []}, tmp_path, tmp_path, lambda fault: None)
    assert "bbox" not in annotation
