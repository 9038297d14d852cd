import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO

from yolox_gssam.common.errors import UserError
from yolox_gssam.data.coco_reader import MAX_JSON_BYTES, CocoSplit, load_split, parse_coco, read_json
from yolox_gssam.data.faults import MAX_OBJECTS, Fault


def document() -> dict[str, Any]:
    """Category ids with a gap and out of order, a negative image, a crowd region."""
    return {
        "images": [
            {"id": 10, "file_name": "a.jpg", "width": 100, "height": 50, "group": "clip 1"},
            {"id": 3, "file_name": "sub/b.jpg", "width": 64, "height": 64},
        ],
        "annotations": [
            {"id": 1, "image_id": 10, "category_id": 90, "bbox": [1, 2, 10, 5], "area": 50, "iscrowd": 0},
            {"id": 2, "image_id": 10, "category_id": 7, "bbox": [90.5, 40, 20, 5.5], "area": 110, "iscrowd": 0},
            {"id": 5, "image_id": 10, "category_id": 7, "bbox": [0, 0, 50, 50], "area": 2500, "iscrowd": 1},
        ],
        "categories": [{"id": 90, "name": "drone"}, {"id": 7, "name": "bird"}, {"id": 31, "name": "never seen"}],
    }


def load(content: object, tmp_path: Path) -> CocoSplit:
    path = tmp_path / "train.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return load_split(path, tmp_path / "images")


def faults_of(content: object) -> list[Fault]:
    faults: list[Fault] = []
    parse_coco(content, Path("train.json"), Path("images"), faults.append)
    return faults


def test_labels_are_ranks_of_ascending_category_ids(tmp_path: Path) -> None:
    split = load(document(), tmp_path)
    assert split.classes == ("bird", "never seen", "drone")
    assert split.category_ids == (7, 31, 90)
    first, second = split.images
    assert (first.image_id, first.file_name, first.width, first.height) == (10, "a.jpg", 100, 50)
    assert (first.group, second.group) == ("clip 1", None)
    np.testing.assert_array_equal(first.boxes_xyxy, [[1, 2, 11, 7], [90.5, 40, 100, 45.5]])  # the second one clipped
    np.testing.assert_array_equal(first.labels, [2, 0])
    np.testing.assert_array_equal(first.crowd_xyxy, [[0, 0, 50, 50]])
    np.testing.assert_array_equal(first.crowd_labels, [0])


def test_image_without_objects(tmp_path: Path) -> None:
    image = load(document(), tmp_path).images[1]
    assert image.boxes_xyxy.shape == (0, 4)
    assert image.labels.shape == (0,)
    assert image.boxes_xyxy.dtype == np.float64
    assert image.labels.dtype == np.int64


def test_agrees_with_pycocotools_on_real_clips() -> None:
    root = Path(__file__).parents[2] / "datasets" / "svanstrom"
    if not (root / "annotations" / "val.json").exists():
        pytest.skip("datasets/svanstrom has not been made here")
    split = load_split(root / "annotations" / "val.json", root / "images")
    reference = COCO(str(root / "annotations" / "val.json"))
    assert split.category_ids == tuple(sorted(reference.getCatIds()))
    for image in split.images:
        annotations = reference.loadAnns(reference.getAnnIds(imgIds=[image.image_id], iscrowd=False))
        boxes = np.array([a["bbox"] for a in annotations]).reshape(-1, 4)
        np.testing.assert_allclose(image.boxes_xyxy[:, 2:] - image.boxes_xyxy[:, :2], boxes[:, 2:], atol=1e-9)
        assert [split.category_ids[label] for label in image.labels] == [a["category_id"] for a in annotations]


def changed(path: str, value: object) -> dict[str, Any]:
    """The document with one field, such as "images.0.width", set."""
    content = document()
    *way, last = path.split(".")
    place: Any = content
    for step in way:
        place = place[int(step) if isinstance(place, list) else step]
    place[int(last) if isinstance(place, list) else last] = value
    return content


