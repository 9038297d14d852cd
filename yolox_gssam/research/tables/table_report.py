"""Tables 2 and 3 from cells, beside the paper's numbers: means over seeds, and which differences are real."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import matplotlib
import numpy as np
from cycler import cycler
from matplotlib.figure import Figure

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.figure import save_figure
from yolox_gssam.common.files import write_json, write_text
from yolox_gssam.common.progress import progress_bar
from yolox_gssam.data.coco_reader import CocoSplit
from yolox_gssam.evaluation.bootstrap import draw_clips
from yolox_gssam.evaluation.matching import number_clips
from yolox_gssam.research.tables.cells import DoneCell
from yolox_gssam.research.tables.markdown import deviation, github_table, mean, number
from yolox_gssam.research.tables.measures import (
    DECISIVE,
    MEAN_AP,
    DeviceSeed,
    Gap,
    Measured,
    complete_runs,
    device_of,
    joined_split,
    measure,
    paired_gap,
)
from yolox_gssam.research.tables.paper import ORIGIN, PAPER_ROWS, TABLE_2, TABLE_3, PaperTable


@dataclass(frozen=True)
class ReportRow:
    """One network.

    Attributes:
        runs: the complete ones.
        values: measure -> its value in percent, a number for each run; None where it is undefined.
        gaps: decisive measure -> difference to the first row; empty for that row and where nothing can be paired.
        curve: (epoch, validation mAP50:95 in percent, mean over all trainings), where all were validated.
        time_ms: median per image; None where it was not measured.
        time_ratio: to the first row's.
    """

    name: str
    runs: tuple[DeviceSeed, ...]
    values: Mapping[str, tuple[float | None, ...]]
    gaps: Mapping[str, Gap]
    curve: Sequence[tuple[int, float]]
    time_ms: float | None = None
    time_ratio: float | None = None


@dataclass(frozen=True)
class TableReport:
    """All rows, and what they were tested on."""

    rows: tuple[ReportRow, ...]
    images: int
    clips: int
    objects: int
    folds: int
    draws: int
    devices: tuple[str, ...]
    incomplete: tuple[str, ...]

    def markdown(self) -> str:
        """The tables in the paper's layout, all measures, and how both were made."""
        return "\n\n".join((*self._tables(), self._measures(), self._how())) + "\n"

    def write(self, folder: Path) -> list[Path]:
        """Writes tables.md, .json and .png."""
        files = {name: folder / f"tables.{name}" for name in ("md", "json", "png")}
        write_text(files["md"], self.markdown())
        write_json(files["json"], asdict(self))
        self.plot(files["png"])
        return list(files.values())

    def plot(self, path: Path) -> None:
        """AP of each network, AP against time if that was measured, and validation AP over the epochs."""
        figure = Figure(figsize=(12, max(9.0, 6 + 0.4 * len(self.rows))), layout="constrained")
        panels = figure.subplot_mosaic([["bars", "times" if self._is_timed() else "bars"], ["curves", "curves"]])
        bars, curves = panels["bars"], panels["curves"]
        # Ten colours, then the same ten dashed, then dotted.
        curves.set_prop_cycle(cycler(linestyle=["-", "--", ":"]) * cycler(color=matplotlib.color_sequences["tab10"]))
        for row in self.rows:
            ap, spread = mean(row.values[MEAN_AP]) or 0.0, deviation(row.values[MEAN_AP]) or 0.0
            bars.barh(row.name, ap, xerr=spread, capsize=4, color="C0")
            curves.plot(*zip(*row.curve, strict=True), marker=".", label=row.name)
            if row.time_ms is not None:
                panels["times"].errorbar(row.time_ms, ap, yerr=spread, fmt="o", capsize=3, color="C0")
                panels["times"].annotate(row.name, (row.time_ms, ap), xytext=(5, 5), textcoords="offset points", size=8)
        bars.invert_yaxis()
        bars.set(xlabel="mAP50:95 on the test split, %: mean and standard deviation over seeds")
        if self._is_timed():
            panels["times"].set(xlabel="ms per image, median", ylabel="mAP50:95, %")
        curves.set(xlabel="epoch", ylabel="mAP50:95 on the validation split, %: mean over seeds")
        curves.legend(fontsize=8, ncols=2)
        for axes in panels.values():
            axes.grid(alpha=0.3)
        save_figure(figure, path)

    def _tables(self) -> list[str]:
        """Tables 2 and 3 and what is in neither, each below the first row; without those that have no other row."""
        first, *rest = self.rows
        tables = [(table, [row for row in rest if row.name in table.rows]) for table in (TABLE_2, TABLE_3)]
        others = [row for row in rest if row.name not in PAPER_ROWS or row.name == "origin"]
        tables.append((PaperTable("Further networks", (), {}), others))
        shown = [(table, rows) for table, rows in tables if rows] or [(PaperTable("Networks", (), {}), [])]
        texts = []
        for table, rows in shown:
            cells = []
            for row in (first, *rows):
                settings = table.rows[row.name].settings if row.name in table.rows else ("",) * len(table.columns)
                cells.append([f"`{row.name}`", *settings, *self._cells(row)])
            headers = ["network", *table.columns, *self._headers()]
            texts.append(f"**{table.title}**\n\n{github_table(cells, headers)}")
        return texts

    def _headers(self) -> list[str]:
        headers = [MEAN_AP]
        for name in self._decisive():
            headers += [f"{name}: points over {self.rows[0].name} (95 %, clips and seeds)", "verdict"]
        if self._is_timed():
            headers += ["ms per image", "times the time"]
        return [*headers, "paper: mAP50:95", "paper: points", "paper: ms"]

    def _cells(self, row: ReportRow) -> list[str]:
        """What stands below `_headers`, the paper's numbers last."""
        cells = [_mean_and_deviation(row.values[MEAN_AP])]
        for name in self._decisive():
            gap = row.gaps.get(name)
            empty = ["", ""] if row is self.rows[0] else ["-", "-"]
            cells += empty if gap is None else [str(gap), gap.in_words()]
        if self._is_timed():
            cells += [number(row.time_ms, ".2f", "-"), number(row.time_ratio, ".3f", "-")]
        paper = PAPER_ROWS.get(row.name)
        if paper is None:
            return [*cells, "", "", ""]
        points = "" if paper is ORIGIN else f"{paper.ap - ORIGIN.ap:+.2f}"
        return [*cells, f"{paper.ap:.2f}", points, number(paper.time_ms)]

    def _decisive(self) -> list[str]:
        """The measures that rows differ in by so many points; mAP where no two rows can be compared."""
        return [name for name in DECISIVE if any(name in row.gaps for row in self.rows)] or [MEAN_AP]

    def _is_timed(self) -> bool:
        return any(row.time_ms is not None for row in self.rows)

    def _measures(self) -> str:
        """Where the networks differ: in finding objects, in telling their class, or in false alarms."""
        names = list(self.rows[0].values)
        rows = [
            [f"`{row.name}`", len(row.runs), *(_mean_and_deviation(row.values[name]) for name in names)]
            for row in self.rows
        ]
        return github_table(rows, ["network", "seeds", *names])

    def _how(self) -> str:
        left_out = f" Incomplete and left out: {', '.join(self.incomplete)}." if self.incomplete else ""
        tested = f"{self.images} images of {self.clips} clips with {self.objects} objects"
        head = f"Test split: {tested}."
        if self.folds > 1:
            head = f"{self.folds} folds: {tested}, each tested by networks that never saw its clip."
        return (
            f"{head} In percent; ± is the standard deviation over seeds. Differences are paired by device and seed; "
            f"intervals are percentiles of {self.draws} draws of clips and of seeds (clips alone where there is one "
            f"seed). Trained on {', '.join(self.devices)}.{left_out}"
        )


