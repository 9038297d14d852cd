"""Measures of cells whose detections are known: perfect ones, and ones that miss or invent."""

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from yolox_gssam.common.errors import UserError
from yolox_gssam.data.builder import build_dataset
from yolox_gssam.data.coco_reader import CocoSplit
from yolox_gssam.data.synthetic import SYNTHETIC_CLASSES, synthetic_records
from yolox_gssam.detections import Detections
from yolox_gssam.evaluation.matching import number_clips
from yolox_gssam.research.tables.cells import DoneCell, annotations_digest, pack_detections, save_cell
from yolox_gssam.research.tables.measures import (
    Gap,
    Measured,
    device_of,
    joined_split,
    load_folds,
    measure,
    paired_gap,
    read_cells,
    splits_of,
)
from yolox_gssam.research.tables.table_report import build_report


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "drawn"
    records = synthetic_records(30, 0, (64, 96), 1)
    build_dataset(root, SYNTHETIC_CLASSES, records, source="drawn", command="test", seed=0, folds=3)
    return root


def found_in(split: CocoSplit, share: float, seed: int) -> dict[int, Detections]:
    """The true boxes of a share of the objects, with scores, to the thirty-second of a pixel."""
    rng = np.random.default_rng(seed)
    found = {}
    for image in split.images:
        kept = rng.random(len(image.labels)) < share
        boxes = np.rint(32 * image.boxes_xyxy[kept]) / 32
        found[image.image_id] = Detections(boxes, np.full(kept.sum(), 0.9), image.labels[kept])
    return found


def with_false_boxes(split: CocoSplit, score: float, false_score: float) -> dict[int, Detections]:
    """Every object of the split, and a box far outside the image for each."""
    found = {}
    for image in split.images:
        count = len(image.labels)
        boxes = np.concatenate([np.rint(32 * image.boxes_xyxy) / 32, np.tile([[500, 500, 510, 510]], (count, 1))])
        scores = np.repeat([score, false_score], count)
        found[image.image_id] = Detections(boxes, scores, np.tile(image.labels, 2))
    return found


def measure_all(cells: Sequence[DoneCell], data: Path) -> Measured:
    """The measures of all cells as one run, in all clips and in three draws that hold each clip once."""
    with joined_split(load_folds(data)) as whole:
        weights = np.ones((3, len(number_clips(whole).names)), np.int64)
        return measure(whole, cells, load_folds(data, "val"), weights)


def write_cell(
    folder: Path,
    data: Path,
    row: str,
    fold: int,
    seed: int,
    found: Mapping[int, Detections],
    device: str = "cpu",
    on_validation: Mapping[int, Detections] | None = None,
) -> None:
    description = {
        "row": row, "fold": fold, "seed": seed, "device": device, "hardware": {"cpu": "a CPU"},
        "fields": {"data_dir": str(data)},
        "annotations_sha256": {
            part: annotations_digest(data / "annotations" / f"fold{fold}" / f"{part}.json") for part in ("val", "test")
        },
    }  # fmt: skip
    folder.mkdir(exist_ok=True)
    validated = found_in(load_folds(data, "val")[fold], 0.8, seed) if on_validation is None else on_validation
    arrays = pack_detections(validated, "val") | pack_detections(found, "test")
    save_cell(folder / f"{row}_fold{fold}_seed{seed}.npz", description, arrays)


def write_rows(folder: Path, data: Path, shares: Mapping[str, float], seeds: int = 2, device: str = "cpu") -> None:
    for row, share in shares.items():
        for fold, split in enumerate(load_folds(data)):
            for seed in range(seeds):
                write_cell(folder, data, row, fold, seed, found_in(split, share, 10 * seed + fold), device)


