"""The networks of Table 1, checked against the numbers that the paper prints."""

import csv
from pathlib import Path

import pytest
import torch

from yolox_gssam.classification import NETWORKS, build_classifier
from yolox_gssam.operations import multiply_adds

TABLE = Path(__file__).parents[2].parent / "shared" / "paper" / "table1.csv"
ROWS = list(csv.DictReader(TABLE.open())) if TABLE.exists() else []


@pytest.mark.skipif(not ROWS, reason="../shared/paper is not there")
class TestTable1:
    def test_has_all_rows(self) -> None:
        assert {(row["model"], row["attention"]) for row in ROWS} == {
            (network, attention) for network in NETWORKS for attention in ("none", "cbam", "gssam")
        }

    @pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['model']}-{row['attention']}")
    def test_parameters_to_the_unit_and_gflops_within_half_a_percent(self, row: dict[str, str]) -> None:
        with torch.device("meta"):
            model = build_classifier(row["model"], row["attention"], 10)
        assert sum(p.numel() for p in model.parameters()) == int(row["params"])
        counted = multiply_adds(model, (244, 244)) / 1e9
        assert counted == pytest.approx(float(row["gflops"]), rel=0.005)
