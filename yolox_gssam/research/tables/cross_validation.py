"""A cross-validated table from its cells: means over seeds, paired differences with intervals, and what they amount to.

Every clip is in the test part of one fold, so the detections of all folds together test one row and seed on every clip.
Rows are compared where the same device ran the same seeds; draws of whole clips, and of clips and seeds, say how far a
difference is to be trusted.
"""

import re
import tempfile
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tabulate import tabulate

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.files import write_json
from yolox_gssam.common.progress import progress_bar
from yolox_gssam.data.coco import CocoSplit, load_split, read_json
from yolox_gssam.detections import Detections
from yolox_gssam.evaluation.bootstrap import ClipAP, draw_clips, interval
from yolox_gssam.evaluation.matching import number_clips
from yolox_gssam.evaluation.operating import FalseAlarmSweep
from yolox_gssam.research.tables.cells import DoneCell, annotations_digest, load_cell
from yolox_gssam.research.tables.paper import NETWORKS, ORIGIN

DRONE = "drone"
IMAGES_PER_ALARM = (10, 100)
DECISIVE = ("mAP50:95", "drones AP")
"""The measures that a verdict is given on."""

Run = tuple[str, int]
"""Device and seed: what a row was trained with, and another row must have been to be compared."""


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

    def in_words(self) -> str:
        """Real gain, real loss, or the largest difference that the interval leaves open."""
        low, high = self.over_both if self.runs > 1 else self.over_clips
        if low > 0 or high < 0:
            return "real gain" if low > 0 else "real loss"
        return f"no difference larger than {max(abs(low), abs(high)):.1f}"


@dataclass(frozen=True)
class CrossRow:
    """One network.

    Attributes:
        runs: device and seed of each complete run.
        values: measure -> its value in percent, a number for each run; None where it is undefined.
        gaps: measure -> difference to the first row; empty for that row and where nothing can be paired.
    """

    name: str
    runs: tuple[Run, ...]
    values: Mapping[str, tuple[float | None, ...]]
    gaps: Mapping[str, Gap]


@dataclass(frozen=True)
class CrossReport:
    """All rows, and what they were tested on."""

    rows: tuple[CrossRow, ...]
    images: int
    clips: int
    objects: int
    folds: int
    draws: int
    devices: tuple[str, ...]
    incomplete: tuple[str, ...]

    def markdown(self) -> str:
        """The table of means, that of the differences, and how both were made."""
        return "\n\n".join((self._means(), self._gaps(), self._how())) + "\n"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def _means(self) -> str:
        measures = list(self.rows[0].values)
        rows = [
            [f"`{row.name}`", len(row.runs), *(_mean_and_deviation(row.values[measure]) for measure in measures)]
            for row in self.rows
        ]
        return _table(rows, ["network", "seeds", *measures])

    def _gaps(self) -> str:
        first = self.rows[0].name
        rows = []
        for row in self.rows[1:]:
            cells: list[object] = [f"`{row.name}`"]
            for measure in DECISIVE:
                gap = row.gaps.get(measure)
                cells += ["-", "-"] if gap is None else [_with_interval(gap), gap.in_words()]
            paper = NETWORKS.get(row.name)
            cells.append("" if paper is None else f"{paper.ap - ORIGIN.ap:+.2f}")
            rows.append(cells)
        headers = ["network"]
        for measure in DECISIVE:
            headers += [f"{measure}: points over {first} (95 %, clips and seeds)", "verdict"]
        return _table(rows, [*headers, "paper: points"])

    def _how(self) -> str:
        left_out = f" Incomplete and left out: {', '.join(self.incomplete)}." if self.incomplete else ""
        return (
            f"{self.folds} folds: {self.images} images of {self.clips} clips with {self.objects} objects, each tested "
            f"by networks that never saw its clip. In percent; ± is the standard deviation over seeds. Differences are "
            f"paired by device and seed; intervals are percentiles of {self.draws} draws of clips and of seeds (clips "
            f"alone where there is one seed). Trained on {', '.join(self.devices)}.{left_out}"
        )