def build_report(
    cells: Sequence[DoneCell],
    splits: Sequence[CocoSplit],
    validation: Sequence[CocoSplit],
    order: Sequence[str],
    draws: int,
    times: Mapping[str, tuple[float, float]],
) -> TableReport:
    """Gathers cells.

    Args:
        splits: what they were tested on, see `splits_of`.
        validation: what they were validated on, likewise.
        order: rows that come first, in this order; the first is compared with. The others follow by name.
        draws: of clips.
        times: as of `read_times`.

    Raises:
        UserError: no complete run of the first row.
    """
    runs = complete_runs(cells, len(splits))
    names = [*(n for n in order if n in runs), *sorted(set(runs) - set(order))]
    if not names or names[0] != order[0]:
        raise UserError(
            f"no run of {order[0]} is complete, which the others are compared with: {len(splits)} test splits needed"
        )
    measured: dict[str, dict[DeviceSeed, Measured]] = {name: {} for name in names}
    with (
        joined_split(splits) as whole,
        progress_bar(description="report", unit="runs", total=sum(map(len, runs.values()))) as bar,
    ):
        clips = len(number_clips(whole).names)
        weights = draw_clips(clips, draws, seed=0)
        for name in names:
            for run, of_run in sorted(runs[name].items()):
                measured[name][run] = measure(whole, of_run, validation, weights)
                bar.update()
    rows = []
    for name, own in measured.items():
        measures = next(iter(own.values())).values
        row = ReportRow(
            name,
            tuple(own),
            {measure: tuple(one.values[measure] for one in own.values()) for measure in measures},
            {} if name == names[0] else _gaps(own, measured[names[0]]),
            _curve([cell for of_run in runs[name].values() for cell in of_run]),
            *times.get(name, (None, None)),
        )
        rows.append(row)
    return TableReport(
        tuple(rows),
        images=len(whole.images),
        clips=clips,
        objects=sum(len(image.labels) for image in whole.images),
        folds=len(splits),
        draws=draws,
        devices=tuple(sorted({run[0] for of_row in runs.values() for run in of_row})),
        incomplete=tuple(sorted(_incomplete(cells, runs))),
    )


