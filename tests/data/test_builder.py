import errno
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.images import encode_jpeg
from yolox_gssam.data.builder import EncodedImage, build_dataset
from yolox_gssam.data.check import check_dataset
from yolox_gssam.data.coco_reader import load_split
from yolox_gssam.data.labelled import LabelledImage, xywh_to_xyxy
from yolox_gssam.experiment import DroneExp

CLASSES = ("bird", "drone")
ABOUT: dict[str, Any] = {"source": "a test", "command": "none", "seed": 0}


def jpeg(seed: int = 0, width: int = 32, height: int = 24) -> bytes:
    return encode_jpeg(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8), 90)


def record(number: int = 0, image: bytes | None = None, **changes: Any) -> EncodedImage:
    fields: dict[str, Any] = {
        "file_name": f"{number:03d}.jpg",
        "width": 32,
        "height": 24,
        "boxes_xywh": [[1, 2, 10, 5]] * (number % 3),
        "labels": [number % 2] * (number % 3),
        "group": f"clip {number // 4}",
        **changes,
    }
    boxes_xyxy, labels = xywh_to_xyxy(fields.pop("boxes_xywh")), np.array(fields.pop("labels"), np.int64)
    labelled = LabelledImage(**fields, boxes_xyxy=boxes_xyxy, labels=labels)
    return labelled, jpeg(number) if image is None else image


def records(count: int = 40) -> Iterator[EncodedImage]:
    return (record(number) for number in range(count))


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_layout_and_contents(tmp_path: Path) -> None:
    out = tmp_path / "sets" / "mine"
    summary = build_dataset(out, CLASSES, records(), **ABOUT)
    assert sorted(path.name for path in out.iterdir()) == ["annotations", "dataset.json", "images"]
    assert read(out / "dataset.json") == summary
    assert [path.name for path in (tmp_path / "sets").iterdir()] == ["mine"]
    names: list[str] = []
    for part in ("train", "val", "test"):
        coco = COCO(str(out / "annotations" / f"{part}.json"))
        assert coco.getCatIds() == [1, 2]
        assert [category["name"] for category in coco.dataset["categories"]] == list(CLASSES)
        assert min(coco.getAnnIds()) == 1
        split = load_split(out / "annotations" / f"{part}.json", out / "images")
        for image in split.images:
            number = int(image.file_name[:3])
            names.append(image.file_name)
            assert image.group == f"clip {number // 4}"
            np.testing.assert_array_equal(image.boxes_xyxy, [[1, 2, 11, 7]] * (number % 3) or np.zeros((0, 4)))
            np.testing.assert_array_equal(image.labels, [number % 2] * (number % 3))
            assert split.image_path(image).read_bytes() == jpeg(number)
        for annotation in coco.dataset["annotations"]:
            assert set(annotation) == {"id", "image_id", "category_id", "bbox", "area", "iscrowd"}
            assert annotation["area"] == 50
    assert sorted(names) == [f"{number:03d}.jpg" for number in range(40)]
    assert [summary["splits"][part]["images"] for part in ("train", "val", "test")] == [32, 4, 4]
    assert sum(part["objects"]["drone"] for part in summary["splits"].values()) == sum(n % 3 for n in range(1, 40, 2))


def test_folds_beside_the_sets_own_parts(tmp_path: Path) -> None:
    out = tmp_path / "mine"
    summary = build_dataset(out, CLASSES, records(), folds=3, **ABOUT)
    assert read(out / "dataset.json") == summary
    assert "fold 0" in summary["own_splits"]
    tested: list[str] = []
    for fold, groups in enumerate(summary["folds"]):
        for part in ("train", "val", "test"):
            split = load_split(out / "annotations" / f"fold{fold}" / f"{part}.json", out / "images")
            assert sorted({image.group for image in split.images if image.group}) == groups[part]
            if fold == 0:
                plain = load_split(out / "annotations" / f"{part}.json", out / "images")
                assert [i.image_id for i in plain.images] == [i.image_id for i in split.images]
        tested += groups["test"]
    assert sorted(tested) == sorted({f"clip {number // 4}" for number in range(40)})
    assert not check_dataset(out)
    exp = DroneExp()
    exp.merge(["data_dir", str(out), "fold", "2"])
    assert {image.group for image in exp.load_split("test").images} == set(summary["folds"][2]["test"])
    exp.merge(["fold", "None"])
    assert {image.group for image in exp.load_split("test").images} == set(summary["folds"][0]["test"])
    exp.merge(["fold", "3"])
    with pytest.raises(UserError, match="no fold 3; the data set has 3: set fold to 0 to 2"):
        exp.load_split("test")
    files = sorted(str(path.relative_to(out)) for path in out.rglob("*/*") if path.is_file())
    assert len(files) == 40 + 3 + 3 * 3
    lines = [f"{hashlib.sha256((out / name).read_bytes()).hexdigest()}  {name}\n" for name in files]
    assert summary["hash"] == hashlib.sha256("".join(lines).encode()).hexdigest()