def read_cells(paths: Sequence[Path]) -> list[DoneCell]:
    """The cells in folders of cells, or in archives of them as tools/gpu.py brings back.

    A cell that several hold, of one device, counts once.

    Raises:
        UserError: no cell there, or one that cannot be read.
    """
    found: dict[tuple[str, Any], DoneCell] = {}
    for path in paths:
        for cell in _cells_of(path):
            found.setdefault((device_of(cell), cell.cell), cell)
    if not found:
        raise UserError(f"{', '.join(map(str, paths))}: no cells of a table; make some with tools/gpu.py")
    return list(found.values())


def device_of(cell: DoneCell) -> str:
    """The device's name without its number, which says nothing of its arithmetic."""
    text = str(cell.description["device"])
    named = re.search(r"\((.+)\)", text)
    return named.group(1) if text.startswith("cuda") and named else f"CPU {cell.description['hardware']['cpu']}"


def load_folds(dataset: Path) -> list[CocoSplit]:
    """The test part of each fold.

    Raises:
        UserError: the data set has no folds.
    """
    folders = sorted((dataset / "annotations").glob("fold*"), key=lambda path: int(path.name.removeprefix("fold")))
    if not folders:
        raise UserError(f"{dataset}: has no folds; make it with tools/prepare_dataset.py ... --folds 5")
    return [load_split(folder / "test.json", dataset / "images") for folder in folders]


def build_cross_report(
    cells: Sequence[DoneCell], folds: Sequence[CocoSplit], order: Sequence[str], draws: int
) -> CrossReport:
    """Gathers cells.

    Args:
        folds: the test part of each fold.
        order: rows that come first, in this order; the first is compared with. The others follow by name.
        draws: of clips.

    Raises:
        UserError: cells of other data, or no complete run of the first row.
    """
    _require_same_data(cells, folds)
    runs = _complete_runs(cells, len(folds))
    names = [*(n for n in order if n in runs), *sorted(set(runs) - set(order))]
    if not names or names[0] != order[0]:
        raise UserError(
            f"no run of {order[0]} is complete, which the others are compared with: {len(folds)} folds needed"
        )
    measured: dict[str, dict[Run, dict[str, NDArray[np.float64]]]] = defaultdict(dict)
    with (
        _joined_split(folds) as whole,
        progress_bar(description="report", unit="runs", total=sum(map(len, runs.values()))) as bar,
    ):
        clips = len(number_clips(whole).names)
        weights = draw_clips(clips, draws, seed=0)
        for name in names:
            for run, of_folds in sorted(runs[name].items()):
                measured[name][run] = measure(whole, _joined(of_folds), weights)
                bar.update()
    rows = tuple(_row(name, measured[name], measured[names[0]] if name != names[0] else {}) for name in names)
    return CrossReport(
        rows,
        images=len(whole.images),
        clips=clips,
        objects=sum(len(image.labels) for image in whole.images),
        folds=len(folds),
        draws=draws,
        devices=tuple(sorted({run[0] for of_row in runs.values() for run in of_row})),
        incomplete=tuple(sorted(_incomplete(cells, runs))),
    )


def measure(
    split: CocoSplit, detections: Mapping[int, Detections], weights: NDArray[np.int64]
) -> dict[str, NDArray[np.float64]]:
    """Each measure in percent: of all clips first, then of each draw; NaN where it is undefined."""
    by_iou, by_centre = ClipAP(split, detections), ClipAP(split, detections, by="centre")
    drone = split.classes.index(DRONE) if DRONE in split.classes else None
    columns: dict[str, list[float | None]] = defaultdict(list)
    sweep = FalseAlarmSweep(split, detections, DRONE, "centre") if drone is not None else None
    for counts in (np.ones(weights.shape[1], np.int64), *weights):
        for name, measure_of in (("", by_iou), (" by centre", by_centre)):
            by_class = measure_of.ap_by_class(counts)
            known = [value for value in by_class if value is not None]
            columns["mAP50:95" if not name else f"mAP{name}"].append(float(np.mean(known)) if known else None)
            if drone is not None:
                columns[f"drones AP{name}"].append(by_class[drone])
            if not name:
                for label, class_name in enumerate(split.classes):
                    if label != drone:
                        columns[f"{class_name} AP"].append(by_class[label])
        if sweep is not None:
            for bound in IMAGES_PER_ALARM:
                columns[f"drones found at 1 in {bound}"].append(sweep.point(bound, counts).recall)
    return {
        name: np.array([np.nan if value is None else 100 * value for value in values])
        for name, values in columns.items()
    }


