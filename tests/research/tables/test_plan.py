"""Which networks a table compares."""

from pathlib import Path

import pytest

from yolox_gssam.common.errors import UserError
from yolox_gssam.research.tables.plan import fields_of, read_rows

FIELDS = fields_of("datasets/synthetic", "nano", "416", 60, ["max_epoch", "50"])


def test_fields() -> None:
    assert (
        *("data_dir", "datasets/synthetic", "depth", "0.33", "width", "0.25", "depthwise", "True"),
        *("input_size", "416,416", "max_epoch", "60", "warmup_epochs", "4", "no_aug_epochs", "10"),
        *("eval_interval", "3", "max_epoch", "50"),
    ) == FIELDS
    assert "352,416" in fields_of("data", "s", "352,416", 1, [])


def test_rows_are_exp_files_by_name_with_fields_of_their_own() -> None:
    plain, wide = read_rows(["origin", "wide=origin,width=0.28125"], FIELDS)
    assert (plain.name, wide.name) == ("origin", "wide")
    assert Path(plain.exp_file).name == "origin.py"
    assert wide.options == (*FIELDS, "width", "0.28125")


@pytest.mark.parametrize("row", ["nothing", "origin,colour=red", "=origin"])
def test_bad_rows(row: str) -> None:
    with pytest.raises(UserError):
        read_rows(["origin", row], FIELDS)
