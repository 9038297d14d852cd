"""Drawn masks, and those of SIRST, against pieces found by walking and the set's own numbers."""

import base64
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from yolox_gssam.common.errors import UserError
from yolox_gssam.data.faults import Fault, raise_fatal
from yolox_gssam.data.formats.labelme import read_labelme_set
from yolox_gssam.data.formats.masks import MaskRule, mask_boxes, read_mask, read_mask_set

SIRST = Path(__file__).parents[4] / "shared" / "data" / "sirst"


def pieces(mask: NDArray[np.generic]) -> list[list[int]]:
    """Boxes of the 8-connected pieces, by walking from pixel to neighbour."""
    left = set(zip(*(axis.tolist() for axis in np.nonzero(mask)), strict=True))
    boxes = []
    while left:
        found, queue = set(), [left.pop()]
        while queue:
            row, column = queue.pop()
            found.add((row, column))
            near = {(row + y, column + x) for y in (-1, 0, 1) for x in (-1, 0, 1)} & left
            left -= near
            queue += near
        rows, columns = zip(*found, strict=True)
        boxes.append([min(columns), min(rows), max(columns) + 1 - min(columns), max(rows) + 1 - min(rows)])
    return sorted(boxes)


def save(root: Path, name: str, mask: NDArray[np.generic], image_hw: tuple[int, int] | None = None) -> None:
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(root / "images" / f"{name}.png"), np.full(image_hw or mask.shape[:2], 90, np.uint8))
    cv2.imwrite(str(root / "masks" / f"{name}.png"), mask)


def drawn(seed: int) -> NDArray[np.uint8]:
    """Scattered pixels, some of which touch by a corner only."""
    return ((np.random.default_rng(seed).random((24, 31)) < 0.12) * 255).astype(np.uint8)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_each_piece_is_a_box_to_the_pixel(tmp_path: Path, dtype: type) -> None:
    masks = [drawn(seed).astype(dtype) * (257 if dtype == np.uint16 else 1) for seed in range(5)]
    for seed, mask in enumerate(masks):
        save(tmp_path, f"{seed}", mask)
    labelled = read_mask_set(tmp_path, MaskRule(), report=raise_fatal)
    assert labelled.classes == ("target",)
    assert [sample.file_name for sample in labelled.samples] == [f"{seed}.png" for seed in range(5)]
    for sample, mask in zip(labelled.samples, masks, strict=True):
        assert sorted(sample.boxes_xywh.tolist()) == pieces(mask)


def test_values_of_16_bit_are_kept(tmp_path: Path) -> None:
    mask = np.zeros((8, 8), np.uint16)
    mask[1, 1], mask[5:7, 5] = 1, 40_000
    save(tmp_path, "a", mask)
    assert sorted(np.unique(read_mask(tmp_path / "masks" / "a.png"))) == [0, 1, 40_000]
    (sample,) = read_mask_set(tmp_path, MaskRule(), report=raise_fatal).samples
    assert sorted(sample.boxes_xywh.tolist()) == [[1, 1, 1, 1], [5, 5, 1, 2]]


def test_instances_by_value_and_by_colour(tmp_path: Path) -> None:
    mask = np.zeros((10, 12), np.uint8)
    mask[2:4, 2:5], mask[4:6, 5:8], mask[8, 2] = 1, 2, 1  # the first is in two pieces, and touches the second
    values = mask_boxes(mask, MaskRule(instances=True))[0]
    assert values.tolist() == [[2, 2, 3, 7], [5, 4, 3, 2]]
    assert sorted(mask_boxes(mask, MaskRule())[0].tolist()) == [[2, 2, 6, 4], [2, 8, 1, 1]]
    palette = Image.fromarray(mask)
    palette.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0])
    colours = np.array([[0, 0, 0], [200, 0, 0], [0, 200, 0]], np.uint8)[mask]
    palette.save(tmp_path / "palette.png")
    Image.fromarray(colours).save(tmp_path / "colours.png")
    for name in ("palette", "colours"):
        read = read_mask(tmp_path / f"{name}.png")
        assert sorted(mask_boxes(read, MaskRule(instances=True))[0].tolist()) == sorted(values.tolist())


def test_small_pieces_are_left_out_and_counted(tmp_path: Path) -> None:
    mask = np.zeros((10, 12), np.uint8)
    mask[2:4, 2:5], mask[8, 8] = 255, 255
    save(tmp_path, "a", mask)
    faults: list[Fault] = []
    (sample,) = read_mask_set(tmp_path, MaskRule(min_area=2), report=faults.append).samples
    assert sample.boxes_xywh.tolist() == [[2, 2, 3, 2]]
    assert [fault.message for fault in faults] == ["1 pieces are smaller than --min-area and were left out"]


def test_what_does_not_go_together_is_named_counted_and_left_out(tmp_path: Path) -> None:
    mask = drawn(0)
    save(tmp_path, "good", mask)
    save(tmp_path, "other_size", mask, (48, 62))
    save(tmp_path, "empty", np.zeros_like(mask))
    cv2.imwrite(str(tmp_path / "images" / "alone.png"), mask)
    cv2.imwrite(str(tmp_path / "masks" / "lost_pixels0.png"), mask)
    soft = cv2.GaussianBlur(np.kron(np.eye(2, dtype=np.uint8), np.full((12, 12), 255, np.uint8)), (3, 3), 1)
    save(tmp_path, "soft", soft)
    faults: list[Fault] = []
    labelled = read_mask_set(tmp_path, MaskRule(), report=faults.append)
    assert [sample.file_name for sample in labelled.samples] == ["empty.png", "good.png", "soft.png"]
    assert not any(fault.fatal for fault in faults)
    told = "\n".join(map(str, faults))
    for words in (
        "images/alone.png: has no mask; left out",
        "masks/lost_pixels0.png: has no image; left out",
        "masks/other_size.png: is 31 x 24, its image 62 x 48; left out",
        "1 masks are of another size than their image; left out with it, not resized",
        "1 masks are antialiased or were saved as JPEG, such as soft.png",
        "1 masks are empty: images without objects",
        "1 images have no mask",
        "1 masks have no image",
    ):
        assert words in told


