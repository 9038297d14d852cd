"""The paper's numbers against its tables as they were typed off, where these are at hand."""

import csv
from pathlib import Path

import pytest

from yolox_gssam.research.tables.paper import ORIGIN, PAPER_ROWS, TABLE_2, TABLE_3, PaperTable

TABLES = Path(__file__).resolve().parents[4] / "shared" / "paper"


@pytest.mark.parametrize(("table", "name"), [(TABLE_2, "table2.csv"), (TABLE_3, "table3.csv")])
def test_numbers_and_settings(table: PaperTable, name: str) -> None:
    path = TABLES / name
    if not path.exists():
        pytest.skip(f"{path} is not there")
    with path.open() as file:
        printed = {row["exp"]: row for row in csv.DictReader(file)}
    origin = printed.pop("origin", None)
    assert list(printed) == list(table.rows)
    for exp, row in printed.items():
        ours = table.rows[exp]
        assert tuple(value.lower() for value in ours.settings) == tuple(row.values())[1:4]
        assert ours.ap == float(row["map_50_95_percent"])
        assert ours.time_ms == (float(row["time_ms"]) if "time_ms" in row else None)
    if origin:
        assert (ORIGIN.ap, ORIGIN.time_ms) == (float(origin["map_50_95_percent"]), float(origin["time_ms"]))


def test_a_network_of_both_tables_keeps_its_time() -> None:
    assert PAPER_ROWS["gssam_sig_res_p1"].time_ms == 22.31
    assert len(PAPER_ROWS) == 11
