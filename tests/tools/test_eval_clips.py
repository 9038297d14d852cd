"""`eval --clips` as a user runs it, on drawn films and with a network that needs no training."""

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import RunTool
from research.guard.guard_cases import drawn_set
from research.guard.test_trials import write_split
from watch.scenes import CLASSES, BrightSpots

from yolox_gssam.cli import eval as tool
from yolox_gssam.cli import eval_clips, parser
from yolox_gssam.common.errors import UserError
from yolox_gssam.detections import Detections
from yolox_gssam.detector import Detector
from yolox_gssam.research.guard.trials import Trial

WEIGHTS = "infrared"  # any file: its network is not opened


class Bright(BrightSpots):
    """Counts its frames, and breaks off after so many."""

    class_names = CLASSES

    def __init__(self, most: float = float("inf")) -> None:
        super().__init__()
        self.most = most

    def detect(self, frames: Any) -> list[Detections]:
        if sum(self.batches) + len(frames) > self.most:
            raise KeyboardInterrupt
        return super().detect(frames)


@pytest.fixture
def films(tmp_path: Path) -> Path:
    return drawn_set(tmp_path / "films")


def measure(
    monkeypatch: pytest.MonkeyPatch, network: Bright | None, films: Path, *options: object, weights: str = WEIGHTS
) -> dict[str, Any]:
    """Runs the command; None: a network that must not be opened."""

    def opened(*_: object) -> Bright:
        assert network is not None
        return network

    monkeypatch.setattr(eval_clips, "open_network", opened)
    given = ["--clips", films, "-c", weights, "--output-dir", films.parent / "out", *options]
    tool.main(tool.make_parser().parse_args([str(option) for option in given]))
    found: dict[str, Any] = json.loads((films.parent / "out" / "clips.json").read_text())
    return found


