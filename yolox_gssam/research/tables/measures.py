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
from yolox_gssam.evaluation.operating import FalseAlarmSweep
from yolox_gssam.experiment import DroneExp
from yolox_gssam.research.tables.cells import Cell, DoneCell, annotations_digest, load_cell
from yolox_gssam.research.tables.markdown import mean

DRONE = "drone"
IMAGES_PER_ALARM = (10, 100)
MEAN_AP, DRONES_AP = "mAP50:95", "drones AP"
DECISIVE = (MEAN_AP, DRONES_AP)
"""The measures that a verdict is given on."""
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


def load_folds(dataset: Path) -> list[CocoSplit]:
    """The test split of each fold.

    Raises:
        UserError: the data set has no folds.
    """
    folders = sorted((dataset / "annotations").glob("fold*"), key=lambda path: int(path.name.removeprefix("fold")))
    if not folders:
        raise UserError(f"{dataset}: has no folds; make it with tools/prepare_dataset.py ... --folds 5")
    return [load_split(folder / "test.json", dataset / "images") for folder in folders]


def splits_of(cells: Sequence[DoneCell], dataset: Path | None) -> list[CocoSplit]:
    """What cells were tested on: the test split of each fold, or that of the experiment.

    Args:
        dataset: where it lies; None: where it was when they were trained.

    Raises:
        UserError: it is not there, or other data.
    """
    cell = cells[0]
    fields = cell.description["fields"]
    dataset = Path(fields["data_dir"]) if dataset is None else dataset
    if cell.cell.fold is None:
        exp = DroneExp()
        exp.data_dir, exp.fold, exp.test_ann = str(dataset), fields["fold"], fields["test_ann"]
        splits = [exp.load_split("test")]
    else:
        splits = load_folds(dataset)
    digests = [annotations_digest(split.path) for split in splits]
    for cell in cells:
        fold = cell.cell.fold or 0
        if fold >= len(splits) or cell.description["annotations_sha256"]["test"] != digests[fold]:
            raise UserError(
                f"{cell.cell.name}: was tested on other annotations than those of {dataset}; give the data set that it "
                f"was trained on with --dataset"
            )
    return splits


def measure(split: CocoSplit, detections: Mapping[int, Detections], weights: NDArray[np.int64]) -> Measured:
    """Every measure of the detections, and the decisive ones of each draw of clips, `weights` (draws, clips)."""
    by_iou, by_centre = ClipAP(split, detections), ClipAP(split, detections, by="centre")
    drone = split.classes.index(DRONE) if DRONE in split.classes else None
    every = np.ones(weights.shape[1], np.int64)

    def decisive(counts: NDArray[np.int64]) -> list[float | None]:
        by_class = by_iou.ap_by_class(counts)
        return [mean(by_class), *([] if drone is None else [by_class[drone]])]

    names = DECISIVE if drone is not None else (MEAN_AP,)
    drawn = np.array([decisive(counts) for counts in (every, *weights)], np.float64)
    iou_by_class, centre_by_class = by_iou.ap_by_class(every), by_centre.ap_by_class(every)
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
    return Measured(
        {name: None if value is None else 100 * value for name, value in values.items()},
        {name: 100 * column for name, column in zip(names, drawn.T, strict=True)},
    )


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


def joined_detections(cells: Sequence[DoneCell]) -> dict[int, Detections]:
    """The detections of all test splits; no image is in two of them."""
    return {image_id: found for cell in cells for image_id, found in cell.detections["test"].items()}


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
