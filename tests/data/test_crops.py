"""Objects cut out of a COCO set, compared with slices of the images."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from torchvision.datasets import ImageFolder

from yolox_gssam.common.errors import UserError
from yolox_gssam.data.coco_reader import CocoSplit, load_split
from yolox_gssam.data.crops import CropRule, make_crops

WIDTH, HEIGHT = 80, 60
PNG = CropRule(context=2, min_side=4, jpeg=False)


def write_part(root: Path, part: str, objects: list[list[tuple[str, list[int]]]]) -> CocoSplit:
    """A part with one noisy image for each entry; its objects are (class, [x, y, w, h]); a clip is two images."""
    rng = np.random.default_rng([*part.encode()])
    names = ("bird", "drone", "plane")
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, boxes in enumerate(objects):
        name = f"{part}{number // 2}_{number}.png"
        cv2.imwrite(str(root / name), rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8))
        clip = f"{part}{number // 2}"
        images.append({"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT, "group": clip})
        for label, box in boxes:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": names.index(label),
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": 0,
                }
            )
    categories = [{"id": number, "name": name} for number, name in enumerate(names)]
    path = root / f"{part}.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return load_split(path, root)


@pytest.fixture
def splits(tmp_path: Path) -> dict[str, CocoSplit]:
    both = [("bird", [30, 20, 10, 6]), ("drone", [50, 30, 8, 12])]
    return {
        "train": write_part(tmp_path, "train", [both, [("bird", [0, 0, 6, 10])], [], both]),
        "val": write_part(tmp_path, "val", [both]),
        "test": write_part(tmp_path, "test", [both, both]),
    }


def cut_all(splits: dict[str, CocoSplit], out: Path, rule: CropRule = PNG, **changed: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = {"classes": ["bird", "drone"], "limit": None, "balanced": False, "seed": 0}
    return make_crops(splits, out, rule, **{**arguments, **changed}, source={"source": "drawn"})


def files(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_pixels_of_a_box_with_context(splits: dict[str, CocoSplit], tmp_path: Path) -> None:
    """Box 10 x 6 at (30, 20): centre (35, 23), the square is 20 pixels wide: 25 to 45, and 13 to 33."""
    cut_all(splits, tmp_path / "out")
    image = cv2.imread(str(tmp_path / "train0_0.png"))
    crop = cv2.imread(str(tmp_path / "out" / "train" / "bird" / "train0_0_0_0.png"))
    np.testing.assert_array_equal(crop, image[13:33, 25:45])


def test_square_moves_into_the_image_at_its_border(splits: dict[str, CocoSplit], tmp_path: Path) -> None:
    cut_all(splits, tmp_path / "out")
    image = cv2.imread(str(tmp_path / "train0_1.png"))
    crop = cv2.imread(str(tmp_path / "out" / "train" / "bird" / "train0_1_1_0.png"))
    np.testing.assert_array_equal(crop, image[:20, :20])


def test_square_larger_than_the_image_repeats_its_border() -> None:
    image = np.random.default_rng(0).integers(0, 256, (6, 10, 3), dtype=np.uint8)
    crop = CropRule(context=1, min_side=12).cut(image, [2, 2, 4, 4])
    np.testing.assert_array_equal(crop, cv2.copyMakeBorder(image, 3, 3, 1, 1, cv2.BORDER_REPLICATE))


def test_size_scales_the_crop(splits: dict[str, CocoSplit], tmp_path: Path) -> None:
    cut_all(splits, tmp_path / "out", CropRule(context=2, min_side=4, size=10, jpeg=False))
    image = cv2.imread(str(tmp_path / "train0_0.png"))
    crop = cv2.imread(str(tmp_path / "out" / "train" / "bird" / "train0_0_0_0.png"))
    means = image[13:33, 25:45].reshape(10, 2, 10, 2, 3).mean((1, 3))
    assert np.abs(crop - means).max() <= 0.5


def test_parts_stay_apart_and_are_counted(splits: dict[str, CocoSplit], tmp_path: Path) -> None:
    summary = cut_all(splits, tmp_path / "out")
    assert summary["splits"] == {
        "train": {"crops": {"bird": 3, "drone": 2}, "groups": 2},
        "val": {"crops": {"bird": 1, "drone": 1}, "groups": 1},
        "test": {"crops": {"bird": 2, "drone": 2}, "groups": 1},
    }
    assert json.loads((tmp_path / "out" / "dataset.json").read_text()) == summary
    for part in splits:
        folder = ImageFolder(str(tmp_path / "out" / part))
        assert folder.classes == ["bird", "drone"]
        assert all(Path(path).name.startswith(part) for path, _ in folder.imgs)  # of the part's own clips


def test_limit_and_balance_are_drawn_by_the_seed(splits: dict[str, CocoSplit], tmp_path: Path) -> None:
    crops = {
        seed: cut_all(splits, tmp_path / f"balanced{seed}", balanced=True, seed=seed)["splits"]["train"]["crops"]
        for seed in range(6)
    }
    assert list(crops.values()) == [{"bird": 2, "drone": 2}] * 6
    drawn = {frozenset(files(tmp_path / f"balanced{seed}")) for seed in range(6)}
    assert len(drawn) > 1
    limited = cut_all(splits, tmp_path / "limited", limit=1)
    assert limited["splits"]["test"]["crops"] == {"bird": 1, "drone": 1}


def test_same_arguments_give_the_same_files(splits: dict[str, CocoSplit], tmp_path: Path) -> None:
    cut_all(splits, tmp_path / "one", CropRule(), limit=2, seed=3)
    cut_all(splits, tmp_path / "two", CropRule(), limit=2, seed=3)
    assert files(tmp_path / "one") == files(tmp_path / "two")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        pytest.param({"classes": None}, r"train.json: no object of class plane; leave them out", id="class lacks"),
        pytest.param({"classes": ["bird", "kite"]}, "unknown class kite; the set has bird, drone, plane", id="unknown"),
    ],
)
def test_bad_classes_are_refused_and_nothing_is_left(
    changed: dict[str, Any], message: str, splits: dict[str, CocoSplit], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        cut_all(splits, tmp_path / "out", **changed)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_there_is_refused(splits: dict[str, CocoSplit], tmp_path: Path) -> None:
    cut_all(splits, tmp_path / "out")
    with pytest.raises(UserError, match="is there already"):
        cut_all(splits, tmp_path / "out")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"context": 0.9}, "the context must be from 1, the box itself, .* not 0.9", id="context"),
        pytest.param({"context": float("nan")}, "not nan", id="nan"),
        pytest.param({"min_side": 0}, "at least 1 pixel", id="side"),
        pytest.param({"size": 0}, "at least 1 pixel", id="size"),
    ],
)
def test_bad_rules_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        CropRule(**options)