def test_the_known_answers(films: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The glint is ten frames of 0.8: evidence of 5 log 5 (1 - exp(-2)) = 6.958, which no alarm may reach without false
    ones.

    The drone, twenty frames of 0.8 from 2.0 s on, passes 6.959 at its 11th, 1.0 s later. At 5 it takes
    five. By single frames the two cannot be told apart.
    """
    report = measure(monkeypatch, Bright(), films)
    tracks, given, frames = (report["sensors"]["all"][way] for way in ("tracks", "tracks_given", "frames"))
    assert report["watch_threshold"]["threshold"] == 6.959
    assert report["watch_threshold"]["films_without_drones"] == 3
    assert tracks["drone_films_with_alarm"] | {"interval_95": 0} == {"count": 1, "of": 1, "share": 1, "interval_95": 0}
    assert tracks["seconds_to_alarm"] == {"median": 1.0, "90 %": 1.0}
    assert given["seconds_to_alarm"]["median"] == 0.4
    assert tracks["false_alarms_without_drones"]["count"] == 0
    assert given["false_alarms_without_drones"]["count"] == 1
    assert given["false_alarms_without_drones"]["per_hour"] == pytest.approx(1 / (18 / 3600))
    bird = given["films_with_false_alarm"]["bird"]
    assert (bird["count"], bird["of"]) == (1, 2)
    assert given["films_with_false_alarm"]["nothing"]["of"] == 1
    assert frames["drone_films_with_alarm"]["count"] == 0
    assert report["networks"][0]["calibrated_on_the_measured_films"] is True
    assert report["networks"][0]["calibration"]["frames"]["threshold"] == 0.801
    said = capsys.readouterr().out
    # Drone-vs-Bird's labels tell no tracks.
    assert report["identities"] == {"all": {"tracks": None}}
    assert ("no IDF1 and no HOTA" in said) == (find_spec("trackeval") is not None)
    assert ("pip install 'yolox-gssam[tracking]'" in said) == (find_spec("trackeval") is None)
    assert "watch --threshold 6.959" in said
    assert "the numbers flatter" in said
    assert "films of bird with a false alarm" in said


def test_an_interrupted_run_goes_on(films: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Broken off in the second film, then finished without the first, then replayed without a network."""
    broken, second = Bright(most=100), Bright()
    with pytest.raises(KeyboardInterrupt):
        measure(monkeypatch, broken, films)
    assert not (films.parent / "out" / "clips.json").exists()
    first = measure(monkeypatch, second, films)
    assert sum(second.batches) == 180
    again = measure(monkeypatch, None, films, "--false-per-hour", 400)
    assert again["sensors"]["all"]["tracks_given"] == first["sensors"]["all"]["tracks_given"]
    # Two false alarms are allowed in 18 seconds, and there is one at most.
    assert again["watch_threshold"]["threshold"] == pytest.approx(0.288)
    (folder,) = (films.parent / "out" / "detections").iterdir()
    assert folder.name.endswith("_10fps")
    (folder / "bird.npz").write_text("damaged")
    third = Bright()
    measure(monkeypatch, third, films)
    assert sum(third.batches) == 60
    other_rate = Bright()
    measure(monkeypatch, other_rate, films, "--fps", 5)
    assert sum(other_rate.batches) == 120


def test_folds(films: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two networks: each calibrates on the films of its own validation split and is measured on those of its test."""
    data = films.parent / "set"
    for fold, (tested, calibrated) in enumerate(((["drone", "bird"], ["glint"]), (["glint"], ["bird"]))):
        for part, names in (("test", tested), ("val", calibrated)):
            write_split(data / "annotations" / f"fold{fold}" / f"{part}.json", names)
        (films.parent / f"net{fold}.onnx").write_text(str(fold))
    weights = str(films.parent / "net{fold}.onnx")
    report = measure(monkeypatch, Bright(), films, "data_dir", data, weights=weights)
    thresholds = [network["calibration"]["tracks"]["threshold"] for network in report["networks"]]
    assert thresholds == pytest.approx([6.959, 0.288])
    tracks = report["sensors"]["all"]["tracks"]
    assert tracks["seconds_to_alarm"]["median"] == 1.0
    bird = tracks["films_with_false_alarm"]["bird"]
    assert (bird["count"], bird["of"]) == (1, 2)
    by_name = {film["name"]: film for film in report["films"]}
    assert {name: film["fold"] for name, film in by_name.items()} == {"drone": 0, "bird": 0, "glint": 1}
    assert by_name["drone"]["alarms"]["tracks"] == {"hit_s": 3.0, "false_s": []}
    assert by_name["glint"]["alarms"]["tracks"] == {"hit_s": None, "false_s": [1.0 + 0.1]}


def test_a_network_of_another_fold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    network = SimpleNamespace(exp={"fold": 3})
    monkeypatch.setattr(Detector, "load", lambda *_, **__: SimpleNamespace(network=network))
    args = tool.make_parser().parse_args(["-c", "net1.pth", "--clips", "films"])
    with pytest.raises(UserError, match=r"net1\.pth: was trained on fold 3 and has seen test clips of fold 1"):
        eval_clips.open_network(args, Trial("net1.pth", 1, [], []), 0.25)


@pytest.mark.parametrize(("options", "tiles"), [([], "auto"), (["--tiles", "off"], "off")])
def test_large_frames_are_cut_as_in_watching(monkeypatch: pytest.MonkeyPatch, options: list[str], tiles: str) -> None:
    loaded: list[dict[str, Any]] = []
    network = SimpleNamespace(
        network=SimpleNamespace(exp={}), predictor=SimpleNamespace(predict=None), class_names=CLASSES
    )
    monkeypatch.setattr(Detector, "load", lambda *_, **given: loaded.append(given) or network)
    args = tool.make_parser().parse_args(["-c", "net.pth", "--clips", "films", *options])
    eval_clips.open_network(args, Trial("net.pth", None, [], []), 0.5)
    assert loaded == [{"score_threshold": 0.1, "tiles": tiles, "input_size": None, "device": None}]


def test_films_without_labels_give_a_threshold(films: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in films.glob("*.txt"):
        path.unlink()
    (films / "drone.avi").unlink()
    report = measure(monkeypatch, Bright(), films)
    assert report["watch_threshold"]["threshold"] == 6.959
    own = report["sensors"]["all"]["tracks"]
    assert own["drone_films_with_alarm"]["share"] is None
    assert own["films_with_false_alarm"] | {"nothing": 0} == {"nothing": 0}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(["--clips", "nowhere"], "--clips nowhere: no such folder", id="root"),
        pytest.param(["-c", "no.pth"], "-c no.pth: no such network", id="network"),
        pytest.param(
            ["--class", "dragon"], "--class dragon: the network has no such class; it has drone, bird", id="class"
        ),
        pytest.param(["--fp16"], "--fp16 is for single images: leave it out with --clips", id="image-option"),
        pytest.param(["--conf", "0"], "--conf 0: with --clips a track begins", id="conf"),
        pytest.param(["depth", "0.33"], "depth 0.33: with --clips the only field is data_dir", id="field"),
        pytest.param(["data_dir", "nowhere"], "nowhere/annotations/test.json", id="data"),
    ],
)
def test_faults_end_in_one_line_and_write_nothing(
    films: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    message: str,
) -> None:
    monkeypatch.setattr(eval_clips, "open_network", lambda *_: Bright())
    given = ["--clips", films, "-c", WEIGHTS, "--output-dir", films.parent / "out", *options]
    monkeypatch.setattr(sys, "argv", ["eval.py", *map(str, given)])
    with pytest.raises(SystemExit) as ended:
        parser.run_tool(tool.make_parser(), tool.main)
    assert ended.value.code == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("eval.py: error: ")
    assert message in line
    assert not (films.parent / "out" / "clips.json").exists()


def test_films_with_drones_alone_cannot_give_a_threshold(films: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("bird.avi", "bird.txt", "glint.avi", "glint.txt", "sky.avi"):
        (films / name).unlink()
    with pytest.raises(UserError, match="no film without drones to take the threshold from"):
        measure(monkeypatch, None, films)


def test_with_the_real_network(films: Path, run_tool: RunTool) -> None:
    for path in films.glob("*.avi"):
        if path.stem not in ("sky", "drone"):
            path.unlink()
            path.with_suffix(".txt").unlink()
    out = films.parent / "out"
    done = run_tool("eval", "--clips", films, "-c", "infrared", "--fps", 2, "--output-dir", out)
    assert done.returncode == 0, done.stderr
    assert "watch --threshold" in done.stdout
    assert {path.name for path in out.iterdir()} == {".lock", "clips.json", "detections", "labels"}
