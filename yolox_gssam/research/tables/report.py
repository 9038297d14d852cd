"""Tables 2 and 3 from finished runs: means over seeds, differences with confidence intervals, what they amount to."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from cycler import cycler
from matplotlib.figure import Figure
from numpy.typing import NDArray
from tabulate import tabulate

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.files import sha256_of
from yolox_gssam.data.coco import CocoSplit
from yolox_gssam.detections import Detections
from yolox_gssam.evaluation.bootstrap import ClipAP, draw_clips, interval
from yolox_gssam.evaluation.results_file import group_results
from yolox_gssam.research.benchmark.report import save_figure
from yolox_gssam.research.tables.archive import read_detections
from yolox_gssam.research.tables.paper import NETWORKS, ORIGIN, TABLE_2, TABLE_3, PaperRow

DRAWS = 2000
# Of what is told about false alarms: a class, and one alarm in so many images.
DRONE, IMAGES_PER_ALARM = "drone", 10


@dataclass(frozen=True)
class Run:
    """One finished run, as `runs` stores it."""

    row: str
    seed: int
    test: Mapping[str, Any]
    history: Sequence[Mapping[str, float | None]]
    folder: Path


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation over seeds, in percent; the deviation of one seed is unknown."""

    mean: float
    deviation: float | None

    def __str__(self) -> str:
        return f"{self.mean:.2f}" + ("" if self.deviation is None else f" ± {self.deviation:.2f}")


@dataclass(frozen=True)
class Difference:
    """How many points of mAP50:95 a network has over the first one with the same seeds.

    Attributes:
        points: the mean over the seeds.
        over_clips: 95 % interval, the test clips drawn anew.
        over_both: the same, clips and seeds drawn anew. With one seed as `over_clips`.
        seeds: how many pairs.
    """

    points: float
    over_clips: tuple[float, float]
    over_both: tuple[float, float]
    seeds: int

    @property
    def is_real(self) -> bool:
        """Whether both intervals leave out zero, with two seeds or more."""
        return self.seeds > 1 and all(low > 0 or high < 0 for low, high in (self.over_clips, self.over_both))

    def in_words(self) -> str:
        if self.seeds < 2:
            return "one seed: no answer"
        if self.is_real:
            return "better" if self.points > 0 else "worse"
        return "no real difference"


@dataclass(frozen=True)
class TableRow:
    """One network.

    Attributes:
        ap, ap50: over the seeds.
        by_size: AP of "tiny" and "small" objects; None where the test part has none.
        by_class: AP of each class; None where the test part has none of it.
        one_class_ap: an object counts as found whatever class it is taken for.
        drone_recall: at one false alarm in IMAGES_PER_ALARM images; None without drones.
        curve: (epoch, mean over the seeds of the validation mAP50:95 in percent), where all of them were validated.
        difference: to the first row; None for that.
        time_ms: median of an image; None where it was not measured.
        time_ratio: to the first row's.
    """

    name: str
    seeds: tuple[int, ...]
    ap: Spread
    ap50: Spread
    by_size: Mapping[str, Spread | None]
    by_class: Mapping[str, Spread | None]
    one_class_ap: Spread
    drone_recall: Spread | None
    curve: Sequence[tuple[int, float]]
    difference: Difference | None
    time_ms: float | None
    time_ratio: float | None


