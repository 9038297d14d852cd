"""Which networks a table compares, and the fields that they share."""

from collections.abc import Sequence

from yolox_gssam.common.shipped import shipped_folder
from yolox_gssam.experiment import load_exp
from yolox_gssam.research.benchmark.variants import VariantSpec, parse_variants
from yolox_gssam.research.tables.paper import TABLE_2, TABLE_3

EXPS = shipped_folder("exps")

# The depth and width multiples of the YOLOX paper (arXiv 2107.08430, Table 3).
SIZES: dict[str, tuple[str, ...]] = {
    "nano": ("depth", "0.33", "width", "0.25", "depthwise", "True"),
    "tiny": ("depth", "0.33", "width", "0.375"),
    "s": ("depth", "0.33", "width", "0.50"),
}
EXP_NAMES = tuple(dict.fromkeys(("origin", *TABLE_2.rows, *TABLE_3.rows)))
"""Of Tables 2 and 3."""


def read_rows(texts: Sequence[str], fields: Sequence[str]) -> list[VariantSpec]:
    """The networks of a table.

    Args:
        texts: [NAME=]EXP[,FIELD=VALUE ...], EXP an exp file or the name of one in exps/.
        fields: of all of them, (name, value, name, value, ...).

    Raises:
        UserError: a row of another form, an unknown exp file or field, two rows of one name.
    """
    rows = parse_variants([_with_path(text) for text in texts], fields, ())
    for row in rows:
        load_exp(row.exp_file, row.options)
    return rows


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
