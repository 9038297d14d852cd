"""A data set is known again wherever it lies, and a change of it is noticed."""

import os
import shutil
from pathlib import Path

import pytest

from yolox_gssam.common.errors import UserError
from yolox_gssam.data.coco_reader import CocoSplit, load_split
from yolox_gssam.data.snapshot import Snapshot


@pytest.fixture
def split(tiny_dataset: Path, tmp_path: Path) -> CocoSplit:
    shutil.copytree(tiny_dataset, tmp_path / "data")
    return load_split(tmp_path / "data" / "annotations" / "val.json", tmp_path / "data" / "images")


def test_the_same_data_elsewhere_have_the_same_hash(split: CocoSplit, tiny_dataset: Path) -> None:
    other = load_split(tiny_dataset / "annotations" / "val.json", tiny_dataset / "images")
    assert Snapshot(split).hash() == Snapshot(other).hash()


@pytest.mark.parametrize(
    "name", [pytest.param("annotations/val.json", id="labels"), pytest.param("images/val_0.jpg", id="image")]
)
def test_other_data_have_another_hash(split: CocoSplit, name: str) -> None:
    before = Snapshot(split).hash()
    with (split.image_dir.parent / name).open("ab") as stream:
        stream.write(b" ")
    assert Snapshot(split).hash() != before


def test_a_change_is_noticed_and_named(split: CocoSplit) -> None:
    snapshot = Snapshot(split)
    image = split.image_path(split.images[0])
    snapshot.check_annotations()
    snapshot.check_image(image)
    os.utime(image, ns=(0, 0))
    split.path.write_text("{}")
    with pytest.raises(UserError, match=r"val_0\.jpg: changed while the run used it"):
        snapshot.check_image(image)
    with pytest.raises(UserError, match=r"val\.json: changed while the run used it"):
        snapshot.check_annotations()


def test_an_image_that_is_gone_is_left_to_its_reader(split: CocoSplit) -> None:
    snapshot = Snapshot(split)
    image = split.image_path(split.images[0])
    image.unlink()
    snapshot.check_image(image)