@dataclass(frozen=True)
class TableReport:
    """What the runs of a folder amount to."""

    rows: tuple[TableRow, ...]
    images: int
    clips: int
    objects: int
    epochs: int
    hardware: Mapping[str, Any]

    def markdown(self) -> str:
        """The tables in the paper's layout, and what to make of them."""
        return "\n\n".join((*self._tables(), self._verdict(), self._parts(), self._how())) + "\n"

    def csv_rows(self) -> list[dict[str, Any]]:
        """A row a network; fractions in percent, differences in points."""
        rows = []
        for row in self.rows:
            paper = NETWORKS.get(row.name)
            low, high = row.difference.over_clips if row.difference else (None, None)
            low_both, high_both = row.difference.over_both if row.difference else (None, None)
            rows.append(
                {
                    "network": row.name,
                    "seeds": len(row.seeds),
                    "ap": row.ap.mean,
                    "ap_sd": row.ap.deviation,
                    "ap50": row.ap50.mean,
                    "ap50_sd": row.ap50.deviation,
                    **{f"ap_{name}": _mean(spread) for name, spread in (*row.by_size.items(), *row.by_class.items())},
                    "ap_one_class": row.one_class_ap.mean,
                    "drone_recall": _mean(row.drone_recall),
                    "difference": row.difference.points if row.difference else None,
                    "clips_low": low,
                    "clips_high": high,
                    "clips_and_seeds_low": low_both,
                    "clips_and_seeds_high": high_both,
                    "ms": row.time_ms,
                    "time_ratio": row.time_ratio,
                    "paper_ap": paper.ap if paper else None,
                    "paper_ms": paper.time_ms if paper else None,
                }
            )
        return rows

    def plot(self, path: Path) -> None:
        """AP of each network with its seeds, AP against time if that was measured, and validation AP over the epochs.

        Raises:
            UserError: the file could not be written.
        """
        figure = Figure(figsize=(12, max(9.0, 6 + 0.4 * len(self.rows))), layout="constrained")
        timed = [(row.time_ms, row) for row in self.rows if row.time_ms is not None]
        panels = figure.subplot_mosaic([["bars", "times" if timed else "bars"], ["curves", "curves"]])
        bars, curves = panels["bars"], panels["curves"]
        names = [row.name for row in self.rows]
        bars.barh(names, [r.ap.mean for r in self.rows], xerr=[r.ap.deviation or 0 for r in self.rows], capsize=4)
        bars.invert_yaxis()
        bars.set(xlabel="mAP50:95 on the test part, %: mean and standard deviation over seeds")
        for ms, row in timed:
            panels["times"].errorbar(ms, row.ap.mean, yerr=row.ap.deviation or 0, fmt="o", capsize=3)
            panels["times"].annotate(row.name, (ms, row.ap.mean), xytext=(5, 5), textcoords="offset points", size=8)
        if timed:
            panels["times"].set(xlabel="ms an image, median", ylabel="mAP50:95, %")
        # Ten colours, then the same ten dashed, then dotted.
        curves.set_prop_cycle(cycler(linestyle=["-", "--", ":"]) * cycler(color=matplotlib.color_sequences["tab10"]))
        for row in self.rows:
            curves.plot(*zip(*row.curve, strict=True), marker=".", label=row.name)
        curves.set(xlabel="epoch", ylabel="mAP50:95 on the validation part, %: mean over seeds")
        curves.legend(fontsize=8, ncols=2)
        for axes in panels.values():
            axes.grid(alpha=0.3)
        save_figure(figure, path)

    def _tables(self) -> list[str]:
        """Tables 2 and 3 and what is in neither, each below the first row; without those that have no other row."""
        first, *rest = self.rows
        tables: list[tuple[str, Sequence[str], Mapping[str, PaperRow], list[TableRow]]] = [
            (table.title, table.columns, table.rows, [row for row in rest if row.name in table.rows])
            for table in (TABLE_2, TABLE_3)
        ]
        others = [row for row in rest if row.name not in TABLE_2.rows and row.name not in TABLE_3.rows]
        tables.append(("Further networks", (), {}, others))
        return [
            f"**{title}**\n\n"
            + _github_table(
                [[f"`{row.name}`", *_settings(row, columns, paper), *self._cells(row)] for row in (first, *rows)],
                ["network", *columns, *self._headers()],
            )
            for title, columns, paper, rows in tables
            if rows
        ]

    def _headers(self) -> list[str]:
        first = self.rows[0]
        return [
            "mAP50:95, %",
            f"points over {first.name} (95 %, clips)",
            "AP50, %",
            *(f"AP {size}, %" for size in first.by_size),
            "ms an image",
            "times the time",
            "paper: mAP50:95, %",
            "points over origin",
            "ms",
        ]

    def _cells(self, row: TableRow) -> list[object]:
        """What stands below `_headers`, the paper's numbers last."""
        paper = NETWORKS.get(row.name)
        return [
            row.ap,
            "" if row.difference is None else _with_interval(row.difference.points, row.difference.over_clips),
            row.ap50,
            *("-" if spread is None else spread for spread in row.by_size.values()),
            "-" if row.time_ms is None else f"{row.time_ms:.2f}",
            "-" if row.time_ratio is None else f"{row.time_ratio:.3f}",
            f"{paper.ap:.2f}" if paper else "",
            f"{paper.ap - ORIGIN.ap:+.2f}" if paper and paper is not ORIGIN else "",
            f"{paper.time_ms:.2f}" if paper and paper.time_ms else "",
        ]

    def _parts(self) -> str:
        """Where the networks differ: in finding objects, in telling their class, or in false alarms."""
        headers = ["network", "mAP50:95, whatever the class, %", *(f"AP {name}, %" for name in self.rows[0].by_class)]
        rows = [
            [
                f"`{row.name}`",
                row.one_class_ap,
                *("-" if spread is None else spread for spread in row.by_class.values()),
                "-" if row.drone_recall is None else row.drone_recall,
            ]
            for row in self.rows
        ]
        return _github_table(rows, [*headers, f"{DRONE}s found at one false alarm in {IMAGES_PER_ALARM} images, %"])

    def _verdict(self) -> str:
        lines = [
            f"- `{row.name}`: {row.difference.in_words()} ({row.difference.points:+.2f} points; clips and seeds drawn "
            f"anew: {_range(row.difference.over_both)})"
            for row in self.rows
            if row.difference is not None
        ]
        return "\n".join((f"Against `{self.rows[0].name}`, on these clips and with these seeds:", "", *lines))

    def _how(self) -> str:
        seeds = sorted({len(row.seeds) for row in self.rows})
        return (
            f"Test part: {self.images} images of {self.clips} clips with {self.objects} objects; {self.epochs} epochs; "
            f"{' to '.join(map(str, seeds))} seeds a network, ± is their standard deviation. Differences are paired by "
            f"seed; intervals are percentiles of {DRAWS} draws. A difference counts as real where both intervals, over "
            f"clips alone and over clips and seeds, leave out zero. Trained and tested on {self.hardware['device']}, "
            f"{self.hardware['cpu']}."
        )


