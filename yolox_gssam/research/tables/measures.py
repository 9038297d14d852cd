"""What cells amount to: the measures of one network and seed over all test splits, and paired differences.

Each clip is in the test split of one fold, so the detections of all folds together test one row and seed on every clip.
Draws of whole clips, and of clips and seeds, say how far a difference is to be trusted.
"""

import re
import tempfile
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.files import write_json
from yolox_gssam.data.coco_reader import CocoSplit, load_split, read_json
from yolox_gssam.detections import Detections
from yolox_gssam.evaluation.bootstrap import ClipAP, interval
from yolox_gssam.evaluation.coco_metrics import evaluate_coco
from yolox_gssam.evaluation.f1_interval import drawn_counts
from yolox_gssam.evaluation.matching import Rule, match_split
from yolox_gssam.evaluation.operating import FalseAlarmSweep, operating_point
from yolox_gssam.experiment import DroneExp
from yolox_gssam.research.tables.cells import Cell, DoneCell, annotations_digest, load_cell
from yolox_gssam.research.tables.markdown import mean

DRONE = "drone"
IMAGES_PER_ALARM = (10, 100)
MEAN_AP, DRONES_AP, F1 = "mAP50:95", "drones AP", "F1"
DECISIVE = (MEAN_AP, DRONES_AP, F1)
"""The measures that a verdict is given on: the mean over the classes, and the one class that matters, see `measure`."""
ONE_CLASS = "mAP whatever the class"

DeviceSeed = tuple[str, int]
"""Device and seed: what a row was trained with, and another row must have been to be compared."""


@dataclass(frozen=True)
class Measured:
    """One row with one seed, in percent.

    Attributes:
        values: measure -> its value; None where it is undefined.
        drawn: decisive measure -> its value of all clips first, then of each draw; NaN where it is undefined.
    """

    values: Mapping[str, float | None]
    drawn: Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Gap:
    """How many points one row has over the first, over the runs that both have.

    Attributes:
        over_clips, over_both: 95 % intervals, clips drawn anew, and clips and seeds.
        runs: how many pairs.
    """

    points: float
    over_clips: tuple[float, float]
    over_both: tuple[float, float]
    runs: int

    @property
    def limits(self) -> tuple[float, float]:
        """The interval that counts: over clips alone where there is one seed."""
        return self.over_both if self.runs > 1 else self.over_clips

    def in_words(self) -> str:
        """Real gain, real loss, or the largest difference that the interval leaves open."""
        low, high = self.limits
        if low > 0 or high < 0:
            return "real gain" if low > 0 else "real loss"
        return f"no difference larger than {max(abs(low), abs(high)):.1f}"

    def __str__(self) -> str:
        low, high = self.limits
        return f"{self.points:+.2f} ({low:+.2f} to {high:+.2f})"


def read_cells(paths: Sequence[Path]) -> list[DoneCell]:
    """The cells in folders of cells, or in archives of them as tools/gpu.py brings back.

    A cell that several hold, of one device, counts once.

    Raises:
        UserError: no cell there, or one that cannot be read.
    """
    found: dict[tuple[str, Cell], DoneCell] = {}
    for path in paths:
        for cell in _cells_of(path):
            found.setdefault((device_of(cell), cell.cell), cell)
    if not found:
        raise UserError(f"{', '.join(map(str, paths))}: no cells of a table; make some with tables.py run or cells")
    return list(found.values())


def device_of(cell: DoneCell) -> str:
    """The device's name without its number, which says nothing of its arithmetic."""
    text = str(cell.description["device"])
    named = re.search(r"\((.+)\)", text)
    return named.group(1) if text.startswith("cuda") and named else f"CPU {cell.description['hardware']['cpu']}"


