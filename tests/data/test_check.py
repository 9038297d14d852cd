import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.images import encode_jpeg
from yolox_gssam.data.builder import build_dataset
from yolox_gssam.data.check import check_dataset, count_shrunk, read_splits
from yolox_gssam.data.faults import raise_fatal
from yolox_gssam.data.labelled import LabelledImage


@pytest.fixture(scope="module")
def good_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 images of two classes in groups of two, without a fault."""
    rng = np.random.default_rng(0)
    records = [
        (
            LabelledImage(
                file_name=f"{number:02d}.jpg",
                width=64,
                height=48,
                boxes_xyxy=np.array([[5.0, 6, 25, 16], [30, 30, 34, 33]]),
                labels=np.array([number % 2, 1]),
                group=f"clip {number // 2}",
            ),
            encode_jpeg(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8), 90),
        )
        for number in range(20)
    ]
    root = tmp_path_factory.mktemp("check") / "good"
    build_dataset(root, ("bird", "drone"), records, source="test", command="none", seed=0)
    return root


@pytest.fixture
def root(good_set: Path, tmp_path: Path) -> Path:
    """A copy to spoil. Without dataset.json: what it says is tested by itself."""
    shutil.copytree(good_set, tmp_path / "set")
    (tmp_path / "set" / "dataset.json").unlink()
    return tmp_path / "set"


def first_image(root: Path, part: str = "train") -> dict[str, Any]:
    image: dict[str, Any] = json.loads((root / "annotations" / f"{part}.json").read_text())["images"][0]
    return image


def edit(root: Path, change: Callable[[dict[str, Any]], object], part: str = "train") -> None:
    path = root / "annotations" / f"{part}.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_a_good_set_has_no_faults(good_set: Path) -> None:
    assert check_dataset(good_set) == []


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def replace_by_dead_link(path: Path) -> None:
    path.unlink()
    path.symlink_to(".git/annex/objects/nothing")


def shrink(path: Path) -> None:
    cv2.imwrite(str(path), np.zeros((48, 63, 3), np.uint8))


def test_an_image_that_is_a_link_out_of_the_set(root: Path) -> None:
    path = root / "images" / first_image(root)["file_name"]
    path.rename(root.parent / "blob")
    path.symlink_to(root.parent / "blob")
    assert check_dataset(root) == []


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(Path.unlink, "no such image file", id="missing"),
        pytest.param(truncate, "truncated", id="truncated"),
        pytest.param(lambda path: path.write_text("no image"), "not a readable image", id="unreadable"),
        pytest.param(shrink, "is 63 x 48, stated are 64 x 48", id="wrong size"),
        pytest.param(replace_by_dead_link, "a link to .git/annex/objects/nothing, which is no file", id="dead link"),
    ],
)
def test_faulty_images(root: Path, spoil: Callable[[Path], object], message: str) -> None:
    image = first_image(root)
    spoil(root / "images" / image["file_name"])
    (fault,) = check_dataset(root)
    assert (fault.path, fault.where) == (root / "annotations" / "train.json", f"image {image['id']}")
    assert message in fault.message
    assert image["file_name"] in fault.message


@pytest.mark.parametrize(
    ("field", "value", "where", "message"),
    [
        pytest.param("bbox", [60, 1, 10, 10], "annotation 1", "reaches 6 pixels out", id="box partly outside"),
        pytest.param("bbox", [70, 1, 10, 10], "annotation 1", "lies outside", id="box outside"),
        pytest.param("bbox", [1, 1, 10, 0], "annotation 1", "has no area", id="box of no area"),
        pytest.param("bbox", [1, 1, -10, 5], "annotation 1", "negative width", id="negative width"),
        pytest.param("bbox", [1, 1, float("nan"), 5], "annotation 1", "4 finite numbers", id="NaN"),
        pytest.param("category_id", 9, "annotation 1", "category_id 9 is not among", id="unknown class"),
        pytest.param("image_id", 999, "annotation 1", "image_id 999 is not among", id="unknown image"),
        pytest.param("id", 2, "annotation 2", "duplicate id", id="duplicate id"),
    ],
)
def test_faulty_annotations(root: Path, field: str, value: object, where: str, message: str) -> None:
    edit(root, lambda content: content["annotations"][0].update({field: value}))
    (fault,) = check_dataset(root)
    assert fault.where == where
    assert message in fault.message


def test_deep_images_are_told_and_are_no_faults(root: Path) -> None:
    image = first_image(root)
    path = root / "images" / image["file_name"]
    path.write_bytes(cv2.imencode(".png", np.full((48, 64), 7000, np.uint16))[1].tobytes())
    deep: list[str] = []
    assert check_dataset(root, deep) == []
    assert deep == [image["file_name"]]


@pytest.mark.parametrize(
    ("input_hw", "left"),
    [
        pytest.param((640, 640), 1.6, id="1.6 pixels across"),
        pytest.param((96, 96), 0.24, id="nothing"),
        pytest.param((1024, 1024), None, id="2.6 pixels across"),
    ],
)
def test_an_image_too_narrow_for_the_input(root: Path, input_hw: tuple[int, int], left: float | None) -> None:
    cv2.imwrite(str(root / "images" / "line.png"), np.zeros((1, 400, 3), np.uint8))
    entry = {"id": 900, "file_name": "line.png", "width": 400, "height": 1, "group": "alone"}
    edit(root, lambda content: content["images"].append(entry))
    messages = [fault.message for fault in check_dataset(root, input_hw=input_hw)]
    expected = [f"'line.png' is too narrow: of its 400 x 1 pixels {left} are left"] if left else []
    assert [message.partition(" across")[0] for message in messages] == expected


def test_path_that_leaves_the_set(root: Path) -> None:
    edit(root, lambda content: content["images"][0].update({"file_name": "../../etc/passwd"}))
    faults = check_dataset(root)
    assert faults[0].where == f"image {first_image(root)['id']}"
    assert "leaves the image folder" in faults[0].message
    assert {fault.where for fault in faults[1:]} == {"annotation 1", "annotation 2"}  # their image is not taken


def test_image_in_two_parts(root: Path) -> None:
    image = first_image(root)
    edit(root, lambda content: content["images"].append({**image, "id": 900, "group": "alone"}), "val")
    (fault,) = check_dataset(root)
    assert (
        str(fault) == f"{root}/annotations/val.json: image 900: the image '{image['file_name']}' is also in train.json"
    )


def test_copy_of_an_image_in_another_part(root: Path) -> None:
    image = first_image(root)
    shutil.copy(root / "images" / image["file_name"], root / "images" / "copy.jpg")
    copy = {**image, "id": 900, "file_name": "copy.jpg", "group": "alone"}
    edit(root, lambda content: content["images"].append(copy), "test")
    (fault,) = check_dataset(root)
    assert fault.message == "an image of the same content as 'copy.jpg' is also in train.json"


def test_clip_in_two_parts_is_told_once(root: Path) -> None:
    group = first_image(root)["group"]
    edit(root, lambda content: [image.update({"group": group}) for image in content["images"]], "val")
    (fault,) = check_dataset(root)
    assert fault.message == f"the group '{group}' is also in train.json"


def test_parts_of_different_classes(root: Path) -> None:
    edit(root, lambda content: content["categories"][0].update({"name": "plane"}), "val")
    (fault,) = check_dataset(root)
    assert "the splits differ in their classes" in fault.message


def test_every_fault_is_listed(root: Path) -> None:
    edit(root, lambda content: [entry.update({"bbox": None}) for entry in content["annotations"]])
    names = [image["file_name"] for image in json.loads((root / "annotations" / "train.json").read_text())["images"]]
    for name in names[:3]:
        truncate(root / "images" / name)
    assert len(check_dataset(root)) == 32 + 3


@pytest.mark.parametrize(("name", "count"), [("train.json", 1), ("val.json", 1), ("test.json", 0)])
def test_missing_part(root: Path, name: str, count: int) -> None:
    (root / "annotations" / name).unlink()
    assert [str(fault) for fault in check_dataset(root)] == [f"{root}/annotations/{name}: no such file"] * count


@pytest.mark.parametrize("text", ["{", "[]", '{"images": 3}', ""])
def test_file_that_is_not_coco(root: Path, text: str) -> None:
    (root / "annotations" / "val.json").write_text(text)
    (fault,) = check_dataset(root)
    assert str(fault).startswith(f"{root}/annotations/val.json: not a ")


def test_no_data_set(tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "missing"):
        with pytest.raises(UserError, match="no data set"):
            check_dataset(root)


def test_change_since_dataset_json(good_set: Path, root: Path) -> None:
    shutil.copy(good_set / "dataset.json", root)
    assert check_dataset(root) == []
    edit(root, lambda content: content["info"].update({"year": 2000}))
    (fault,) = check_dataset(root)
    assert "the hash differs" in fault.message
    (root / "dataset.json").write_text("{")
    assert "not a JSON file" in str(check_dataset(root)[0])


def test_nothing_is_written(good_set: Path) -> None:
    before = {path: os.stat(path).st_mtime_ns for path in good_set.rglob("*")}
    check_dataset(good_set)
    assert {path: os.stat(path).st_mtime_ns for path in good_set.rglob("*")} == before


@pytest.mark.parametrize(
    ("size_hw", "below", "vanished"),
    [
        pytest.param((48, 64), 0, 0, id="as they are: shorter sides 10 and 3"),
        pytest.param((32, 42), 1, 0, id="at 0.656: 6.6 and 1.97"),
        pytest.param((15, 64), 1, 1, id="at 0.3125: 3.1 and 0.94, by the height"),
        pytest.param((48, 6), 2, 2, id="at 0.09, by the width"),
    ],
)
def test_count_shrunk(good_set: Path, size_hw: tuple[int, int], below: int, vanished: int) -> None:
    counts = count_shrunk(read_splits(good_set, raise_fatal).values(), size_hw)
    assert counts == (40, 20 * below, 20 * vanished)


def test_count_shrunk_of_nothing() -> None:
    assert count_shrunk([], (640, 640)) == (0, 0, 0)


def test_a_file_of_endless_faults_is_not_read_to_its_end(root: Path) -> None:
    path = root / "annotations" / "train.json"
    document = json.loads(path.read_text())
    wrong = {"category_id": 1, "image_id": -1, "bbox": [0, 0, 1, 1]}
    document["annotations"] = [{**wrong, "id": number + 1} for number in range(20_000)]
    path.write_text(json.dumps(document))
    faults = check_dataset(root)
    assert len(faults) == 10_001
    assert "more are not looked for" in str(faults[-1])