def test_parts_by_lists_and_by_folders(tmp_path: Path) -> None:
    for seed, name in enumerate(("a", "b", "c", "d")):
        save(tmp_path / "set", name, drawn(seed))
    lists = tmp_path / "set" / "img_idx"
    lists.mkdir()
    (lists / "train_NUDT-SIRST.txt").write_text("a\nb.png\n")
    (lists / "val_NUDT-SIRST.txt").write_text("images/c.png\n")
    faults: list[Fault] = []
    for folder in (None, Path("img_idx"), lists):
        labelled = read_mask_set(tmp_path / "set", MaskRule(), report=faults.append, keep_split=True, lists=folder)
        parts = [(sample.file_name, sample.part) for sample in labelled.samples]
        assert parts == [("a.png", "train"), ("b.png", "train"), ("c.png", "val")]
    assert "1 images are in no list and left out, such as d.png" in str(faults[0])
    (tmp_path / "set" / "more").mkdir()
    (tmp_path / "set" / "more" / "train.txt").write_text("a\n")
    with pytest.raises(UserError, match="found several, img_idx, more; give it as in --keep-split FOLDER"):
        read_mask_set(tmp_path / "set", MaskRule(), report=raise_fatal, keep_split=True)
    (lists / "val_NUDT-SIRST.txt").write_text("a\n")
    with pytest.raises(UserError, match="line 1: 'a' is also in the train part"):
        read_mask_set(tmp_path / "set", MaskRule(), report=raise_fatal, keep_split=True, lists=lists)
    for part in ("train", "test"):
        save(tmp_path / "folders" / part, "a", drawn(0))
    labelled = read_mask_set(tmp_path / "folders", MaskRule(), report=raise_fatal, keep_split=True)
    parts = [(sample.file_name, sample.part) for sample in labelled.samples]
    assert parts == [("test/images/a.png", "test"), ("train/images/a.png", "train")]


@pytest.mark.skipif(not SIRST.is_dir(), reason="../shared/data/sirst is not there")
def test_sirst() -> None:
    labelled = read_mask_set(SIRST, MaskRule(), report=raise_fatal, keep_split=True, lists=Path("split_eflnet"))
    assert len(labelled.samples) == 427
    assert sum(len(sample.labels) for sample in labelled.samples) == 533
    for part, images, targets in (("train", 256, 307), ("val", 85, 113), ("test", 86, 113)):
        samples = [sample for sample in labelled.samples if sample.part == part]
        assert (len(samples), sum(len(sample.labels) for sample in samples)) == (images, targets)
        names = (SIRST / "split_eflnet" / f"{part}.txt").read_text().split()
        assert sorted(sample.path.stem for sample in samples) == sorted(names)
    for sample in labelled.samples[::10]:
        mask = cv2.imread(str(SIRST / "masks" / f"{sample.path.stem}_pixels0.png"), cv2.IMREAD_UNCHANGED)
        assert sorted(sample.boxes_xywh.tolist()) == pieces(mask)


def test_labelme(tmp_path: Path) -> None:
    inner = np.zeros((6, 5), np.uint8)
    inner[1:4, 2:5] = 255
    png = cv2.imencode(".png", inner)[1].tobytes()
    shapes = [
        {"label": "drone", "points": [[3.5, 2], [9, 2.25], [6, 8]], "shape_type": "polygon"},
        {"label": "bird", "points": [[20, 12], [16, 10]], "shape_type": "rectangle"},
        {"label": "bird", "points": [[10, 10], [13, 14]], "shape_type": "circle"},
        {
            "label": "drone",
            "points": [[10, 4], [14, 9]],
            "shape_type": "mask",
            "mask": base64.b64encode(png).decode(),
        },
        {"label": "bird", "points": [[1, 1]], "shape_type": "point"},
    ]
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "a.png"), np.zeros((20, 30), np.uint8))
    document = {"version": "5.4.1", "flags": {}, "shapes": shapes, "imagePath": "..\\images\\a.png", "imageData": None}
    (tmp_path / "labels" / "a.json").write_text(json.dumps(document))
    faults: list[Fault] = []
    labelled = read_labelme_set(tmp_path, report=faults.append)
    assert labelled.classes == ("bird", "drone")
    (sample,) = labelled.samples
    assert (sample.path, sample.labels) == (tmp_path / "images" / "a.png", [1, 0, 0, 1])
    assert sample.boxes_xywh.tolist() == [[3.5, 2, 5.5, 6], [16, 10, 4, 2], [5, 5, 10, 10], [12, 5, 3, 3]]
    assert [str(fault) for fault in faults] == [
        f"{tmp_path}/labels/a.json: shape 5: is a 'point', which has no area; left out"
    ]
    shapes[0]["points"] = [[1, float("nan")], [2, 2]]
    (tmp_path / "labels" / "a.json").write_text(json.dumps(document))
    with pytest.raises(UserError, match="shape 1: points must be pairs of finite numbers"):
        read_labelme_set(tmp_path, report=raise_fatal)
