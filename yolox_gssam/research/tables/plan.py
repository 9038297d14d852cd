"""Which networks a table compares, and the commands that train and test each."""

import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.files import write_json
from yolox_gssam.common.shipped import shipped_folder
from yolox_gssam.experiment import load_exp
from yolox_gssam.research.benchmark.sides import SideSpec, parse_sides

TOOLS = Path(__file__).parents[3] / "tools"
EXPS = shipped_folder("exps")

# The depth and width multiples of the YOLOX paper (arXiv 2107.08430, Table 3).
SIZES: dict[str, tuple[str, ...]] = {
    "nano": ("depth", "0.33", "width", "0.25", "depthwise", "True"),
    "tiny": ("depth", "0.33", "width", "0.375"),
    "s": ("depth", "0.33", "width", "0.50"),
}
# Tables 2 and 3.
EXP_NAMES = (
    "origin",
    "gssam_sig_p1",
    "gssam_sig_p2",
    "gssam_std_p1",
    "gssam_std_p2",
    "gssam_sig_res_p1",
    "gssam_sig_res_p2",
    "conv_p1",
    "conv_p2",
    "conv_res_p1",
    "conv_res_p2",
)


@dataclass(frozen=True)
class Plan:
    """All that decides what the numbers of a table will be.

    Attributes:
        rows: the networks, [NAME=]EXP[,FIELD=VALUE ...] as they were given; the first is the one compared with.
        seeds: of the runs of each.
        fields: of all experiments, (name, value, name, value, ...).
        flags: further arguments of tools/train.py.
        start_from: folder of other runs: each starts from the best weights of the one of its name there. Empty: from
            fresh weights.
    """

    rows: tuple[str, ...]
    seeds: tuple[int, ...]
    fields: tuple[str, ...]
    flags: tuple[str, ...]
    start_from: str = ""

    def sides(self) -> list[SideSpec]:
        """The rows, read.

        Raises:
            UserError: a row of another form, an unknown exp file or field, two rows of one name.
        """
        sides = parse_sides([_with_path(row) for row in self.rows], self.fields, ())
        for side in sides:
            load_exp(side.exp_file, side.options)
        return sides

    def jobs(self, folder: Path) -> list["Job"]:
        """Every network with every seed, seed after seed, so that a table stopped early has whole rows."""
        sides = self.sides()
        return [Job(side, seed, self.flags, folder, self.start_from) for seed in self.seeds for side in sides]

    def keep(self, folder: Path) -> None:
        """Writes the plan into the folder of its runs, or checks that it is the one they were begun with.

        More seeds and more rows may come later; what decides a single run may not change.

        Raises:
            UserError: the folder holds runs of another plan.
        """
        path = folder / "plan.json"
        if path.exists():
            before = read_plan(folder)
            for name, then, now in (
                ("fields", shlex.join(before.fields), shlex.join(self.fields)),
                ("flags", shlex.join(before.flags), shlex.join(self.flags)),
                ("start_from", before.start_from, self.start_from),
            ):
                if then != now:
                    raise UserError(
                        f"{path}: its runs have {name} {then!r}, not {now!r}; choose another --output-dir, or the same "
                        f"settings"
                    )
            rows = tuple(dict.fromkeys((*before.rows, *self.rows)))
            seeds = tuple(sorted({*before.seeds, *self.seeds}))
            write_json(path, asdict(replace(self, rows=rows, seeds=seeds)))
        else:
            write_json(path, asdict(self))


@dataclass(frozen=True)
class Job:
    """One network with one seed."""

    side: SideSpec
    seed: int
    flags: tuple[str, ...]
    root: Path
    start_from: str

    @property
    def name(self) -> str:
        return f"{self.side.name}_seed{self.seed}"

    @property
    def folder(self) -> Path:
        return self.root / self.name

    @property
    def result(self) -> Path:
        """The file that says that the run is done."""
        return self.folder / "run.json"

    @property
    def checkpoint(self) -> Path:
        """The weights that are tested: the best ones on the validation part."""
        return self.folder / "best_ckpt.pth"

    @property
    def start(self) -> Path | None:
        """The weights that it starts from; None: fresh ones."""
        return Path(self.start_from) / self.name / self.checkpoint.name if self.start_from else None

    def training(self, resume: bool) -> list[str]:
        """The command line that trains it."""
        flags = list(self.flags)
        if resume:
            flags.append("--resume")
        elif self.start is not None:
            flags += ["-c", str(self.start)]
        seed, name = ["--seed", str(self.seed)], ["-expn", self.name]
        options = [*self.side.options, "output_dir", str(self.root)]
        return [sys.executable, str(TOOLS / "train.py"), "-f", self.side.exp_file, *name, *seed, *flags, *options]

    def testing(self, device: str | None) -> list[str]:
        """The command line that tests its best checkpoint, without timing it."""
        flags = ["-c", str(self.checkpoint), "--split", "test", "--iterations", "0"]
        flags += [] if device is None else ["--device", device]
        return [sys.executable, str(TOOLS / "eval.py"), "-f", self.side.exp_file, *flags, *self.side.options]


def read_plan(folder: Path) -> Plan:
    """The plan of the runs in a folder.

    Raises:
        UserError: there is none.
    """
    path = folder / "plan.json"
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
        rows, seeds, fields, flags = (tuple(content[name]) for name in ("rows", "seeds", "fields", "flags"))
        # Plans of runs from fresh weights need not name it.
        return Plan(rows, seeds, fields, flags, content.get("start_from", ""))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not the plan of a table ({error}); make one with tables.py run") from error


def fields_of(dataset: str, size: str, input_size: str, epochs: int, more: Sequence[str]) -> tuple[str, ...]:
    """The fields that all networks of a table share; `more` come last and win.

    A fifteenth of the epochs warms up and a sixth goes without mosaic, near YOLOX's 5 and 15 of 300 but never none;
    twenty validations choose the best.
    """
    sides = input_size.split(",")
    height, width = sides if len(sides) == 2 else sides * 2
    schedule = {
        "max_epoch": epochs,
        "warmup_epochs": max(1, epochs // 15),
        "no_aug_epochs": max(1, epochs // 6),
        "eval_interval": max(1, epochs // 20),
    }
    pairs = [item for name, value in schedule.items() for item in (name, str(value))]
    return ("data_dir", dataset, *SIZES[size], "input_size", f"{height},{width}", *pairs, *more)


def _with_path(row: str) -> str:
    """A row whose exp file stands in exps/ may leave out folder and ending."""
    head, comma, settings = row.partition(",")
    name, mark, exp = head.rpartition("=")
    known = EXPS / f"{exp}.py"
    return f"{name}{mark}{known if known.exists() else exp}{comma}{settings}"
