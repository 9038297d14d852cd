import argparse
import csv
import importlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from videos import mjpeg_stream
from warm_python import WarmPython

from yolox_gssam.cli.parser import run_tool
from yolox_gssam.common.checkpoint import save_checkpoint
from yolox_gssam.experiment import load_exp

TOOL = Path(__file__).parents[2] / "tools" / "demo.py"
DRONE_CLIP = Path(__file__).parents[3] / "shared" / "data" / "svanstrom" / "Data" / "Video_V" / "V_DRONE_066.mp4"
EXP = """
from yolox_gssam.experiment import GSSAM_STAGES, DroneExp

class Exp(DroneExp):
    def __init__(self):
        super().__init__()
        self.depth, self.width, self.depthwise = 0.33, 0.25, True
        self.attention = "{attention}"
        self.attention_options = {{**GSSAM_STAGES}} if self.attention == "gssam" else {{}}
        self.input_size = (96, 96)
        self.num_classes = 2
        self.output_dir = "{output_dir}"
"""


def make_checkpoint(folder: Path, attention: str) -> Path:
    """A network with random weights that finds something everywhere, in a checkpoint as training writes it."""
    exp_file = folder / f"small_{attention}.py"
    exp_file.write_text(EXP.format(attention=attention, output_dir=folder / "runs"))
    exp = load_exp(exp_file)
    torch.manual_seed(0)
    model = exp.get_model()
    with torch.no_grad():
        for convs in (model.head.cls_preds, model.head.obj_preds):
            for conv in convs:
                conv.bias.fill_(1.0)
    path = folder / f"{attention}.pth"
    fields = {**exp.fields(), "num_classes": exp.num_classes, "test_size": exp.test_size}
    save_checkpoint(path, {"model": model.state_dict(), "class_names": ["bird", "drone"], "exp": fields})
    return path


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("checkpoints")
    return {attention: make_checkpoint(folder, attention) for attention in ("gssam", "none")}


@pytest.fixture(scope="module")
def demo() -> ModuleType:
    """What tools/demo.py runs."""
    return importlib.import_module("yolox_gssam.cli.predict")


def cloudy(seed: int) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(noise, (128, 96), interpolation=cv2.INTER_CUBIC), np.uint8)


def make_clip(path: Path, frames: int) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 12.5, (128, 96))
    for number in range(frames):
        writer.write(cloudy(number))
    writer.release()
    return path


def count_frames(path: Path) -> int:
    capture = cv2.VideoCapture(str(path))
    count = 0
    while capture.read()[0]:
        count += 1
    return count