FATAL = [
    pytest.param("images.0", 5, "image number 0: must be an object, not 5", id="image no object"),
    pytest.param("images.0.id", "10", "image number 0: id must be a whole number, not '10'", id="id is text"),
    pytest.param("images.0.id", True, "id must be a whole number", id="id is true"),
    pytest.param("images.0.id", 1e300, "id must be a whole number", id="id is huge"),
    pytest.param("images.1.id", 10, "image 10: duplicate id", id="duplicate image id"),
    pytest.param("images.0.width", 0, "image 10: width and height must be", id="width 0"),
    pytest.param("images.0.width", "100", "image 10: width and height must be", id="width is text"),
    pytest.param("images.0.height", float("nan"), "image 10: width and height must be", id="height NaN"),
    pytest.param("images.0.file_name", "../a.jpg", "image 10: the path '../a.jpg' leaves", id="leaves"),
    pytest.param("images.0.file_name", "/a.jpg", "image 10: the path '/a.jpg' is absolute", id="absolute"),
    pytest.param("images.0.file_name", None, "image 10: the file name must be text", id="no name"),
    pytest.param("images.0.file_name", "\ud800.jpg", "image 10: ", id="half a surrogate pair"),
    pytest.param("annotations.0", None, "annotation number 0: must be an object", id="annotation no object"),
    pytest.param("annotations.0.id", 0, "annotation 0: annotation ids must start at 1", id="annotation id 0"),
    pytest.param("annotations.1.id", 1, "annotation 1: duplicate id", id="duplicate annotation id"),
    pytest.param("annotations.0.image_id", 4, "annotation 1: image_id 4 is not among", id="unknown image"),
    pytest.param("annotations.0.image_id", [10], "annotation 1: image_id [10] is not among", id="image id a list"),
    pytest.param("annotations.0.category_id", 8, "annotation 1: category_id 8 is not among", id="unknown class"),
    pytest.param("annotations.0.bbox", [1, 2, 3], "annotation 1: bbox must be 4 finite numbers", id="three numbers"),
    pytest.param("annotations.0.bbox", {"x": 1}, "annotation 1: bbox must be 4 finite numbers", id="bbox an object"),
    pytest.param("annotations.0.bbox", [1, 2, "3", 4], "annotation 1: bbox must be 4", id="text in bbox"),
    pytest.param("annotations.0.bbox", [1, 2, float("nan"), 4], "annotation 1: bbox must be 4", id="NaN in bbox"),
    pytest.param("annotations.0.bbox", [1, 2, float("inf"), 4], "annotation 1: bbox must be 4", id="infinite bbox"),
    pytest.param("annotations.0.bbox", [1, 2, 1e308, 1e308], "annotation 1: bbox must be 4", id="1e308"),
    pytest.param("annotations.0.bbox", [5, 5, -2, 3], "has a negative width or height", id="negative width"),
    pytest.param("annotations.0.iscrowd", "no", "annotation 1: iscrowd must be 0 or 1", id="iscrowd text"),
    pytest.param("categories", [], "has no categories", id="no categories"),
    pytest.param("categories.0.name", 5, "category 90: name must be text, not 5", id="name no text"),
    pytest.param("categories.0.name", "\ud800", "category 90: name must be text", id="name half a surrogate pair"),
    pytest.param("images.0.group", "\ud800", "image 10: 'group' must be text", id="group half a surrogate pair"),
    pytest.param("images.0.group", ["x"], "image 10: 'group' must be text or a number", id="group a list"),
    pytest.param("categories.1.id", 90, "category 90: duplicate id", id="duplicate category id"),
    pytest.param("images", {}, "not a COCO file: images must be a list, not {}", id="images no list"),
    pytest.param("annotations", None, "not a COCO file: annotations must be a list, not None", id="no annotations"),
    pytest.param("images", [], "", id="no images"),
]


@pytest.mark.parametrize(("field", "value", "message"), FATAL)
def test_fatal_faults_end_in_one_line(tmp_path: Path, field: str, value: object, message: str) -> None:
    with pytest.raises(UserError) as caught:
        load(changed(field, value), tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'train.json'}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        pytest.param("annotations.0.bbox", [5, 5, 0, 3], "bbox [5, 5, 0, 3] has no area", id="no area"),
        pytest.param("annotations.0.bbox", [200, 5, 9, 3], "lies outside the image of 100 x 50", id="outside"),
        pytest.param("annotations.0.bbox", [-3, 5, 9, 3], "reaches 3 pixels out of the image", id="partly outside"),
        pytest.param("images.1.file_name", "a.jpg", "'a.jpg' is also image 10", id="same file twice"),
        pytest.param("categories.1.name", "drone", "category 7: duplicate name 'drone'", id="same name twice"),
    ],
)
def test_lesser_faults_are_reported_and_passed_over(tmp_path: Path, field: str, value: object, message: str) -> None:
    load(changed(field, value), tmp_path)
    known = {str(fault) for fault in faults_of(document())}
    new = [fault for fault in faults_of(changed(field, value)) if str(fault) not in known]
    assert [message in str(fault) for fault in new] == [True]
    assert not new[0].fatal