def load_runs(folder: Path) -> list[Run]:
    """The finished runs of a folder.

    Raises:
        UserError: there is none, or one cannot be read.
    """
    runs = []
    for path in sorted(folder.glob("*/run.json")):
        try:
            content = json.loads(path.read_bytes())
            runs.append(Run(content["row"], content["seed"], content["test"], content["history"], path.parent))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path}: not the result of a run ({error!r}); delete it and run again") from error
    if not runs:
        raise UserError(f"{folder}: no finished run; make some with tables.py run")
    return runs


def build_report(folder: Path, order: Sequence[str], split: CocoSplit) -> TableReport:
    """Gathers the runs of a folder.

    Args:
        order: names of the rows; the first is compared with. Rows without a finished run are left out.
        split: the test part that the runs were tested on.

    Raises:
        UserError: no finished run of the first row, or runs tested on other data.
    """
    by_row: dict[str, dict[int, Run]] = defaultdict(dict)
    for run in load_runs(folder):
        by_row[run.row][run.seed] = run
        _require_same_data(run, split)
    if order[0] not in by_row:
        raise UserError(f"{folder}: no finished run of {order[0]}, which the others are compared with")
    names = [name for name in order if name in by_row]
    found = {name: {seed: load_detections(run, split) for seed, run in by_row[name].items()} for name in names}
    measures = {
        name: {seed: ClipAP(split, detections) for seed, detections in of.items()} for name, of in found.items()
    }
    draws = draw_clips(len(next(iter(measures[names[0]].values())).clips), DRAWS, seed=0)
    drawn = {name: {seed: _draw(measure, draws) for seed, measure in of.items()} for name, of in measures.items()}
    times = _times(folder)
    rows = []
    for name in names:
        runs = [by_row[name][seed] for seed in sorted(by_row[name])]
        pairs = [] if name == names[0] else sorted(set(measures[name]) & set(measures[names[0]]))
        rows.append(
            TableRow(
                name,
                tuple(run.seed for run in runs),
                ap=_spread([run.test["overall"]["ap"] for run in runs]),
                ap50=_spread([run.test["overall"]["ap50"] for run in runs]),
                by_size={size: _part_spread(runs, "by_size", size) for size in ("tiny", "small")},
                by_class={of_class: _part_spread(runs, "by_class", of_class) for of_class in split.classes},
                one_class_ap=_spread(
                    [ClipAP(split, detections, one_class=True).ap() for detections in found[name].values()]
                ),
                drone_recall=_drone_recall(runs),
                curve=_curve(runs),
                difference=paired_difference(drawn[name], drawn[names[0]], pairs) if pairs else None,
                time_ms=times.get(name, (None, None))[0],
                time_ratio=times.get(name, (None, None))[1],
            )
        )
    some = by_row[names[0]][min(by_row[names[0]])]
    hardware = some.test["provenance"]["hardware"]
    objects = sum(len(image.labels) for image in split.images)
    return TableReport(tuple(rows), len(split.images), draws.shape[1], objects, len(some.history), hardware)