def run(demo: ModuleType, *arguments: object) -> int:
    """Runs the tool's parser and main inside this process; the exit status."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["demo.py", *(str(argument) for argument in arguments)])
        parser: argparse.ArgumentParser = demo.make_demo_parser()
        with pytest.raises(SystemExit) as ended:
            run_tool(parser, demo.demo_main)
    return int(ended.value.code or 0)


def test_a_video_as_a_user_runs_it(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.avi", 8)
    command = [sys.executable, TOOL, "video", "--path", clip, "-c", checkpoints["gssam"], "--conf", "0.3"]
    options = ["--device", "cpu", "--save-attention", "--save-detections", "csv", "--output", tmp_path / "out"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert count_frames(tmp_path / "out" / "clip.mp4") == 8
    assert count_frames(tmp_path / "out" / "clip_attention.mp4") == 8
    with (tmp_path / "out" / "clip_detections.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) > 0
    assert {row["class"] for row in rows} <= {"bird", "drone"}
    assert all(float(row["score"]) >= 0.3 for row in rows)
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"{len(rows)} objects on 8 frames, ")
    assert "frames/s" in lines[0]
    assert "ms per frame" in lines[0]
    assert lines[1:] == [
        f"annotated video: {tmp_path / 'out' / 'clip.mp4'}",
        f"attention maps: {tmp_path / 'out' / 'clip_attention.mp4'}",
        f"detections: {tmp_path / 'out' / 'clip_detections.csv'}",
    ]
    assert "8/8" in done.stderr


@pytest.mark.skipif(not DRONE_CLIP.is_file(), reason=f"no {DRONE_CLIP}")
def test_the_shipped_weights_find_a_drone(demo: ModuleType, tmp_path: Path) -> None:
    """On a clip of their test part, without -f and -c."""
    source, part = cv2.VideoCapture(str(DRONE_CLIP)), tmp_path / "part.avi"
    writer = cv2.VideoWriter(str(part), cv2.VideoWriter.fourcc(*"MJPG"), 30, (640, 512))
    for _ in range(10):
        writer.write(source.read()[1])
    writer.release()
    arguments = ("video", "--path", part, "--output", tmp_path / "out", "--save-detections", "json", "--device", "cpu")
    assert run(demo, *arguments) == 0
    frames = json.loads((tmp_path / "out" / "part_detections.json").read_text())["frames"]
    assert len(frames) == 10
    assert [[found["class"] for found in frame["detections"]] for frame in frames] == [["drone"]] * 10


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends a process without a signal")
def test_sigterm_leaves_a_file_that_plays(
    warm_python: WarmPython, checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    clip = make_clip(tmp_path / "clip.avi", 3000)
    command = [warm_python.executable, TOOL, "video", "--path", clip, "-c", checkpoints["none"], "--device", "cpu"]
    process = subprocess.Popen(
        [*command, "--output", tmp_path / "out"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 240
    # The part file has bytes once a frame was written.
    while not any(part.stat().st_size for part in (tmp_path / "out").glob(".clip-*.mp4")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "no frame was written"
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=240)
    assert process.returncode == 128 + signal.SIGTERM, errors
    frames = count_frames(tmp_path / "out" / "clip.mp4")
    assert 0 < frames < 3000
    assert f" on {frames} frames" in output
    assert "ended early" in errors


def test_a_stream_that_ends_by_itself_has_a_status_of_its_own(
    demo: ModuleType, checkpoints: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with mjpeg_stream() as url:
        assert run(demo, "video", "--path", url, "-c", checkpoints["none"], "--output", tmp_path) == 3
    assert "camera.mjpg: gave no more frames after" in capsys.readouterr().err
    assert count_frames(tmp_path / "camera.mp4") > 0


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        cv2.imwrite(str(folder / f"{number}.jpg"), cloudy(number))
    return folder


def test_a_folder_goes_where_yolox_puts_it(
    demo: ModuleType, checkpoints: dict[str, Path], photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = checkpoints["none"].parent
    status = run(
        demo, "image", "--path", photos, "-f", folder / "small_none.py", "-c", checkpoints["none"],
        "--save-detections", "json", "--device", "cpu", "--save_result",
    )  # fmt: skip
    assert status == 0
    out = folder / "runs" / "small_none" / "vis_res"
    assert sorted(path.name for path in out.iterdir()) == ["0.jpg", "1.jpg", "2.jpg", "photos_detections.json"]
    assert len(json.loads((out / "photos_detections.json").read_text())["frames"]) == 3
    assert f"annotated images: {out}" in capsys.readouterr().out


def test_one_unreadable_image_among_good_ones_ends_with_status_1(
    demo: ModuleType, checkpoints: dict[str, Path], photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "1.jpg").write_bytes(b"no image")
    arguments = ("image", "--path", photos, "-c", checkpoints["none"], "--output", tmp_path / "out", "--device", "cpu")
    assert run(demo, *arguments) == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0.jpg", "2.jpg"]
    assert "1.jpg" in capsys.readouterr().err


def test_the_input_size_and_thresholds_count(
    demo: ModuleType, checkpoints: dict[str, Path], photos: Path, tmp_path: Path
) -> None:
    counts = []
    for options in (
        ["--conf", "0.3"],
        ["--conf", "0.3", "--tsize", "160"],
        ["--conf", "1"],
        ["--conf", "0.3", "--fp16"],
    ):
        common = ["-c", checkpoints["none"], "--output", tmp_path / "out", "--save-detections", "json"]
        assert run(demo, "image", "--path", photos / "0.jpg", "--device", "cpu", *common, *options) == 0
        frames = json.loads((tmp_path / "out" / "0_detections.json").read_text())["frames"]
        counts.append(sum(len(frame["detections"]) for frame in frames))
    small, large, none, half = counts
    assert large > small > 0
    assert none == 0
    assert half > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["image"], "--path is needed", id="no-path"),
        pytest.param(["image", "--path", "missing.jpg"], "missing.jpg: no such image", id="no-image"),
        pytest.param(["image", "--path", "empty"], "empty: no images", id="empty-folder"),
        pytest.param(["image", "--path", "text.jpg"], "text.jpg", id="not-an-image"),
        pytest.param(["video", "--path", "missing.mp4"], "missing.mp4: no such video", id="no-video"),
        pytest.param(["video", "--path", "text.jpg"], "text.jpg: ", id="not-a-video"),
        pytest.param(["webcam", "--camid", "99"], "camera 99: cannot be opened", id="no-camera"),
        pytest.param(["image", "--path", "a.png", "--save-attention"], "no attention maps", id="no-attention"),
        pytest.param(["image", "--path", "a.png", "--tsize", "100"], "multiples of 32", id="wrong-size"),
    ],
)
def test_mistakes_end_in_one_line(
    demo: ModuleType,
    checkpoints: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.jpg").write_text("text")
    cv2.imwrite("a.png", cloudy(0))
    assert run(demo, *arguments, "-c", checkpoints["none"], "--device", "cpu", "--output", "out") == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("demo.py: error: ")
    assert message in last
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("options", [["--conf", "1.5"], ["--nms", "-0.1"], ["--save-detections", "xml"]], ids=str)
def test_wrong_values_are_refused(demo: ModuleType, options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(demo, "image", "--path", "a.jpg", "-c", "a.pth", *options) == 2
    assert options[0] in capsys.readouterr().err
