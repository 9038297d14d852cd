from pathlib import Path

import numpy as np
import pytest

from yolox_gssam.common.errors import UserError
from yolox_gssam.data.refinement.clip import Refined
from yolox_gssam.data.refinement.packed import LooseBoxes, PackedClips


def clip(seed: int, count: int) -> tuple[LooseBoxes, Refined]:
    rng = np.random.default_rng(seed)
    boxes = rng.uniform(1, 300, (count, 4))
    loose = LooseBoxes(boxes, np.sort(rng.integers(0, 99, count)), rng.integers(0, 4, count))
    edges = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1) + rng.uniform(-90, 90, (count, 4))
    return loose, Refined(edges, rng.integers(0, 3, count).astype(np.uint8))


@pytest.fixture
def packed() -> PackedClips:
    clips = PackedClips({})
    for seed, count in enumerate((40, 0, 1)):
        clips.add(f"clip{seed}", *clip(seed, count))
    return clips


def test_round_trip_within_a_sixteenth_of_a_pixel(packed: PackedClips, tmp_path: Path) -> None:
    (tmp_path / "x.npz.xz").write_bytes(packed.to_bytes())
    again = PackedClips.from_file(tmp_path / "x.npz.xz")
    assert len(again) == 3
    for seed, count in enumerate((40, 0, 1)):
        loose, refined = clip(seed, count)
        found = again.find(f"clip{seed}", loose)
        assert found is not None
        np.testing.assert_allclose(found.boxes_xyxy, refined.boxes_xyxy, atol=1 / 16 + 1e-9)
        np.testing.assert_array_equal(found.way, refined.way)
    assert again.to_bytes() == packed.to_bytes()


@pytest.mark.parametrize("what", ["moved", "relabelled", "later", "shorter"])
def test_other_labels_get_nothing(packed: PackedClips, what: str) -> None:
    loose, _ = clip(0, 40)
    boxes, frame, labels = loose.boxes_xywh.copy(), loose.frame.copy(), loose.labels.copy()
    if what == "moved":
        boxes[7, 1] += 0.5
    elif what == "relabelled":
        labels[3] = 3 - labels[3]
    elif what == "later":
        frame[-1] += 1
    else:
        boxes, frame, labels = boxes[1:], frame[1:], labels[1:]
    assert packed.find("clip0", LooseBoxes(boxes, frame, labels)) is None
    assert packed.find("clip9", loose) is None


@pytest.mark.parametrize("content", [b"", b"no archive", None])
def test_damaged_file_is_one_clear_error(packed: PackedClips, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "x.npz.xz"
    path.write_bytes(packed.to_bytes()[:-30] if content is None else content)
    with pytest.raises(UserError, match="not a file of refined boxes"):
        PackedClips.from_file(path)