def test_all_folds_make_one_number(data: Path, tmp_path: Path) -> None:
    write_rows(tmp_path, data, {"origin": 1.0, "gssam_sig_res_p1": 0.5})
    folds = load_folds(data)
    cells = read_cells([tmp_path])
    report = build_report(cells, splits_of(cells, None), splits_of(cells, None, "val"), ["origin"], 50, {})
    origin, other = report.rows
    assert (origin.name, other.name) == ("origin", "gssam_sig_res_p1")
    # Boxes of a few pixels are rounded, so not every IoU of 0.95 is reached.
    assert min(value for value in origin.values["mAP50:95"] if value is not None) > 97
    assert origin.values["mAP by centre"] == (100.0, 100.0)
    assert origin.values["drones found at 1 in 10"] == (100.0, 100.0)
    assert origin.gaps == {}
    gap = other.gaps["drones AP"]
    assert gap.runs == 2
    drone = folds[0].classes.index("drone")
    true = sum(int((image.labels == drone).sum()) for fold in folds for image in fold.images)
    kept = [
        sum(
            int((d.labels == drone).sum())
            for f, fold in enumerate(folds)
            for d in found_in(fold, 0.5, 10 * s + f).values()
        )
        for s in (0, 1)
    ]
    # Without a false alarm the average precision is the recall.
    assert gap.points == pytest.approx(-100 * (1 - np.mean(kept) / true), abs=3)
    assert gap.in_words() == "real loss"
    assert report.images == sum(len(fold.images) for fold in folds) == 30
    text = report.markdown()
    assert "real loss" in text
    assert "+2.77" in text
    json.dumps(asdict(report), allow_nan=False)


def test_f1_is_that_of_the_only_class_at_the_score_of_each_fold_s_validation_split(tmp_path: Path) -> None:
    """Fold 0's validation asks for 0.5, the others' for 0.2; every box of an object comes with a false one of 0.3."""
    data, folder = tmp_path / "data", tmp_path / "cells"
    drawn = synthetic_records(30, 0, (64, 96), 1)
    records = [(replace(image, labels=np.zeros_like(image.labels)), encoded) for image, encoded in drawn]
    build_dataset(data, ["target"], records, source="drawn", command="test", seed=0, folds=3)
    objects, false = 0, 0
    for fold, (split, validation) in enumerate(zip(load_folds(data), load_folds(data, "val"), strict=True)):
        found = with_false_boxes(split, 0.9, 0.3)
        on_validation = with_false_boxes(validation, 0.5, 0.3) if fold == 0 else with_false_boxes(validation, 0.2, 0.1)
        write_cell(folder, data, "origin", fold, 0, found, on_validation=on_validation)
        own = sum(len(image.labels) for image in split.images)
        objects, false = objects + own, false + (0 if fold == 0 else own)
    cells = read_cells([folder])
    (row,) = build_report(cells, load_folds(data), load_folds(data, "val"), ["origin"], 20, {}).rows
    assert row.values["F1"] == (pytest.approx(100 * 2 * objects / (2 * objects + false)),)
    assert row.values["F1 by centre"] == row.values["F1"]
    assert row.values["best F1"] == (pytest.approx(100.0),)
    measured = measure_all(cells, data)
    assert set(measured.drawn) == {"mAP50:95", "F1"}
    assert measured.drawn["F1"].shape == (4,)
    assert measured.drawn["F1"][0] == measured.values["F1"]


def test_rows_of_one_device_are_paired_with_rows_of_that_device(data: Path, tmp_path: Path) -> None:
    write_rows(tmp_path / "a", data, {"origin": 0.9}, device="cuda:0 (NVIDIA H200)")
    write_rows(tmp_path / "b", data, {"conv_p1": 0.5}, device="cpu (2 threads)")
    cells = read_cells([tmp_path / "a", tmp_path / "b"])
    assert {device_of(cell) for cell in cells} == {"NVIDIA H200", "CPU a CPU"}
    report = build_report(cells, load_folds(data), load_folds(data, "val"), ["origin"], 20, {})
    assert report.rows[1].gaps == {}
    assert set(report.devices) == {"NVIDIA H200", "CPU a CPU"}


