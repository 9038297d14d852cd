"""What a detector gets right and wrong: each kind counted and shown."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from evaluation.cases import HEIGHT, WIDTH, Box, found, make_split

from yolox_gssam.common.errors import UserError
from yolox_gssam.data.coco_reader import CocoSplit
from yolox_gssam.evaluation.confusion import confusion_matrix
from yolox_gssam.research.pictures.error_cases import error_picture, find_cases

BIRD, DRONE, PLANE = range(3)
BOX, OTHER = (100.0, 100.0, 20.0, 20.0), (300.0, 300.0, 40.0, 30.0)


def split_with_images(folder: Path, images: Sequence[Sequence[tuple[int, Box]]]) -> CocoSplit:
    split = make_split(folder, images)
    split.image_dir.mkdir()
    for image in split.images:
        grey = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
        cv2.imwrite(str(split.image_path(image)), grey)
    return split


def test_each_case_is_counted_once(tmp_path: Path) -> None:
    split = make_split(tmp_path, [[(7, BOX), (3, OTHER)], [(7, BOX)], []])
    detections = {
        1: found((DRONE, 0.9, BOX), (DRONE, 0.8, BOX), (PLANE, 0.7, OTHER)),
        3: found((BIRD, 0.6, OTHER)),
    }
    cases = find_cases(split, detections)
    titles = {kind: [case.title for case in of_kind] for kind, of_kind in cases.items()}
    assert titles == {
        "found": ["drone 90%"],
        "taken for another class": ["bird taken for plane 70%"],
        "missed": ["drone"],
        "false alarm": ["drone 80%, IoU 1.00", "bird 60%"],
    }
    np.testing.assert_array_equal(cases["missed"][0].box_xyxy, [100, 100, 120, 120])
    matrix = confusion_matrix(split, detections)
    assert matrix.counts[:-1, -1].sum() == len(cases["missed"])
    assert matrix.counts[-1].sum() == len(cases["false alarm"])


def test_a_row_for_each_kind_and_a_clip_once(tmp_path: Path) -> None:
    split = split_with_images(tmp_path, [[(7, BOX)]] * 4)
    split = replace(
        split,
        images=tuple(replace(image, group=f"clip {number // 2}") for number, image in enumerate(split.images)),
    )
    detections = {image.image_id: found((DRONE, 0.9, BOX)) for image in split.images}
    picture = error_picture(split, find_cases(split, detections), count=6, seed=0, heading="test")
    assert 2 * 400 <= picture.shape[1] < 2 * 410, "four objects found, of two clips"
    detections[1] = found((DRONE, 0.9, OTHER))
    taller = error_picture(split, find_cases(split, detections), count=6, seed=0, heading="test")
    assert picture.shape[0] > 300
    assert taller.shape[0] > 3 * 300, "found, missed, false alarm"


def test_nothing_to_show(tmp_path: Path) -> None:
    split = make_split(tmp_path, [[], []])
    with pytest.raises(UserError, match="nothing to show"):
        error_picture(split, find_cases(split, {}), count=6, seed=0, heading="test")
