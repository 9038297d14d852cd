"""A few classes of a folder of images."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from yolox_gssam.common.errors import UserError
from yolox_gssam.data.subset import copy_classes


def write_folder(root: Path, counts: dict[str, int], classes: int = 6) -> Path:
    """`counts[part]` noisy images of each class."""
    rng = np.random.default_rng(0)
    for part, count in counts.items():
        for label in range(classes):
            folder = root / part / f"n{label:04d}"
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{part}_{label}_{number}.png")
    return root


def names(out: Path, part: str) -> set[str]:
    return {path.name for path in (out / part).rglob("*.png")}


def test_without_test_images_the_validation_ones_become_them(tmp_path: Path) -> None:
    """As ImageNet: of 20 training images of each class 2 are validated on."""
    root = write_folder(tmp_path / "all", {"train": 20, "val": 3})
    summary = copy_classes(root, tmp_path / "few", 2, 0, {"source": "drawn"})
    drawn = summary["classes"]
    assert len(drawn) == 2
    assert summary["splits"] == {part: dict.fromkeys(drawn, n) for part, n in (("train", 18), ("val", 2), ("test", 3))}
    assert all(name.startswith("val_") for name in names(tmp_path / "few", "test"))
    train, val = names(tmp_path / "few", "train"), names(tmp_path / "few", "val")
    assert not train & val
    assert train | val == {path.name for label in drawn for path in (root / "train" / label).iterdir()}
    for path in (tmp_path / "few" / "test").rglob("*.png"):
        assert path.read_bytes() == (root / "val" / path.parent.name / path.name).read_bytes()


def test_parts_that_are_there_stay(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "all", {"train": 4, "val": 3, "test": 2})
    summary = copy_classes(root, tmp_path / "few", 3, 0, {})
    assert [set(summary["splits"][part].values()) for part in ("train", "val", "test")] == [{4}, {3}, {2}]


def test_the_seed_draws(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "all", {"train": 2, "val": 2})
    summaries = [copy_classes(root, tmp_path / f"few{i}", 2, seed, {}) for i, seed in enumerate((0, 0, 1, 2, 3))]
    assert summaries[0] == summaries[1]
    assert len({tuple(summary["classes"]) for summary in summaries}) > 1


@pytest.mark.parametrize(
    ("counts", "count", "message"),
    [
        pytest.param({"train": 2}, 2, r"train/ and val/ with one folder a class are needed", id="no val"),
        pytest.param({"train": 2, "val": 2}, 7, "6 classes are there; draw 2 to as many, not 7", id="too many"),
        pytest.param({"train": 2, "val": 2}, 1, "not 1", id="too few"),
        pytest.param({"train": 2, "val": 1}, 2, "1 images; a class needs at least 2 in each split", id="few images"),
    ],
)
def test_bad_folders_are_refused(counts: dict[str, int], count: int, message: str, tmp_path: Path) -> None:
    root = write_folder(tmp_path / "all", counts)
    with pytest.raises(UserError, match=message):
        copy_classes(root, tmp_path / "few", count, 0, {})
    assert not (tmp_path / "few").exists()
