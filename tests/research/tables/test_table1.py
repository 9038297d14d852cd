"""Table 1 from the results of runs."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from yolox_gssam.classification.recipe import ClassifierRecipe
from yolox_gssam.common.errors import UserError
from yolox_gssam.research.tables.table1 import read_paper, result_of, run_name, write_table

HISTORY = [
    {"epoch": epoch, "train_loss": 1.0, "train_accuracy": 0.5, "val_loss": 1.0, "val_accuracy": 0.5} for epoch in (1, 2)
]


def write_result(output: Path, attention: str, seed: int, accuracy: float, **changed: Any) -> Path:
    recipe = ClassifierRecipe("resnet34", attention, seed=seed, **changed)
    part = {"accuracy": accuracy}
    folder = output / run_name(recipe)
    folder.mkdir(parents=True)
    result = {
        "recipe": recipe.to_json(),
        "data": {"train": "0"},
        "class_names": ["bird", "drone"],
        "val": {"accuracy": 0.1},
        "test": part,
        "history": HISTORY,
    }
    (folder / "result.json").write_text(json.dumps(result))
    return folder


def test_mean_and_sample_deviation_beside_the_paper(tmp_path: Path) -> None:
    """70, 80 and 90 %: mean 80, deviation 10. Parameters are those of ten classes, as the paper prints them."""
    for seed, accuracy in enumerate((0.7, 0.8, 0.9)):
        write_result(tmp_path, "none", seed, accuracy)
    write_result(tmp_path, "gssam", 0, 0.5)
    markdown = write_table(tmp_path, {("resnet34", "none"): 80.0})
    rows = list(csv.DictReader((tmp_path / "table.csv").open()))
    assert [(row["attention"], row["parameters"], row["seeds"]) for row in rows] == [
        ("none", "25856586", "3"),
        ("gssam", "25864728", "1"),
    ]
    assert [rows[0][name] for name in ("accuracy, %", "spread", "paper, %")] == ["80.00", "10.00", "80.00"]
    assert [rows[1][name] for name in ("accuracy, %", "spread", "paper, %")] == ["50.00", "", ""]
    assert (tmp_path / "table.md").read_text() == markdown + "\n"
    assert (tmp_path / "resnet34_curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"epochs": 3}, id="epochs"),
        pytest.param({"attention_options": {"num_convs": 3}}, id="options"),
    ],
)
def test_runs_that_cannot_be_compared_are_refused(changed: dict[str, Any], tmp_path: Path) -> None:
    write_result(tmp_path, "none", 0, 0.7)
    write_result(tmp_path, "none", 1, 0.7, **changed)
    with pytest.raises(UserError, match="runs of different settings or data"):
        write_table(tmp_path, {})


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no finished run, no result\.json"):
        write_table(tmp_path, {})


@pytest.mark.parametrize("text", ["{", "{}", "[]", '{"test": {"accuracy": "high"}, "val": 1}'])
def test_a_damaged_result_is_no_result(text: str, tmp_path: Path) -> None:
    folder = write_result(tmp_path, "none", 0, 0.7)
    assert result_of(folder) is not None
    (folder / "result.json").write_text(text)
    assert result_of(folder) is None


def test_paper_is_read_from_csv(tmp_path: Path) -> None:
    path = tmp_path / "paper.csv"
    path.write_text("model,attention,params,accuracy_percent\nvgg19,gssam,1,84.00\n")
    assert read_paper(path) == {("vgg19", "gssam"): 84.0}


@pytest.mark.parametrize(
    "text", ["model,attention\nvgg19,gssam\n", "model,attention,accuracy_percent\nvgg19,gssam,?\n"]
)
def test_other_files_are_not_the_paper(text: str, tmp_path: Path) -> None:
    path = tmp_path / "paper.csv"
    path.write_text(text)
    with pytest.raises(UserError, match="the columns model, attention, accuracy_percent are needed"):
        read_paper(path)
    with pytest.raises(UserError, match="cannot be read"):
        read_paper(tmp_path / "none.csv")
