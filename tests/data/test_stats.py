from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from yolox_gssam.common.errors import UserError
from yolox_gssam.data.coco_reader import CocoSplit
from yolox_gssam.data.labelled import LabelledImage
from yolox_gssam.data.stats import object_areas, size_counts, summary_table, write_contact_sheet, write_histogram


def split_of(part: str, folder: Path, boxes_of_images: list[list[list[float]]]) -> CocoSplit:
    images = []
    for number, boxes in enumerate(boxes_of_images):
        name = f"{part}_{number}.png"
        cv2.imwrite(str(folder / name), np.full((100, 200, 3), 128, np.uint8))
        labels = np.arange(len(boxes)) % 2
        images.append(
            LabelledImage(
                name, 200, 100, np.array(boxes, float).reshape(-1, 4), labels, f"clip {number}", image_id=number
            )
        )
    return CocoSplit(folder / f"{part}.json", folder, ("bird", "drone"), (1, 2), tuple(images))


@pytest.fixture
def splits(tmp_path: Path) -> dict[str, CocoSplit]:
    return {
        "train": split_of("train", tmp_path, [[[0, 0, 7, 7], [10, 10, 26, 26]], [], [[50, 20, 90, 60]]]),
        "val": split_of("val", tmp_path, [[[0, 0, 200, 100], [3, 3, 10, 13], [5, 5, 9, 6]]]),
    }


def test_areas_are_those_of_the_boxes_or_of_the_file(splits: dict[str, CocoSplit]) -> None:
    np.testing.assert_allclose(object_areas(splits["train"]), [7 * 7, 16 * 16, 40 * 40])
    told = replace(splits["train"].images[0], areas=np.array([20.0, 30.0]))
    np.testing.assert_array_equal(object_areas(replace(splits["train"], images=(told,))), [20, 30])


def test_size_counts_at_the_bounds() -> None:
    sides = np.array([7.9, 8, 15.9, 16, 31.9, 32, 95.9, 96, 1000])
    # Small holds tiny, and that very tiny; 32 and 96 count twice, as in COCO.
    assert list(size_counts(sides**2).values()) == [1, 3, 6, 3, 2]
    assert list(size_counts(np.zeros(0)).values()) == [0] * 5


def test_summary_table(splits: dict[str, CocoSplit]) -> None:
    rows = {line.rsplit(maxsplit=3)[0].strip(): line.split()[-3:] for line in summary_table(splits).splitlines()}
    assert rows["images"] == ["3", "1", "4"]
    assert rows["images without objects"] == ["1", "0", "1"]
    assert rows["groups"] == ["3", "1", "4"]
    assert rows["objects"] == ["3", "3", "6"]
    assert rows["bird"] == ["2", "2", "4"]
    assert rows["very tiny, < 8 x 8"] == ["1", "1", "2"]
    assert rows["tiny, < 16 x 16"] == ["1", "2", "3"]
    assert rows["small, < 32 x 32"] == ["2", "2", "4"]
    assert rows["large, > 96 x 96"] == ["0", "1", "1"]


def test_pictures(tmp_path: Path, splits: dict[str, CocoSplit]) -> None:
    write_histogram(tmp_path / "out" / "sizes.png", splits)
    write_contact_sheet(tmp_path / "out" / "sheet.png", splits, columns=2)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["sheet.png", "sizes.png"]
    histogram = cv2.imread(str(tmp_path / "out" / "sizes.png"))
    sheet = cv2.imread(str(tmp_path / "out" / "sheet.png"))
    assert histogram.shape[0] > 300
    assert len(np.unique(histogram.reshape(-1, 3), axis=0)) > 10
    assert sheet.shape == (2 * 288, 2 * 384, 3)
    colours = {tuple(pixel) for pixel in sheet.reshape(-1, 3).tolist()}
    assert {(0, 200, 255), (255, 128, 0)} <= colours  # frames of both classes


def test_no_objects_at_all(tmp_path: Path) -> None:
    empty = {"train": split_of("train", tmp_path, [[], []])}
    write_histogram(tmp_path / "sizes.png", empty)
    write_contact_sheet(tmp_path / "sheet.png", empty)
    assert "objects" in summary_table(empty)


def test_unreadable_image(tmp_path: Path, splits: dict[str, CocoSplit]) -> None:
    (tmp_path / "val_0.png").write_text("no image")
    with pytest.raises(UserError, match=r"val_0\.png"):
        write_contact_sheet(tmp_path / "sheet.png", splits)
    assert not (tmp_path / "sheet.png").exists()