def test_a_run_without_all_folds_is_named_and_left_out(data: Path, tmp_path: Path) -> None:
    write_rows(tmp_path, data, {"origin": 0.9})
    (tmp_path / "origin_fold2_seed1.npz").unlink()
    report = build_report(read_cells([tmp_path]), load_folds(data), load_folds(data, "val"), ["origin"], 20, {})
    assert report.incomplete == ("origin seed 1",)
    assert [seed for _, seed in report.rows[0].runs] == [0]
    with pytest.raises(UserError, match="no run of conv_p1 is complete"):
        build_report(read_cells([tmp_path]), load_folds(data), load_folds(data, "val"), ["conv_p1"], 20, {})


def test_cells_of_other_data_are_refused(data: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    records = synthetic_records(12, 1, (64, 96), 1)
    build_dataset(other, SYNTHETIC_CLASSES, records, source="drawn", command="test", seed=0, folds=3)
    write_rows(tmp_path / "cells", other, {"origin": 0.9}, seeds=1)
    assert len(splits_of(read_cells([tmp_path / "cells"]), None)) == 3
    with pytest.raises(UserError, match="its test annotations were others"):
        splits_of(read_cells([tmp_path / "cells"]), data)
    with pytest.raises(UserError, match="has no folds"):
        load_folds(tmp_path)


def test_a_cell_in_a_folder_and_in_an_archive_counts_once(data: Path, tmp_path: Path) -> None:
    write_rows(tmp_path / "cells", data, {"origin": 0.9}, seeds=1)
    with zipfile.ZipFile(tmp_path / "cells.zip", "w") as archive:
        for path in (tmp_path / "cells").glob("*.npz"):
            archive.write(path, f"cells/{path.name}")
    assert len(read_cells([tmp_path / "cells", tmp_path / "cells.zip"])) == 3
    (tmp_path / "broken.zip").write_bytes(b"no archive")
    with pytest.raises(UserError, match="neither a folder nor an archive"):
        read_cells([tmp_path / "broken.zip"])
    with pytest.raises(UserError, match="no cells of a table"):
        read_cells([tmp_path])


def test_the_intervals_hold_as_often_as_they_say() -> None:
    """95 % of the intervals over drawn clips hold the true difference, give or take what 200 tries can tell."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(200):
        clips = rng.normal(1.0, 2.0, 30)  # each clip's difference
        drawn = rng.choice(clips, (2000, 30)).mean(axis=1)
        gap = paired_gap([np.array([clips.mean(), *drawn])])
        assert gap is not None
        held += gap.over_clips[0] < 1.0 < gap.over_clips[1]
    assert 180 <= held <= 198


def test_a_gap_and_its_intervals() -> None:
    rng = np.random.default_rng(1)
    runs = [np.append(2.0, rng.normal(2.0, 0.1, 400)), np.append(4.0, rng.normal(4.0, 0.1, 400))]
    gap = paired_gap(runs)
    assert gap is not None
    assert gap.points == 3.0
    np.testing.assert_allclose(gap.over_clips, (3 - 0.14, 3 + 0.14), atol=0.03)
    # Two seeds drawn anew are both the one or both the other in half of the draws.
    np.testing.assert_allclose(gap.over_both, (2 - 0.1, 4 + 0.1), atol=0.15)
    assert gap.in_words() == "real gain"
    assert Gap(0.1, (-0.5, 0.9), (-0.6, 1.04), 3).in_words() == "no difference larger than 1.0"
    assert Gap(1.0, (0.1, 2.0), (-0.1, 2.5), 3).in_words() == "no difference larger than 2.5"
    assert Gap(1.0, (0.1, 2.0), (-0.1, 2.5), 1).in_words() == "real gain"
    assert Gap(-1.0, (-2.0, -0.1), (-2.5, -0.1), 3).in_words() == "real loss"
    assert paired_gap([np.array([np.nan, 1.0])]) is None
