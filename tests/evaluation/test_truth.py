"""The truth of a split: the boxes of the file, image by image."""

import json
from pathlib import Path

from evaluation.cases import make_split, random_case

from yolox_gssam.evaluation.truth import load_annotations, truth_by_image


def test_agrees_with_the_split(tmp_path: Path) -> None:
    """The reader of training sees the same objects; its boxes are corners, and apart from them lie the crowds."""
    split, _ = random_case(tmp_path, 0)
    truth = truth_by_image(split)
    assert list(truth) == [image.image_id for image in split.images]
    for image in split.images:
        of_image = truth[image.image_id]
        assert of_image.labels.tolist() == image.labels.tolist()
        corners = of_image.boxes_xywh.copy()
        corners[:, 2:] += corners[:, :2]
        assert corners.tolist() == image.boxes_xyxy.tolist()
        assert not of_image.crowd.any()
        assert of_image.of_class(1).boxes_xywh.tolist() == of_image.boxes_xywh[image.labels == 1].tolist()


def test_fields_that_may_be_absent(tmp_path: Path) -> None:
    split = make_split(tmp_path, [[(7, (1, 2, 3, 4))], [(3, (5, 6, 7, 8))]])
    document = json.loads(split.path.read_text())
    for annotation in document["annotations"]:
        del annotation["area"], annotation["iscrowd"]
    split.path.write_text(json.dumps(document))
    first, second = load_annotations(split)
    assert first == {"image_id": 1, "category_id": 7, "bbox": [1, 2, 3, 4], "area": 12, "iscrowd": 0}
    assert (second["image_id"], second["area"]) == (2, 56)


def test_only_the_images_of_the_split(tmp_path: Path) -> None:
    split = make_split(tmp_path, [[(7, (1, 2, 3, 4))], [(3, (5, 6, 7, 8))]])
    part = type(split)(split.path, split.image_dir, split.classes, split.category_ids, split.images[1:])
    assert [annotation["image_id"] for annotation in load_annotations(part)] == [2]
    assert list(truth_by_image(part)) == [2]
