"""A network and data with other classes: objects and detections keep their class by name."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from evaluation.cases import found, make_split

from yolox_gssam.common.errors import UserError
from yolox_gssam.evaluation.classes import common_classes, keep_classes, keep_detections

BOXES = [(10, 10, 20, 20), (50, 50, 20, 20), (90, 90, 20, 20)]


def test_objects_and_detections_keep_their_class_by_name(tmp_path: Path) -> None:
    split = make_split(tmp_path, [[(3, BOXES[0]), (7, BOXES[1]), (9, BOXES[2])]])  # bird, drone, plane
    network = ("plane", "balloon", "bird")
    common = common_classes(split, network)
    assert common == ("bird", "plane")
    (image,) = (kept := keep_classes(split, common)).images
    assert (kept.classes, kept.category_ids) == (common, (3, 9))
    assert image.labels.tolist() == [0, 1]
    np.testing.assert_array_equal(image.boxes_xyxy[:, 0], [10, 90])
    detections = {1: found((0, 0.9, BOXES[2]), (1, 0.8, BOXES[1]), (2, 0.7, BOXES[0])), 2: found()}
    of_common = keep_detections(detections, network, common)
    assert of_common[1].labels.tolist() == [1, 0]
    np.testing.assert_allclose(of_common[1].scores, [0.9, 0.7])
    assert len(of_common[2]) == 0


def test_two_classes_of_one_name(tmp_path: Path) -> None:
    split = make_split(tmp_path, [[]])
    with pytest.raises(UserError, match="two classes are named 'bird'"):
        common_classes(replace(split, classes=("bird", "bird", "plane")), ["bird", "plane"])
    assert common_classes(replace(split, classes=("bird", "bird", "plane")), ["plane"]) == ("plane",)


def test_nothing_in_common(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none of its classes .*'bird'.* is among those of the network, \['car'\]"):
        common_classes(make_split(tmp_path, [[]]), ["car"])