def read_times(folder: Path) -> dict[str, tuple[float, float]]:
    """Row -> median ms per image, and how many times the first row's; empty where nothing was measured."""
    path = folder / "latency.json"
    if not path.exists():
        return {}
    variants = json.loads(path.read_bytes())["variants"]
    return {
        name: (variant["steps"]["total"]["median"], 1 / variant["ratio"]["median"])
        for name, variant in variants.items()
    }


def _gaps(own: Mapping[DeviceSeed, Measured], first: Mapping[DeviceSeed, Measured]) -> dict[str, Gap]:
    """Decisive measure -> difference of two rows over the runs that both have."""
    pairs = [(own[run].drawn, first[run].drawn) for run in own if run in first]
    if not pairs:
        return {}
    gaps = {name: paired_gap([a[name] - b[name] for a, b in pairs]) for name in pairs[0][0]}
    return {name: gap for name, gap in gaps.items() if gap is not None}


def _curve(cells: Sequence[DoneCell]) -> tuple[tuple[int, float], ...]:
    """The mean over the trainings of the validation AP, at the epochs at which all of them have one."""
    histories = [cell.description.get("history", []) for cell in cells]
    curve = []
    for epoch, rows in enumerate(zip(*histories, strict=False), start=1):
        aps = [row.get("val_ap") for row in rows]
        if None not in aps:
            curve.append((epoch, float(100 * np.mean(aps))))
    return tuple(curve)


def _incomplete(cells: Sequence[DoneCell], runs: Mapping[str, Mapping[DeviceSeed, object]]) -> set[str]:
    return {
        f"{cell.cell.row} seed {cell.cell.seed}"
        for cell in cells
        if (device_of(cell), cell.cell.seed) not in runs.get(cell.cell.row, {})
    }


def _mean_and_deviation(values: Sequence[float | None]) -> str:
    spread = deviation(values)
    return number(mean(values), ".1f", "-") + ("" if spread is None else f" ± {spread:.1f}")