def load_folds(dataset: Path, part: str = "test") -> list[CocoSplit]:
    """The test split of each fold, or its validation split, "val".

    Raises:
        UserError: the data set has no folds.
    """
    folders = sorted((dataset / "annotations").glob("fold*"), key=lambda path: int(path.name.removeprefix("fold")))
    if not folders:
        raise UserError(f"{dataset}: has no folds; make it with tools/prepare_dataset.py ... --folds 5")
    return [load_split(folder / f"{part}.json", dataset / "images") for folder in folders]


def splits_of(cells: Sequence[DoneCell], dataset: Path | None, part: str = "test") -> list[CocoSplit]:
    """What cells were tested on, or validated: the split of each fold, or that of the experiment.

    Args:
        dataset: where it lies; None: where it was when they were trained.
        part: "test" or "val".

    Raises:
        UserError: it is not there, or other data.
    """
    cell = cells[0]
    fields = cell.description["fields"]
    dataset = Path(fields["data_dir"]) if dataset is None else dataset
    if cell.cell.fold is None:
        exp = DroneExp()
        exp.data_dir, exp.fold = str(dataset), fields["fold"]
        exp.val_ann, exp.test_ann = fields["val_ann"], fields["test_ann"]
        splits = [exp.load_split(part)]
    else:
        splits = load_folds(dataset, part)
    digests = [annotations_digest(split.path) for split in splits]
    for cell in cells:
        fold = cell.cell.fold or 0
        if fold >= len(splits) or cell.description["annotations_sha256"][part] != digests[fold]:
            raise UserError(
                f"{cell.cell.name}: its {part} annotations were others than those of {dataset}; give the data set that "
                f"it was trained on with --dataset"
            )
    return splits


def measure(
    split: CocoSplit, cells: Sequence[DoneCell], validation: Sequence[CocoSplit], weights: NDArray[np.int64]
) -> Measured:
    """Every measure of a row's cells with one seed, and the decisive ones of each draw of clips.

    F1 is that of drones, or of the only class, at the score with the best F1 on each cell's own validation split; it
    is decisive where there is one class only. "best F1" is at the best score on the test split itself, as published
    figures mostly are.

    Args:
        split: all test splits as one.
        validation: the validation split of each fold.
        weights: (draws, clips), how often each clip counts.
    """
    detections = {image_id: found for cell in cells for image_id, found in cell.detections["test"].items()}
    by_iou = ClipAP(split, detections)
    drone = split.classes.index(DRONE) if DRONE in split.classes else None
    every = np.ones(weights.shape[1], np.int64)

    def decisive(counts: NDArray[np.int64]) -> list[float | None]:
        by_class = by_iou.ap_by_class(counts)
        return [mean(by_class), *([] if drone is None else [by_class[drone]])]

    names = (MEAN_AP, DRONES_AP) if drone is not None else (MEAN_AP,)
    drawn = np.array([decisive(counts) for counts in (every, *weights)], np.float64)
    iou_by_class, centre_by_class = by_iou.ap_by_class(), ClipAP(split, detections, by="centre").ap_by_class()
    coco = evaluate_coco(split, detections)
    values = dict(zip(names, decisive(every), strict=True))
    values |= {f"{name} AP": iou_by_class[label] for label, name in enumerate(split.classes) if label != drone}
    values["mAP by centre"] = mean(centre_by_class)
    if drone is not None:
        values["drones AP by centre"] = centre_by_class[drone]
        sweep = FalseAlarmSweep(split, detections, DRONE, "centre")
        values |= {f"drones found at 1 in {bound}": sweep.point(bound, every).recall for bound in IMAGES_PER_ALARM}
    values |= {"AP50": coco.overall.ap50, **{f"AP {size}": coco.by_size[size].ap for size in ("tiny", "small")}}
    values[ONE_CLASS] = ClipAP(split, detections, one_class=True).ap()
    columns = dict(zip(names, drawn.T, strict=True))
    main_class = DRONE if drone is not None else split.classes[0] if len(split.classes) == 1 else None
    if main_class is not None:
        rules: tuple[tuple[str, Rule], ...] = ((F1, 0.5), (f"{F1} by centre", "centre"))
        f1 = {name: _validated_f1(split, cells, validation, main_class, rule, weights) for name, rule in rules}
        values |= {name: column[0] for name, column in f1.items()}
        values[f"best {F1}"] = operating_point(split, detections, main_class, 0.5).f1
        if len(split.classes) == 1:
            columns[F1] = f1[F1]
    return Measured(
        {name: None if value is None else 100 * value for name, value in values.items()},
        {name: 100 * column for name, column in columns.items()},
    )


