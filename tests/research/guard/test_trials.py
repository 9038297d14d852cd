"""Which network runs on which films."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from yolox_gssam.common.errors import UserError
from yolox_gssam.research.guard.labelled_film import LabelledFilm
from yolox_gssam.research.guard.trials import network_digest, plan_trials

FILMS = [LabelledFilm(name, name, f"{name}.mp4", 0, 0, 30, (9, 9), [0], [], True, False) for name in "ABCDEF"]


def write_split(path: Path, names: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    images = [
        {"id": number, "file_name": f"{name}_000000.jpg", "width": 9, "height": 9, "group": name}
        for number, name in enumerate(names, 1)
    ]
    path.write_text(json.dumps({"images": images, "annotations": [], "categories": [{"id": 1, "name": "drone"}]}))


@pytest.fixture
def folds(tmp_path: Path) -> Path:
    """Three folds of two clips each; the clips of the next one calibrate."""
    parts = ("AB", "CD", "EF")
    for fold in range(3):
        for part, names in (("test", parts[fold]), ("val", parts[(fold + 1) % 3])):
            write_split(tmp_path / "set" / "annotations" / f"fold{fold}" / f"{part}.json", names)
    for fold in range(3):
        (tmp_path / f"run{fold}.pth").write_text(str(fold))
    return tmp_path


def names(films: Sequence[LabelledFilm]) -> str:
    return "".join(film.name for film in films)


def test_each_clip_is_tested_by_the_network_of_its_fold(folds: Path) -> None:
    trials = plan_trials(FILMS, str(folds / "run{fold}.pth"), folds / "set", "test")
    assert [(trial.fold, names(trial.tested), names(trial.calibrated)) for trial in trials] == [
        (0, "AB", "CD"),
        (1, "CD", "EF"),
        (2, "EF", "AB"),
    ]
    assert [Path(trial.weights).name for trial in trials] == ["run0.pth", "run1.pth", "run2.pth"]
    assert not any(trial.in_sample for trial in trials)
    assert len({network_digest(trial.weights) for trial in trials}) == 3


def test_one_network_on_all_films_or_on_a_split(folds: Path) -> None:
    (whole,) = plan_trials(FILMS, str(folds / "run0.pth"), None, "test")
    assert (names(whole.tested), whole.fold, whole.in_sample) == ("ABCDEF", None, True)
    write_split(folds / "set" / "annotations" / "test.json", "AC")
    write_split(folds / "set" / "annotations" / "val.json", "E")
    (split,) = plan_trials(FILMS, str(folds / "run0.pth"), folds / "set", "test")
    assert (names(split.tested), names(split.calibrated), split.in_sample) == ("AC", "E", False)
    assert plan_trials(FILMS, "infrared", folds / "set", "val")[0].in_sample


@pytest.mark.parametrize(
    ("weights", "data", "message"),
    [
        pytest.param("no.pth", None, r"-c no\.pth: no such network; give a file", id="network"),
        pytest.param("run{fold}.pth", None, "add data_dir and a data set with folds", id="no-data"),
        pytest.param("no{fold}.pth", "set", r"no0\.pth: no such network", id="fold"),
        pytest.param("run{fold}.pth", "empty", "has no folds; make it with", id="no-folds"),
        pytest.param("run0.pth", "other", r"test\.json: none of its clips is among the films", id="other-data"),
    ],
)
def test_what_is_missing_is_said(
    folds: Path, monkeypatch: pytest.MonkeyPatch, weights: str, data: str | None, message: str
) -> None:
    monkeypatch.chdir(folds)
    (folds / "empty").mkdir()
    write_split(folds / "other" / "annotations" / "test.json", "X")
    with pytest.raises(UserError, match=message):
        plan_trials(FILMS, weights, None if data is None else Path(data), "test")


def test_openvino_s_weights_are_part_of_the_digest(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text("net")
    (tmp_path / "a.bin").write_text("one")
    before = network_digest(str(tmp_path / "a.xml"))
    (tmp_path / "a.bin").write_text("two")
    assert network_digest(str(tmp_path / "a.xml")) != before