def _cells_of(path: Path) -> Iterable[DoneCell]:
    if path.is_dir():
        yield from (load_cell(file) for file in sorted(path.glob("*.npz")))
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


def _require_same_data(cells: Sequence[DoneCell], folds: Sequence[CocoSplit]) -> None:
    digests = [annotations_digest(fold.path) for fold in folds]
    for cell in cells:
        fold = cell.cell.fold
        if fold >= len(folds) or cell.description["annotations_sha256"]["test"] != digests[fold]:
            raise UserError(
                f"{cell.cell.name}: was tested on other annotations than those of {folds[0].path.parents[1]}; give the "
                f"data set that it was trained on with --dataset"
            )


def _complete_runs(cells: Sequence[DoneCell], folds: int) -> dict[str, dict[Run, list[DoneCell]]]:
    """Row -> device and seed -> its cells, where there is one for each fold."""
    every: dict[str, dict[Run, list[DoneCell]]] = defaultdict(lambda: defaultdict(list))
    for cell in cells:
        every[cell.cell.row][device_of(cell), cell.cell.seed].append(cell)
    complete = {
        row: {run: of_run for run, of_run in runs.items() if len(of_run) == folds} for row, runs in every.items()
    }
    return {row: runs for row, runs in complete.items() if runs}


def _incomplete(cells: Sequence[DoneCell], runs: Mapping[str, Mapping[Run, object]]) -> set[str]:
    return {
        f"{cell.cell.row} seed {cell.cell.seed}"
        for cell in cells
        if (device_of(cell), cell.cell.seed) not in runs.get(cell.cell.row, {})
    }


@contextmanager
def _joined_split(folds: Sequence[CocoSplit]) -> Iterator[CocoSplit]:
    """All test parts as one part, whose annotation file is there inside the block."""
    documents = [read_json(fold.path) for fold in folds]
    annotations = [annotation for document in documents for annotation in document["annotations"]]
    joined = {
        **documents[0],
        "images": [image for document in documents for image in document["images"]],
        "annotations": [{**annotation, "id": number} for number, annotation in enumerate(annotations, 1)],
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "test.json"
        write_json(path, joined)
        yield load_split(path, folds[0].image_dir)


def _joined(of_folds: Sequence[DoneCell]) -> dict[int, Detections]:
    """The detections of all test parts; no image is in two of them."""
    return {image_id: found for cell in of_folds for image_id, found in cell.detections["test"].items()}


def _row(
    name: str,
    own: Mapping[Run, Mapping[str, NDArray[np.float64]]],
    first: Mapping[Run, Mapping[str, NDArray[np.float64]]],
) -> CrossRow:
    runs = tuple(sorted(own))
    measures = list(next(iter(own.values())))
    pairs = [run for run in runs if run in first]
    values = {m: tuple(None if np.isnan(v := own[run][m][0]) else float(v) for run in runs) for m in measures}
    gaps = {m: paired_gap([own[run][m] - first[run][m] for run in pairs]) for m in measures} if pairs else {}
    return CrossRow(name, runs, values, {m: gap for m, gap in gaps.items() if gap is not None})


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


def _mean_and_deviation(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    return f"{np.mean(known):.1f}" + (f" ± {np.std(known, ddof=1):.1f}" if len(known) > 1 else "")


def _with_interval(gap: Gap) -> str:
    low, high = gap.over_both if gap.runs > 1 else gap.over_clips
    return f"{gap.points:+.2f} ({low:+.2f} to {high:+.2f})"


def _table(rows: Sequence[Sequence[object]], headers: Sequence[str]) -> str:
    make: Callable[..., str] = tabulate
    return make([[str(cell) for cell in row] for row in rows], headers, tablefmt="github", disable_numparse=True)