def _validated_f1(
    split: CocoSplit,
    cells: Sequence[DoneCell],
    validation: Sequence[CocoSplit],
    class_name: str,
    rule: Rule,
    weights: NDArray[np.int64],
) -> NDArray[np.float64]:
    """F1 of all clips first, then of each draw; each cell's detections are cut at its validation split's best score."""
    cut: dict[int, Detections] = {}
    for cell in cells:
        least = operating_point(
            validation[cell.cell.fold or 0], cell.detections["val"], class_name, rule
        ).score_threshold
        if least is not None:
            cut |= {image_id: found.above(least) for image_id, found in cell.detections["test"].items()}
    outcomes = match_split(split, cut, rule)[split.classes.index(class_name)]
    every = np.ones((1, weights.shape[1]), np.int64)
    found, false, objects = drawn_counts(outcomes, np.concatenate([every, weights]), 0.0)
    return 2 * found / np.maximum(found + false + objects, 1)


def paired_gap(differences: Sequence[NDArray[np.float64]]) -> Gap | None:
    """The mean difference of the runs with its intervals; each array holds that of all clips, then of each draw.

    None where it is undefined.
    """
    table = np.array(differences)  # (runs, 1 + draws)
    known = np.flatnonzero(~np.isnan(table).any(axis=0))
    if len(known) < 2 or known[0] != 0:
        return None
    drawn = table[:, known[1:]]
    chosen = np.random.default_rng(0).integers(0, len(table), drawn.shape)
    over_both = np.take_along_axis(drawn, chosen, axis=0).mean(axis=0)
    return Gap(float(table[:, 0].mean()), interval(drawn.mean(axis=0)), interval(over_both), len(table))


def complete_runs(cells: Sequence[DoneCell], folds: int) -> dict[str, dict[DeviceSeed, list[DoneCell]]]:
    """Row -> device and seed -> its cells, where there is one for each test split."""
    every: dict[str, dict[DeviceSeed, list[DoneCell]]] = defaultdict(lambda: defaultdict(list))
    for cell in cells:
        every[cell.cell.row][device_of(cell), cell.cell.seed].append(cell)
    complete = {
        row: {run: of_run for run, of_run in runs.items() if len(of_run) == folds} for row, runs in every.items()
    }
    return {row: runs for row, runs in complete.items() if runs}


@contextmanager
def joined_split(splits: Sequence[CocoSplit]) -> Iterator[CocoSplit]:
    """All test splits as one, whose annotation file is there inside the block."""
    documents = [read_json(split.path) for split in splits]
    annotations = [annotation for document in documents for annotation in document["annotations"]]
    joined = {
        **documents[0],
        "images": [image for document in documents for image in document["images"]],
        "annotations": [{**annotation, "id": number} for number, annotation in enumerate(annotations, 1)],
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "test.json"
        write_json(path, joined)
        yield load_split(path, splits[0].image_dir)


def _cells_of(path: Path) -> Iterable[DoneCell]:
    if path.is_dir():
        yield from (load_cell(file) for file in sorted(path.glob("*.npz")))
        return
    if not path.exists():
        return
    try:
        with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.endswith(".npz"):
                    file = Path(folder, Path(name).name)
                    file.write_bytes(archive.read(name))
                    yield load_cell(file)
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: neither a folder nor an archive of cells ({error})") from error
