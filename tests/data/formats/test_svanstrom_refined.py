from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from yolox_gssam.data.formats.svanstrom import ClipLabels, label_path, parse_labels
from yolox_gssam.data.formats.svanstrom_refined import REFINED_PATH, loose_boxes, measure_clip, refine_labels
from yolox_gssam.data.refinement.clip import PADDING, padded_xywh
from yolox_gssam.data.refinement.packed import PackedClips

pytest.importorskip("matio", reason="mat-io reads the labels; it needs Python 3.11")

CLIPS = Path(__file__).parents[4] / "shared" / "data" / "svanstrom" / "Data"
pytestmark = pytest.mark.skipif(not CLIPS.is_dir(), reason="../shared/data/svanstrom is not there")
REAL = [
    pytest.param(CLIPS / "Video_IR" / "IR_DRONE_001.mp4", id="infrared"),
    pytest.param(CLIPS / "Video_V" / "V_DRONE_001.mp4", id="visible"),
]


def first_frames(truth: ClipLabels, frames: int) -> ClipLabels:
    own = truth.frame < frames
    return replace(
        truth, frames=frames, boxes_xywh=truth.boxes_xywh[own], frame=truth.frame[own], labels=truth.labels[own]
    )


@pytest.fixture(scope="module")
def packed() -> PackedClips:
    return PackedClips.from_file(REFINED_PATH)


def test_file_is_small_and_holds_every_clip(packed: PackedClips) -> None:
    assert REFINED_PATH.stat().st_size < 1_500_000
    assert len(packed) == 294 + 229


@pytest.mark.parametrize("clip", REAL)
def test_file_holds_what_the_program_measures(packed: PackedClips, clip: Path) -> None:
    """Far from the end of the part that is measured here the neighbours are the same."""
    truth = parse_labels(label_path(clip))
    found = packed.find(clip.stem, loose_boxes(truth))
    assert found is not None
    part = first_frames(truth, 60)
    measured = measure_clip(clip, part)
    near = part.frame < 25
    np.testing.assert_allclose(found.boxes_xyxy[: near.sum()], measured.boxes_xyxy[near], atol=0.07)
    np.testing.assert_array_equal(found.way[: near.sum()], measured.way[near])


@pytest.mark.parametrize("clip", REAL)
def test_labels_become_tight_and_keep_the_old_boxes(packed: PackedClips, clip: Path) -> None:
    truth = parse_labels(label_path(clip))
    refined = refine_labels({clip: truth}, packed)[clip]
    found = packed.find(clip.stem, loose_boxes(truth))
    assert found is not None
    np.testing.assert_array_equal(refined.boxes_xywh, padded_xywh(found.boxes_xyxy, PADDING))
    assert refined.notes(0) == {"original_bbox": truth.boxes_xywh[0].round(3).tolist(), "refined": "measured"}
    area = [boxes[:, 2:].prod(axis=1) for boxes in (truth.boxes_xywh, refined.boxes_xywh)]
    assert np.median(area[1] / area[0]) < 0.6
    inside = (refined.boxes_xywh[:, :2] + refined.boxes_xywh[:, 2:] / 2 - truth.boxes_xywh[:, :2]) / truth.boxes_xywh[
        :, 2:
    ]
    assert ((inside > 0) & (inside < 1)).all()


def test_changed_labels_are_measured_anew(packed: PackedClips) -> None:
    clip = CLIPS / "Video_IR" / "IR_DRONE_001.mp4"
    part = first_frames(parse_labels(label_path(clip)), 12)
    wider = replace(part, boxes_xywh=part.boxes_xywh + np.array([-2, -2, 4, 4]))
    assert packed.find(clip.stem, loose_boxes(wider)) is None
    refined = refine_labels({clip: wider}, packed)[clip]
    whole = refine_labels({clip: part}, PackedClips({}))[clip]
    np.testing.assert_allclose(refined.boxes_xywh, whole.boxes_xywh, atol=1.5)
