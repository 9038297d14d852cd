import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from yolox_gssam.common.errors import UserError
from yolox_gssam.data.faults import Fault, raise_fatal
from yolox_gssam.data.formats.coco import read_coco_set


def write(path: Path, names: list[str], **changes: Any) -> Path:
    """An annotation file with category ids 5, 2, 9, one object of class 9 on the first image, none on the others."""
    content = {
        "images": [{"id": i, "file_name": n, "width": 40, "height": 20, "clip": i // 2} for i, n in enumerate(names)],
        "annotations": [{"image_id": 0, "category_id": 9, "bbox": [1, 2, 3, 4]}],  # some tools write no ids
        "categories": [{"id": 5, "name": "b"}, {"id": 2, "name": "a"}, {"id": 9, "name": "c"}],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**content, **changes}))
    return path


def test_labels_are_ranks_and_images_without_objects_stay(tmp_path: Path) -> None:
    labelled = read_coco_set([write(tmp_path / "all.json", ["x.jpg", "sub/y.jpg"])], report=raise_fatal)
    assert labelled.classes == ("a", "b", "c")
    first, second = labelled.samples
    assert (first.file_name, second.file_name) == ("x.jpg", "sub/y.jpg")
    assert first.labels == [2]
    np.testing.assert_array_equal(first.boxes_xywh, [[1, 2, 3, 4]])
    assert len(second.labels) == len(second.boxes_xywh) == 0
    assert first.path == tmp_path / "x.jpg"
    assert first.group is None


def test_several_files_with_their_own_folders(tmp_path: Path) -> None:
    faults: list[Fault] = []
    paths = [write(tmp_path / part / "_annotations.coco.json", ["x.jpg"]) for part in ("train", "valid", "test")]
    for path in paths:
        (path.parent / "x.jpg").touch()
    labelled = read_coco_set(paths, report=faults.append)
    assert [sample.file_name for sample in labelled.samples] == ["train/x.jpg", "valid/x.jpg", "test/x.jpg"]
    assert [sample.part for sample in labelled.samples] == [None] * 3
    assert ["split anew" in str(fault) for fault in faults] == [True]
    kept = read_coco_set(paths, report=raise_fatal, keep_split=True)
    assert [sample.part for sample in kept.samples] == ["train", "val", "test"]


def test_one_image_folder_for_all_files(tmp_path: Path) -> None:
    paths = [write(tmp_path / "annotations" / f"instances_{n}2017.json", [f"{n}.jpg"]) for n in ("train", "val")]
    labelled = read_coco_set(paths, [tmp_path / "pictures"], report=raise_fatal, keep_split=True)
    assert [(s.file_name, s.part) for s in labelled.samples] == [("train.jpg", "train"), ("val.jpg", "val")]
    assert labelled.samples[0].path == tmp_path / "pictures" / "train.jpg"


def test_groups_from_a_field(tmp_path: Path) -> None:
    path = write(tmp_path / "all.json", ["x.jpg", "y.jpg", "z.jpg"])
    labelled = read_coco_set([path], report=raise_fatal, group_field="clip")
    assert [sample.group for sample in labelled.samples] == ["0", "0", "1"]
    with pytest.raises(UserError, match="image 0: has no field 'video'"):
        read_coco_set([path], report=raise_fatal, group_field="video")


def test_crowd_regions_stay_crowd_regions(tmp_path: Path) -> None:
    annotations = [
        {"image_id": 0, "category_id": 2, "bbox": [0, 0, 9, 9], "iscrowd": 1},
        {"image_id": 0, "category_id": 5, "bbox": [1, 1, 2, 2]},
    ]
    path = write(tmp_path / "all.json", ["x.jpg"], annotations=annotations)
    (sample,) = read_coco_set([path], report=raise_fatal).samples
    assert (sample.labels, sample.crowd) == ([1, 0], [False, True])


def test_what_does_not_go_together(tmp_path: Path) -> None:
    first = write(tmp_path / "set" / "one.json", ["x.jpg"])
    other = write(tmp_path / "set" / "two.json", ["y.jpg"], categories=[{"id": 9, "name": "c"}])
    with pytest.raises(UserError, match=r"two\.json: its categories differ"):
        read_coco_set([first, other], report=raise_fatal)
    with pytest.raises(UserError, match="one --images folder"):
        read_coco_set([first], [tmp_path, tmp_path], report=raise_fatal)
    with pytest.raises(UserError, match=r"one\.json: --keep-split cannot tell the part"):
        read_coco_set([first], report=raise_fatal, keep_split=True)


def test_paths_that_leave_the_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="leaves the image folder"):
        read_coco_set([write(tmp_path / "all.json", ["../x.jpg"])], report=raise_fatal)


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        pytest.param({"annotations/all.json": ["images/a.jpg"]}, ["a.jpg"], id="images beside"),
        pytest.param(
            {
                "annotations/instances_train2017.json": ["train2017/a.jpg"],
                "annotations/instances_val2017.json": ["val2017/a.jpg"],
            },
            ["train2017/a.jpg", "val2017/a.jpg"],
            id="COCO's own",
        ),
        pytest.param(
            {"annotations/train.json": ["images/train/a.jpg"], "annotations/val.json": ["images/val/a.jpg"]},
            ["train/a.jpg", "val/a.jpg"],
            id="parts in images",
        ),
        pytest.param({"annotations/x.json": ["pictures/a.jpg"]}, ["a.jpg"], id="a folder of any name"),
        pytest.param({"x.json": ["images/a.jpg"]}, ["a.jpg"], id="images below"),
        pytest.param({"train/x.json": ["train/a.jpg"]}, ["a.jpg"], id="beside the file"),
    ],
)
def test_images_are_found_where_they_usually_lie(
    tmp_path: Path, layout: dict[str, list[str]], expected: list[str]
) -> None:
    for image in (image for images in layout.values() for image in images):
        (tmp_path / image).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / image).touch()
    for name, images in layout.items():
        write(tmp_path / name, [Path(image).name for image in images])
    labelled = read_coco_set([tmp_path / name for name in layout], report=raise_fatal)
    assert [sample.file_name for sample in labelled.samples] == expected
    assert [sample.path for sample in labelled.samples] == [tmp_path / image for (image,) in layout.values()]


def test_names_of_another_machine_end_below_the_set(tmp_path: Path) -> None:
    (tmp_path / "train" / "images").mkdir(parents=True)
    (tmp_path / "train" / "images" / "a.jpg").touch()
    faults: list[Fault] = []
    path = write(tmp_path / "annotations" / "all.json", ["/content/drive/MyDrive/drones/train/images/a.jpg"])
    (sample,) = read_coco_set([path], report=faults.append).samples
    assert (sample.path, sample.file_name) == (tmp_path / "train" / "images" / "a.jpg", "train/images/a.jpg")
    assert any("the images whose paths end alike were taken" in str(fault) for fault in faults)


def test_where_images_were_looked_for_is_told(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    faults: list[Fault] = []
    read_coco_set([write(tmp_path / "annotations" / "all.json", ["a.jpg"])], report=faults.append)
    assert [str(fault) for fault in faults] == [
        f"{tmp_path}/annotations/all.json: none of its images, such as 'a.jpg', is in {tmp_path}/annotations, "
        f"{tmp_path}/images, {tmp_path}; tell their folder by --images"
    ]