def _draw(measure: ClipAP, draws: NDArray[np.int64]) -> NDArray[np.float64]:
    """AP in percent: of all clips first, then of each draw; NaN where a draw has no object."""
    values = [measure.ap(), *(measure.ap(weights) for weights in draws)]
    return np.array([np.nan if value is None else 100 * value for value in values])


def paired_difference(
    own: Mapping[int, NDArray[np.float64]], first: Mapping[int, NDArray[np.float64]], seeds: Sequence[int]
) -> Difference:
    """The difference of the seeds that both have; `own` and `first` as `_draw` gives them."""
    differences = np.array([own[seed] - first[seed] for seed in seeds])  # (seeds, 1 + draws)
    over_clips = differences[:, 1:].mean(axis=0)
    chosen = np.random.default_rng(0).integers(0, len(seeds), (len(seeds), over_clips.size))
    over_both = np.take_along_axis(differences[:, 1:], chosen, axis=0).mean(axis=0)
    known = ~np.isnan(over_clips)
    return Difference(
        float(differences[:, 0].mean()), interval(over_clips[known]), interval(over_both[known]), len(seeds)
    )


def load_detections(run: Run, split: CocoSplit) -> dict[int, Detections]:
    return group_results(read_detections(run.folder), split, run.folder)


def _require_same_data(run: Run, split: CocoSplit) -> None:
    tested = run.test["provenance"]["annotations_sha256"]
    if tested != sha256_of(split.path):
        raise UserError(f"{run.folder}: was tested on other annotations than {split.path}; run it again")


def _times(folder: Path) -> dict[str, tuple[float, float]]:
    """Row -> median ms of an image, and how many times the first row's; empty where nothing was measured."""
    path = folder / "latency.json"
    if not path.exists():
        return {}
    sides = json.loads(path.read_bytes())["sides"]
    return {name: (side["steps"]["total"]["median"], 1 / side["ratio"]["median"]) for name, side in sides.items()}


def _spread(fractions: Sequence[float | None]) -> Spread:
    values = 100 * np.array([fraction or 0.0 for fraction in fractions])
    return Spread(float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else None)


def _part_spread(runs: Sequence[Run], of: str, name: str) -> Spread | None:
    values = [run.test[of][name]["ap"] for run in runs]
    return None if None in values else _spread(values)


def _drone_recall(runs: Sequence[Run]) -> Spread | None:
    recalls = []
    for run in runs:
        points = [
            p for p in run.test["false_alarms"] if (p["class_name"], p["images_per_alarm"]) == (DRONE, IMAGES_PER_ALARM)
        ]
        recalls.append(points[0]["recall"] if points else None)
    return None if None in recalls else _spread(recalls)


def _curve(runs: Sequence[Run]) -> tuple[tuple[int, float], ...]:
    """The mean over the runs of the validation AP, at the epochs at which all of them have one."""
    curve = []
    for epoch, values in enumerate(zip(*(run.history for run in runs), strict=False), start=1):
        aps = [value.get("val_ap") for value in values]
        if None not in aps:
            curve.append((epoch, float(100 * np.mean(np.array(aps, dtype=float)))))
    return tuple(curve)


def _mean(spread: Spread | None) -> float | None:
    return None if spread is None else spread.mean


def _settings(row: TableRow, columns: Sequence[str], paper: Mapping[str, PaperRow]) -> tuple[str, ...]:
    """What stands below a paper's table's columns; nothing for a network that is not of it."""
    return paper[row.name].settings if row.name in paper else ("",) * len(columns)


def _github_table(rows: Sequence[Sequence[object]], headers: Sequence[str]) -> str:
    return tabulate([[str(cell) for cell in row] for row in rows], headers, tablefmt="github", disable_numparse=True)


def _with_interval(points: float, limits: tuple[float, float]) -> str:
    return f"{points:+.2f} ({_range(limits)})"


def _range(limits: tuple[float, float]) -> str:
    return f"{limits[0]:+.2f} to {limits[1]:+.2f}"
