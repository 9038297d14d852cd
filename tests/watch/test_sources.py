"""Sources: real files and a real HTTP stream that hangs, ends and comes back."""

import socket
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from watch import rtsp_server
from watch.mjpeg_server import MjpegServer, wait_for

from yolox_gssam.common.errors import UserError
from yolox_gssam.watch.sources import SourceOptions, Sources, split_name

QUICK = SourceOptions(open_s=2, read_s=0.5, first_wait_s=0.1, longest_wait_s=0.4)


def grey(number: int) -> NDArray[np.uint8]:
    return np.full((48, 64, 3), 4 * number % 256, np.uint8)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 20, (64, 48))
    for number in range(40):
        writer.write(grey(number))
    writer.release()
    return path


def test_files_are_read_whole_beside_one_another(clip: Path) -> None:
    sources = Sources([f"a={clip}", f"b={clip}"], SourceOptions())
    sources.start()
    values: dict[int, list[float]] = {0: [], 1: []}
    times: dict[int, list[float]] = {0: [], 1: []}
    while batch := sources.batch(5):
        time.sleep(0.002)
        for number, picture in batch:
            values[number].append(float(picture.image.mean()))
            times[number].append(picture.time_s)
    for number in (0, 1):
        assert values[number] == pytest.approx([4.0 * frame for frame in range(40)], abs=2)
        assert times[number] == pytest.approx([frame / 20 for frame in range(40)])
    assert sources.over
    assert [(state.state, state.frames, state.taken, state.dropped) for state in sources.states()] == [
        ("ended", 40, 40, 0)
    ] * 2


def test_realtime_takes_its_time_and_gives_the_newest(clip: Path) -> None:
    sources = Sources([str(clip)], SourceOptions(realtime=True))
    started = time.monotonic()
    sources.start()
    seen = []
    while batch := sources.batch(5):
        seen.append(batch[0][1].time_s)
        time.sleep(0.25)  # a slow network
    assert 1.9 < time.monotonic() - started < 5
    assert 4 <= len(seen) <= 9
    assert np.diff(seen).min() > 0.1
    (state,) = sources.states()
    assert (state.frames, state.taken + state.dropped) == (40, 40)


def test_a_stream_comes_back_and_a_dead_one_beside_it_stops_nothing(clip: Path) -> None:
    server = MjpegServer(grey)
    sources = Sources([f"gate={server.url}", "dead=http://127.0.0.1:9/", str(clip)], QUICK)
    sources.start()
    counts = [0, 0, 0]

    def seen(source: int, frames: int) -> bool:
        for number, _ in sources.batch(0.1):
            counts[number] += 1
        return counts[source] >= frames

    wait_for(lambda: seen(0, 5))
    wait_for(lambda: seen(2, 40))
    server.hang = True
    wait_for(lambda: seen(0, 10**9) or sources.states()[0].reconnects > 0)
    server.hang = False
    counts[0] = 0
    wait_for(lambda: seen(0, 5))
    port = server.port
    server.stop()
    wait_for(lambda: seen(0, 10**9) or sources.states()[0].state == "waiting")
    server = MjpegServer(grey, port=port)
    counts[0] = 0
    wait_for(lambda: seen(0, 5))
    gate, dead, file = sources.states()
    assert (gate.state, gate.message) == ("running", "")
    assert gate.reconnects >= 2
    assert gate.rate_in > 1
    assert (dead.frames, file.frames) == (0, 40)
    assert "cannot be opened" in dead.message or dead.state == "opening"
    started = time.monotonic()
    sources.stop(5)
    assert time.monotonic() - started < 3
    server.stop()


def test_an_rtsp_server_is_killed_and_comes_back_with_another_frame_size() -> None:
    if not rtsp_server.is_installed():
        pytest.skip("GStreamer's RTSP server is not installed; tests/watch/rtsp_server.py says how")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = rtsp_server.start_server(port)
    sources = Sources([f"gate=rtsp://127.0.0.1:{port}/gate"], replace(QUICK, open_s=10))
    sources.start()
    shapes: list[tuple[int, ...]] = []

    def seen(frames: int) -> bool:
        shapes.extend(picture.image.shape for _, picture in sources.batch(0.1))
        return len(shapes) >= frames

    try:
        for size_wh in ((160, 120), (320, 240)):
            wait_for(lambda: seen(10))
            assert set(shapes) == {(size_wh[1], size_wh[0], 3)}
            server.kill()
            server.wait()
            wait_for(lambda: sources.batch(0.1) or sources.states()[0].state == "waiting")
            shapes.clear()
            server = rtsp_server.start_server(port, (320, 240))
    finally:
        server.kill()
        sources.stop(5)
    (state,) = sources.states()
    assert state.reconnects >= 1


def test_the_backlog_of_a_stream_is_dropped() -> None:
    server = MjpegServer(grey, rate=50)
    sources = Sources([server.url], QUICK)
    sources.start()
    wait_for(lambda: sources.batch(0.1))
    ages = []
    for _ in range(5):
        time.sleep(0.3)
        ((_, picture),) = sources.batch(1)
        ages.append(time.monotonic() - picture.read_s)
    assert np.median(ages) < 0.15
    (state,) = sources.states()
    assert state.dropped > state.taken
    sources.stop(3)
    server.stop()


def test_a_changed_frame_size_is_survived() -> None:
    server = MjpegServer(
        lambda number: np.full((48 if number < 10 else 96, 64 if number < 10 else 128, 3), 9, np.uint8)
    )
    sources = Sources([server.url], QUICK)
    sources.start()
    count = 0
    while count < 30:
        count += len(sources.batch(1))
        assert sources.states()[0].state in ("opening", "running", "waiting")
    sources.stop(3)
    server.stop()


def test_a_damaged_file_fails_alone(clip: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.avi"
    bad.write_bytes(b"RIFF nothing" * 50)
    sources = Sources([str(bad), str(clip)], SourceOptions())
    sources.start()
    frames = 0
    while batch := sources.batch(5):
        frames += len(batch)
    assert frames == 40
    assert [source.failed for source in sources.all] == [True, False]
    assert sources.states()[0].message == "cannot be opened"


def test_stop_while_nobody_takes(clip: Path) -> None:
    sources = Sources([str(clip)], SourceOptions())
    sources.start()
    wait_for(lambda: sources.states()[0].frames)
    sources.stop(2)
    assert not sources.all[0].is_alive()


@pytest.mark.parametrize(
    ("text", "name", "place"),
    [
        ("rtsp://user:pa%40ss@camera.local/1", "rtsp://camera.local/1", "rtsp://user:pa%40ss@camera.local/1"),
        ("gate=rtsp://u:p@camera/1?a=b", "gate", "rtsp://u:p@camera/1?a=b"),
        ("http://camera/?a=b", "http://camera/?a=b", "http://camera/?a=b"),
        ("0", "camera 0", "0"),
        ("yard=0", "yard", "0"),
        ("clips/a.mp4", "a.mp4", "clips/a.mp4"),
    ],
)
def test_names_hold_no_password(text: str, name: str, place: str) -> None:
    assert split_name(text) == (name, place)


def test_a_missing_file_or_a_name_twice_is_said_at_once(clip: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        Sources(["nothing.mp4"], SourceOptions())
    with pytest.raises(UserError, match=r"clip\.avi: a source of this name"):
        Sources([str(clip), str(clip)], SourceOptions())