def test_a_fold_of_a_set_without_folds(tmp_path: Path) -> None:
    build_dataset(tmp_path / "mine", CLASSES, records(), **ABOUT)
    exp = DroneExp()
    exp.merge(["data_dir", str(tmp_path / "mine"), "fold", "0"])
    with pytest.raises(UserError, match="no fold 0; the data set has none: make it with --folds 5, or fold to None"):
        exp.load_split("train")


def test_a_fold_whose_clips_are_in_two_parts_is_a_fault(tmp_path: Path) -> None:
    out = tmp_path / "mine"
    build_dataset(out, CLASSES, records(), folds=3, **ABOUT)
    folder = out / "annotations" / "fold1"
    (folder / "val.json").write_bytes((folder / "test.json").read_bytes())
    faults = [str(fault) for fault in check_dataset(out)]
    assert any("fold1/test.json" in fault and "is also in val.json" in fault for fault in faults)


def _drop_an_image(content: dict[str, Any]) -> None:
    dropped = content["images"].pop()["id"]
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] != dropped]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(_drop_an_image, "fold1: 1 of the set's images are in none of its splits", id="image left out"),
        pytest.param(lambda c: c["categories"][0].update(name="plane"), "are not the set's own", id="classes"),
        pytest.param(lambda c: c["images"][0].update(file_name="x.jpg"), "in none of the set's own splits", id="image"),
        pytest.param(lambda c: c["annotations"][0].update(bbox=[1, 2, 0, 4]), "has no area", id="box"),
        pytest.param(lambda c: c["annotations"][0].update(bbox=[1, 2, 9, 4]), "have changed since", id="other box"),
    ],
)
def test_a_fold_that_was_changed_is_a_fault(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    out = tmp_path / "mine"
    build_dataset(out, CLASSES, records(), folds=3, **ABOUT)
    path = out / "annotations" / "fold1" / "train.json"
    content = read(path)
    change(content)
    path.write_text(json.dumps(content))
    assert any(message in str(fault) for fault in check_dataset(out))


def test_a_part_of_a_fold_that_is_gone_is_one_fault(tmp_path: Path) -> None:
    build_dataset(tmp_path / "mine", CLASSES, records(), folds=3, **ABOUT)
    (tmp_path / "mine" / "annotations" / "fold2" / "val.json").unlink()
    (fault,) = check_dataset(tmp_path / "mine")
    assert str(fault).endswith("fold2/val.json: no such file")


def test_folds_of_a_set_that_keeps_its_parts(tmp_path: Path) -> None:
    kept = (record(number, split="train" if number % 2 else "val") for number in range(8))
    with pytest.raises(UserError, match="--folds and --keep-split exclude each other"):
        build_dataset(tmp_path / "mine", CLASSES, kept, folds=2, **ABOUT)
    assert not (tmp_path / "mine").exists()


def test_same_seed_same_set_and_hash_as_the_shell_computes_it(tmp_path: Path) -> None:
    first = build_dataset(tmp_path / "a", CLASSES, records(), **ABOUT)
    second = build_dataset(tmp_path / "b", CLASSES, records(), **ABOUT)
    other = build_dataset(tmp_path / "c", CLASSES, records(), **{**ABOUT, "seed": 1})
    assert first == second
    assert first["hash"] != other["hash"]
    files = sorted(str(path.relative_to(tmp_path / "a")) for path in (tmp_path / "a").glob("*/*"))
    lines = [f"{hashlib.sha256((tmp_path / 'a' / name).read_bytes()).hexdigest()}  {name}\n" for name in files]
    assert first["hash"] == hashlib.sha256("".join(lines).encode()).hexdigest()


def test_boxes_are_clipped_dropped_and_counted(tmp_path: Path) -> None:
    boxes = [[-2, -2, 6, 6], [30, 20, 10, 10], [40, 5, 3, 3], [5, 5, 0, 4], [5, 5, -1, 4], [1, 1, 31.004, 3]]
    special = record(0, boxes_xywh=boxes, labels=[1] * 6, group="special")
    summary = build_dataset(tmp_path / "a", CLASSES, [special, *records(20)][:1] + list(records(20))[1:], **ABOUT)
    assert (summary["boxes_clipped"], summary["boxes_dropped"]) == (2, 3)
    content = [read(path) for path in (tmp_path / "a" / "annotations").iterdir()]
    image = next(image for part in content for image in part["images"] if image["group"] == "special")
    part = next(part for part in content if image in part["images"])
    assert [a["bbox"] for a in part["annotations"] if a["image_id"] == image["id"]] == [
        *([0, 0, 4, 4], [30, 20, 2, 4], [1, 1, 31, 3]),
    ]


def test_keeps_given_parts_and_crowds(tmp_path: Path) -> None:
    given = [record(number, split="val" if number < 5 else "train") for number in range(1, 10)]
    crowd = {"crowd_xyxy": np.array([[3.0, 4, 40, 9]]), "crowd_labels": np.array([0])}
    given.append(record(10, split="train", **crowd))
    summary = build_dataset(tmp_path / "a", CLASSES, given, **ABOUT)
    assert {path.name for path in (tmp_path / "a" / "annotations").iterdir()} == {"train.json", "val.json"}
    assert summary["splits"]["val"]["images"] == 4
    *objects, region = read(tmp_path / "a" / "annotations" / "train.json")["annotations"]
    assert [own["iscrowd"] for own in objects] == [0] * len(objects)
    assert (region["iscrowd"], region["bbox"], region["category_id"]) == (1, [3, 4, 29, 5], 1)
    with pytest.raises(UserError, match="train and val at least"):
        build_dataset(tmp_path / "b", CLASSES, [record(1, split="test")], **ABOUT)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"file_name": "../x.jpg"}, "leaves the image folder", id="name leaves the set"),
        pytest.param({"file_name": "001.jpg"}, r"001\.jpg: two images have this name", id="name twice"),
        pytest.param({"width": 33}, r"the image is 32 x 24, its labels say 33 x 24", id="wrong size"),
        pytest.param({"image": jpeg()[:-50]}, "truncated", id="truncated"),
        pytest.param({"image": b""}, "not a readable image", id="empty image"),
        pytest.param({"boxes_xywh": [[1, 2, float("nan"), 4]], "labels": [0]}, "not finite", id="NaN"),
        pytest.param({"boxes_xywh": [[1, 2, 3, 4]], "labels": [2]}, "not one of the 2 classes", id="unknown label"),
        pytest.param({"boxes_xywh": [[1, 2, 3, 4]], "labels": [-1]}, "not one of the 2 classes", id="label -1"),
        pytest.param({"boxes_xywh": [[1, 2, 3, 4]], "labels": []}, "1 boxes but 0 labels", id="no label"),
    ],
)
def test_a_faulty_record_leaves_nothing(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_dataset(tmp_path / "a", CLASSES, [*records(12), record(50, **changes)], **ABOUT)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device"), ValueError("bug")]
)
def test_nothing_is_left_whatever_happens(tmp_path: Path, error: BaseException) -> None:
    def broken() -> Iterator[EncodedImage]:
        yield from records(12)
        raise error

    with pytest.raises(UserError if isinstance(error, OSError) else type(error)) as caught:
        build_dataset(tmp_path / "a", CLASSES, broken(), **ABOUT)
    assert not isinstance(error, OSError) or "No space left" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_does_not_touch_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    for name in ("full", "file", "file/below"):
        with pytest.raises(UserError, match=r"is there already|cannot be made"):
            build_dataset(tmp_path / name, CLASSES, records(), **ABOUT)
    build_dataset(tmp_path / "empty", CLASSES, records(), **ABOUT)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file", "full"]
    assert (tmp_path / "empty" / "dataset.json").exists()


@pytest.mark.parametrize("classes", [(), ("drone", "drone")])
def test_class_names_must_be_there_and_differ(tmp_path: Path, classes: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match="class names must be there and differ"):
        build_dataset(tmp_path / "a", classes, records(), **ABOUT)


def test_no_images(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no images were found"):
        build_dataset(tmp_path / "a", CLASSES, [], **ABOUT)
    assert list(tmp_path.iterdir()) == []
