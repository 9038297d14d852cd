"""Watching as a user runs it: films, streams, wrong options, and its end by a signal."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import cv2
import pytest
from conftest import ROOT, RunTool
from watch.mjpeg_server import MjpegServer, wait_for
from watch.scenes import CLASSES, BrightSpots, drone_film, picture
from watch.test_notify import Hook

from yolox_gssam.cli import watch
from yolox_gssam.common.errors import UserError
from yolox_gssam.watch.store import Store


def start(*arguments: object) -> "subprocess.Popen[str]":
    paths = os.pathsep.join((str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")))
    return subprocess.Popen(
        [sys.executable, str(ROOT / "tests" / "watch" / "watch_bright.py"), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
    )


def test_films_and_a_damaged_one(tmp_path: Path) -> None:
    film, bad, out = drone_film(tmp_path / "a.avi"), tmp_path / "bad.avi", tmp_path / "out"
    bad.write_bytes(b"nothing")
    process = start(film, bad, "--output", out)
    said, log = process.communicate(timeout=60)
    assert process.returncode == 1, log
    begin = (
        r"20\d\d-[\d-]+T[\d:.]+Z a\.avi: drone 80%, track \d+\n1 alarms, the latest \d+ ms after its frame; 60 frames, "
    )
    assert re.match(begin, said)
    assert "bad.avi: cannot be opened" in log
    (row,) = Store(out).alarms()
    assert (row["source"], row["label"], row["duration_s"]) == ("a.avi", "drone", 1.9)
    assert (out / "clips" / row["clip"]).is_file()


@pytest.mark.parametrize("hanging", [False, True], ids=["running", "hanging"])
def test_sigterm_ends_all_within_five_seconds(tmp_path: Path, hanging: bool) -> None:
    """With a stream, a dead one, a receiver that is down, and a page; alarms, snapshot and clip are there."""
    server, out = MjpegServer(lambda number: picture((20 + number % 100, 20, 250)), rate=20), tmp_path / "out"
    page = () if not _has_page() else ("--page", "127.0.0.1:0")
    process = start(
        f"gate={server.url}", "http://127.0.0.1:9/", "--output", out, "--webhook", "http://127.0.0.1:9/", *page
    )
    assert process.stdout is not None
    while "gate: drone" not in process.stdout.readline():
        assert process.poll() is None
    time.sleep(0.5)
    server.hang = hanging
    time.sleep(0.5 * hanging)
    sent = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert time.monotonic() - sent < 5
    assert process.returncode == 143
    server.stop()
    store = Store(out)
    (row,) = store.alarms()
    assert row["ended_utc"] is not None
    assert row["snapshot"] is not None
    assert cv2.VideoCapture(str(out / "clips" / row["clip"])).isOpened()
    assert [json.loads(line)["event"] for line in (out / "alarms.jsonl").read_text().splitlines()] == ["alarm", "end"]


def test_a_receiver_hears_of_each_alarm_once(tmp_path: Path) -> None:
    hook, film = Hook(), drone_film(tmp_path / "a.avi")
    for _ in range(2):
        process = start(film, "--output", tmp_path / "out", "--webhook", f"http://127.0.0.1:{hook.port}/")
        assert process.communicate(timeout=60)
    wait_for(lambda: len(hook.got) == 4)
    assert [body["event"] for body in hook.got] == ["alarm", "end"] * 2
    assert len({body["alarm_id"] for body in hook.got}) == 2
    hook.stop()


def test_the_page_is_served_with_a_token(tmp_path: Path) -> None:
    pytest.importorskip("starlette", reason="starlette is not installed: pip install 'yolox-gssam[watch]'")
    pytest.importorskip("uvicorn", reason="uvicorn is not installed: pip install 'yolox-gssam[watch]'")
    film, out = drone_film(tmp_path / "a.avi", 200), tmp_path / "out"
    process = start(film, "--realtime", "--output", out, "--page", "0.0.0.0:0", "--token", "horse")
    assert process.stdout is not None
    port = int(process.stdout.readline().strip().rstrip("/").rpartition(":")[2])
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10)
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers={"Authorization": "Bearer horse"})
    assert b"frames_total" in urllib.request.urlopen(request, timeout=10).read()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 130


@pytest.mark.parametrize(
    ("options", "message", "needs_page"),
    [
        ([], "no such file; give a file", False),
        (["--classes", "dragon"], "no such class; it has drone, bird", False),
        (["--webhook", "host:80"], "not a webhook", False),
        (["--page", "0.0.0.0:0"], "give --token", True),
        (["--page", "8080"], "give HOST:PORT", True),
    ],
)
def test_wrong_input_says_what_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], message: str, needs_page: bool
) -> None:
    if needs_page and not _has_page():
        pytest.skip("starlette and uvicorn are not installed: pip install 'yolox-gssam[watch]'")
    film = drone_film(tmp_path / "a.avi", 3)
    detector = watch.NamedDetector(BrightSpots().detect, CLASSES)
    monkeypatch.setattr(watch, "open_detector", lambda args: detector)
    args = watch.make_parser().parse_args([str(film), "--output", str(tmp_path / "out"), *options])
    if not options:
        args.sources = ["nothing.mp4"]
    with pytest.raises(UserError, match=message):
        watch.main(args)


def test_with_the_real_network(run_tool: RunTool, tmp_path: Path) -> None:
    """A plain film: nothing is there, so nothing is told; frames larger than the input are cut."""
    film = drone_film(tmp_path / "a.avi", 4)
    done = run_tool("watch", film, "-c", "infrared", "--tiles", "64", "--output", tmp_path / "out", "--conf", "0.9")
    assert done.returncode == 0, done.stderr
    assert "; 4 frames, " in done.stdout


def _has_page() -> bool:
    return find_spec("starlette") is not None and find_spec("uvicorn") is not None
