import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from yolox_gssam.common.errors import UserError
from yolox_gssam.data.check import check_dataset, read_splits
from yolox_gssam.data.faults import raise_fatal
from yolox_gssam.data.refinement.clip import PADDING
from yolox_gssam.data.refinement.dataset import looseness, refine_dataset


def make_set(root: Path, per_group: int, margin: float) -> dict[str, list[float]]:
    """A set of 24 + 12 images with one object of 8 x 6 pixels each; returns the object's box by image name."""
    rng = np.random.default_rng(2)
    (root / "images").mkdir(parents=True)
    (root / "annotations").mkdir()
    truth = {}
    for part, count in (("train", 24), ("val", 12)):
        images, annotations = [], []
        for number in range(count):
            name, group = f"{part}_{number:03d}.png", f"{part}{number // per_group}"
            left, top = 40 + 2 * (number % per_group), 30 + number % per_group
            pixels = rng.normal(120, 2, (90, 120))
            pixels[top : top + 6, left : left + 8] -= 70
            cv2.imwrite(str(root / "images" / name), pixels.round().astype(np.uint8))
            truth[name] = [left, top, 8, 6]
            low = margin + rng.uniform(-0.5, 0.5, 2)
            box = [left - low[0], top - low[1], 8 + 2 * margin, 6 + 2 * margin]
            images.append({"id": number + 1, "file_name": name, "width": 120, "height": 90, "group": group})
            annotation = {"id": number + 1, "image_id": number + 1, "category_id": 1, "bbox": box, "iscrowd": 0}
            annotations.append({**annotation, "area": box[2] * box[3]})
        document = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "drone"}]}
        (root / "annotations" / f"{part}.json").write_text(json.dumps(document))
    return truth


def annotations_of(root: Path) -> dict[str, dict[str, Any]]:
    found = {}
    for path in (root / "annotations").glob("*.json"):
        document = json.loads(path.read_text())
        names = {image["id"]: image["file_name"] for image in document["images"]}
        found |= {names[annotation["image_id"]]: annotation for annotation in document["annotations"]}
    return found


@pytest.mark.parametrize("per_group", [pytest.param(1, id="single images"), pytest.param(12, id="films")])
def test_a_new_set_has_tight_boxes_and_keeps_the_old_ones(tmp_path: Path, per_group: int) -> None:
    truth = make_set(tmp_path / "loose", per_group, margin=8)
    summary = refine_dataset(tmp_path / "loose", tmp_path / "tight", command="test")
    before, after = annotations_of(tmp_path / "loose"), annotations_of(tmp_path / "tight")
    assert set(after) == set(truth)
    for name, (left, top, width, height) in truth.items():
        expected = [left - PADDING, top - PADDING, width + 2 * PADDING, height + 2 * PADDING]
        np.testing.assert_allclose(after[name]["bbox"], expected, atol=1.2)
        np.testing.assert_allclose(after[name]["original_bbox"], before[name]["bbox"], atol=1e-3)
        assert after[name]["refined"] == "measured"
    assert summary["refined"] == {"measured": 36, "carried": 0, "shrunk": 0}
    assert summary["padding"] == PADDING
    assert check_dataset(tmp_path / "tight") == []
    assert {part: counts["images"] for part, counts in summary["splits"].items()} == {"train": 24, "val": 12, "test": 0}


def test_single_images_without_contrast_are_shrunk(tmp_path: Path) -> None:
    make_set(tmp_path / "loose", 1, margin=8)
    path = tmp_path / "loose" / "images" / "train_005.png"
    cv2.imwrite(str(path), np.random.default_rng(0).normal(120, 2, (90, 120)).round().astype(np.uint8))
    refine_dataset(tmp_path / "loose", tmp_path / "tight", command="test")
    annotation = annotations_of(tmp_path / "tight")["train_005.png"]
    assert annotation["refined"] == "shrunk"
    np.testing.assert_allclose(annotation["bbox"][2:], [8 + 2 * PADDING, 6 + 2 * PADDING], atol=1)


@pytest.mark.parametrize(
    ("margin", "ratio", "hint"),
    [
        pytest.param(8, (24 * 22 / 48) ** 0.5, True, id="loose"),
        pytest.param(1, (10 * 8 / 48) ** 0.5, False, id="tight"),
    ],
)
def test_looseness_is_told(tmp_path: Path, margin: float, ratio: float, hint: bool) -> None:
    make_set(tmp_path / "set", 12, margin)
    found = looseness(read_splits(tmp_path / "set", raise_fatal), sample=20)
    assert (found.drawn, found.measured) == (20, 20)
    assert found.ratio == pytest.approx(ratio, rel=0.12)
    assert ("prepare_dataset.py refine" in str(found)) == hint


def test_sets_with_folds_are_refused(tmp_path: Path) -> None:
    make_set(tmp_path / "set", 12, 8)
    (tmp_path / "set" / "annotations" / "fold0").mkdir()
    with pytest.raises(UserError, match="has folds"):
        refine_dataset(tmp_path / "set", tmp_path / "out", command="test")
    assert not (tmp_path / "out").exists()