def test_every_fault_is_reported() -> None:
    content = document()
    content["annotations"][0]["bbox"] = None
    content["annotations"][1]["category_id"] = 1000
    content["images"][1]["width"] = -1
    content["images"].append("image")
    assert [fault.where for fault in faults_of(content) if fault.fatal] == [
        *("image 3", "image number 2", "annotation 1", "annotation 2"),
    ]


def test_box_without_area_is_left_out(tmp_path: Path) -> None:
    image = load(changed("annotations.0.bbox", [5, 5, 0, 3]), tmp_path).images[0]
    np.testing.assert_array_equal(image.labels, [0])


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("{", id="broken off"),
        pytest.param("[]", id="a list"),
        pytest.param("null", id="null"),
        pytest.param("[" * 100_000, id="deeply nested"),
        pytest.param('{"images": ' + "9" * 5000 + "}", id="number of 5000 digits"),
        pytest.param('{"images": [], "annotations": []}', id="no categories"),
    ],
)
def test_what_is_no_coco_file(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError, match=r"train\.json: "):
        load(text, tmp_path)


def test_missing_and_binary_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read: No such file"):
        load_split(tmp_path / "train.json", tmp_path)
    (tmp_path / "train.json").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(UserError, match="not a JSON file"):
        load_split(tmp_path / "train.json", tmp_path)


def test_whole_floats_are_whole_numbers(tmp_path: Path) -> None:
    content = changed("images.0.width", 100.0)
    content["annotations"][0]["image_id"] = 10.0
    split = load(content, tmp_path)
    assert split.images[0].width == 100
    assert isinstance(split.images[0].width, int)
    assert len(split.images[0].labels) == 2


def test_image_path_is_below_the_image_folder(tmp_path: Path) -> None:
    split = load(document(), tmp_path)
    assert split.image_path(split.images[1]) == tmp_path / "images" / "sub" / "b.jpg"


@pytest.mark.alone
def test_a_hundred_thousand_objects_on_many_images_are_read_in_seconds(tmp_path: Path) -> None:
    content = document()
    entry = content["annotations"][0]
    content["images"] = [{**content["images"][0], "id": n, "file_name": f"{n}.jpg"} for n in range(1000)]
    content["annotations"] = [{**entry, "id": n, "image_id": n % 1000} for n in range(1, 100_001)]
    start = time.perf_counter()
    split = load(content, tmp_path)
    assert sum(len(image.labels) for image in split.images) == 100_000
    assert time.perf_counter() - start < 10


def test_more_objects_on_one_image_than_are_read() -> None:
    content = document()
    entry = content["annotations"][0]
    content["annotations"] = [{**entry, "id": number} for number in range(1, MAX_OBJECTS + 1)]
    assert not [fault for fault in faults_of(content) if fault.fatal]
    content["annotations"].append({**entry, "id": MAX_OBJECTS + 1})
    with pytest.raises(UserError, match=r"train\.json: image 10: has more than 10,000 objects"):
        faults_of(content)


@pytest.mark.alone
def test_a_million_objects_on_two_images_are_refused_at_once(tmp_path: Path) -> None:
    content = json.dumps({**document(), "annotations": []})
    objects = ", ".join([json.dumps(document()["annotations"][0])] * 1_000_000)
    (tmp_path / "train.json").write_text(content.replace('"annotations": []', f'"annotations": [{objects}]'))
    start = time.perf_counter()
    with pytest.raises(UserError, match=r"train\.json: an image has more than 10,000 objects"):
        load_split(tmp_path / "train.json", tmp_path)
    assert time.perf_counter() - start < 5


def test_what_is_no_regular_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "train.json")
    for path in (tmp_path / "train.json", tmp_path, Path("/dev/zero")):
        with pytest.raises(UserError, match="not a file"):
            read_json(path)


def test_a_file_too_large_for_json_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "train.json").open("wb") as stream:
        stream.truncate(MAX_JSON_BYTES + 1)  # a file of one hole, which takes no room
    with pytest.raises(UserError, match="larger than 512 MiB"):
        read_json(tmp_path / "train.json")


def test_messages_stay_on_one_line_whatever_the_file_is_called(tmp_path: Path) -> None:
    path = tmp_path / "a\nb.json"
    path.write_text("{}")
    with pytest.raises(UserError) as caught:
        load_split(path, tmp_path)
    assert str(caught.value).isprintable()
