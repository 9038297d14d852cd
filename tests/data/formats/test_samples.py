from pathlib import Path

import cv2
import numpy as np
import pytest

from yolox_gssam.common.bit_depth import to_eight_bits
from yolox_gssam.common.errors import UserError
from yolox_gssam.common.images import encode_jpeg, read_image
from yolox_gssam.data.faults import Fault, raise_fatal
from yolox_gssam.data.formats.samples import (
    LabelledSet,
    Sample,
    find_images,
    group_by_name,
    part_named,
    read_text,
)


def sample(path: Path, **changes: object) -> Sample:
    fields = {"path": path, "file_name": path.name, "boxes_xywh": np.array([[0.25, 0.5, 0.5, 0.25]]), "labels": [0]}
    return Sample(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "clip1_0007.jpg"
    path.write_bytes(encode_jpeg(np.zeros((20, 40, 3), np.uint8), 90))
    return path


def test_fractions_become_pixels(image: Path) -> None:
    ((record, data),) = LabelledSet(("drone",), [sample(image, fractions=True)]).records()
    np.testing.assert_array_equal(record.boxes_xyxy, [[10, 10, 30, 15]])
    assert (record.width, record.height, record.group) == (40, 20, "clip1_0007.jpg")
    assert data == image.read_bytes()


def test_wrong_size_and_missing_image(image: Path) -> None:
    with pytest.raises(UserError, match=r"clip1_0007\.jpg: is 40 x 20, its labels say \(41, 20\)"):
        list(LabelledSet(("drone",), [sample(image, size_wh=(41, 20))]).records())
    with pytest.raises(UserError, match=r"b\.jpg: no such image file"):
        list(LabelledSet(("drone",), [sample(image.with_name("b.jpg"))]).records())


def test_groups_from_names(image: Path) -> None:
    (grouped,) = group_by_name([sample(image)], r"^(clip\d+)_")
    assert grouped.group == "clip1"


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(", "not a regular expression"),
        ("clip", "one pair of brackets"),
        ("(a)(b)", "one pair"),
        ("(x+)", "not match"),
    ],
)
def test_patterns_that_are_no_use(image: Path, pattern: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        group_by_name([sample(image)], pattern)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        *(("train", "train"), ("instances_train2017", "train"), ("valid", "val"), ("val2017", "val"), ("Test", "test")),
        *(("constraint", None), ("annotations", None), ("my-validation", "val"), ("latest", None)),
    ],
)
def test_part_named(name: str, part: str | None) -> None:
    assert part_named(name) == part


def test_find_images(tmp_path: Path) -> None:
    (tmp_path / "set" / "sub").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    for name in ("set/b.JPG", "set/sub/a.png", "set/notes.txt", "other/c.jpg"):
        (tmp_path / name).touch()
    (tmp_path / "set" / "link").symlink_to(tmp_path / "other")
    assert [path.name for path in find_images(tmp_path / "set", raise_fatal)] == ["b.JPG", "c.jpg", "a.png"]


def test_read_text(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbf0 1")
    assert read_text(path) == "0 1"
    path.write_bytes(b"\xff\xfe0")
    with pytest.raises(UserError, match="not a text file in UTF-8"):
        read_text(path)
    with pytest.raises(UserError, match="larger than"):
        read_text(path, max_bytes=2)
    with pytest.raises(UserError, match="no such file"):
        read_text(tmp_path)


def test_images_of_kinds_that_are_not_read_are_counted_and_named(tmp_path: Path) -> None:
    for name in ("a.jfif", "b.gif", "sub/c.HEIC", "d.cr2", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    faults: list[Fault] = []
    assert [path.name for path in find_images(tmp_path, faults.append)] == ["a.jfif", "b.gif"]
    (fault,) = faults
    assert not fault.fatal
    assert fault.message == (
        "2 images are of kinds that are not read; left out: d.cr2, sub/c.HEIC; save them as JPEG or PNG"
    )


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_deep_images_are_kept_or_stored_by_one_range(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    values = np.array([[7000, 7100, 7255, 7500]], np.uint16)
    cv2.imwrite(str(path), values)
    deep: list[str] = []
    labelled = LabelledSet(("drone",), [sample(path, labels=[0])])
    ((kept, kept_data),) = labelled.records(None, deep)
    ((stored, stored_data),) = labelled.records((7000, 7510), deep)
    assert (kept_data, kept.file_name) == (path.read_bytes(), path.name)
    np.testing.assert_array_equal(read_image(path), to_eight_bits(values[..., None].repeat(3, -1)))
    assert stored.file_name == ("a.png" if suffix == "png" else "a.tif.png")
    pixels = cv2.imdecode(np.frombuffer(stored_data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert pixels.tolist() == [[0, 50, 128, 250]]
    assert pixels.dtype == np.uint8
    assert deep == [path.name] * 2


def test_links_to_images_and_folders_are_followed_but_not_in_circles(image: Path, tmp_path: Path) -> None:
    root = tmp_path / "set"
    (root / "train").mkdir(parents=True)
    (tmp_path / "store").mkdir()
    image.rename(tmp_path / "store" / "blob.jpg")
    (root / "train" / "a.jpg").symlink_to(tmp_path / "store" / "blob.jpg")
    (root / "val").symlink_to(tmp_path / "store")
    (root / "train" / "circle").symlink_to(root)
    (root / "disk").symlink_to("/")
    assert [path.relative_to(root).as_posix() for path in find_images(root, raise_fatal)] == [
        "train/a.jpg",
        "val/blob.jpg",
    ]
    assert read_image(root / "train" / "a.jpg").shape == (20, 40, 3)
