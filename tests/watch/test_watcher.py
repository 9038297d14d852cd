"""From films and a stream to alarms in the store."""

import time
from pathlib import Path

import cv2
import numpy as np
from watch.mjpeg_server import MjpegServer
from watch.scenes import CLASSES, BrightSpots, drone_film, picture

from yolox_gssam.watch.alarms import Alarm, AlarmEnd, AlarmOptions
from yolox_gssam.watch.clips import read_avi
from yolox_gssam.watch.recorder import Recorder
from yolox_gssam.watch.sources import SourceOptions, Sources
from yolox_gssam.watch.store import Store
from yolox_gssam.watch.watcher import Watcher, WatchOptions


def test_films_to_one_alarm_each(tmp_path: Path) -> None:
    films = [drone_film(tmp_path / f"{name}.avi") for name in ("a", "b")]
    store, network = Store(tmp_path / "out"), BrightSpots()
    told: list[Alarm | AlarmEnd] = []
    recorder = Recorder(store, told.append)
    watcher = Watcher(network, CLASSES, Sources([str(film) for film in films], SourceOptions()), recorder)
    watcher.run(lambda: False)
    assert recorder.close(10)
    rows = store.alarms()
    assert sorted((row["source"], row["label"], row["duration_s"]) for row in rows) == [
        ("a.avi", "drone", 1.9),
        ("b.avi", "drone", 1.9),
    ]
    assert len(told) == 4
    assert watcher.timing.frames == sum(network.batches) == 120
    assert max(network.batches) == 2
    for row in rows:
        assert cv2.imread(str(tmp_path / "out" / "snapshots" / row["snapshot"])).shape == (120, 160, 3)
        # The alarm comes with the second box, at 2.1 s; the film ends before 5 s after it.
        assert len(list(read_avi(tmp_path / "out" / "clips" / row["clip"]))) == 60


def test_a_film_that_ends_within_an_alarm_tells_its_end_whatever_the_cooldown(tmp_path: Path) -> None:
    film = drone_film(tmp_path / "a.avi", 45)
    for cooldown_s in (0.1, 5.0):
        told: list[Alarm | AlarmEnd] = []
        recorder = Recorder(Store(tmp_path / str(cooldown_s)), told.append)
        options = WatchOptions(alarms=AlarmOptions(cooldown_s=cooldown_s))
        Watcher(BrightSpots(), CLASSES, Sources([str(film)], SourceOptions()), recorder, options).run(lambda: False)
        recorder.close(10)
        assert [type(event) for event in told] == [Alarm, AlarmEnd]


def test_a_stream_that_is_cut_ends_its_alarm(tmp_path: Path) -> None:
    server = MjpegServer(lambda number: picture((20 + number % 100, 20, 250)), rate=20)
    store = Store(tmp_path / "out")
    told: list[Alarm | AlarmEnd] = []
    recorder = Recorder(store, told.append)
    options = SourceOptions(open_s=1, read_s=0.5, first_wait_s=0.1, longest_wait_s=0.2)
    quick = WatchOptions(alarms=AlarmOptions(cooldown_s=0.5))
    watcher = Watcher(BrightSpots(), CLASSES, Sources([f"gate={server.url}"], options), recorder, quick)

    def stop() -> bool:
        if len(told) == 1:
            server.stop()
        return len(told) == 2 or time.monotonic() > started + 20

    started = time.monotonic()
    watcher.run(stop)
    watcher.sources.stop(3)
    recorder.close(5)
    assert [type(event) for event in told] == [Alarm, AlarmEnd]
    assert told[0].alarm_id == told[1].alarm_id
    assert time.monotonic() < started + 20


def test_a_frame_of_another_size_ends_the_tracks(tmp_path: Path) -> None:
    server = MjpegServer(lambda number: picture((20, 20, 250)), rate=20)
    recorder = Recorder(Store(tmp_path / "out"))
    watcher = Watcher(BrightSpots(), CLASSES, Sources([server.url], SourceOptions()), recorder)
    (channel,) = watcher.channels
    watcher.sources.start()
    count = 0
    while count < 10:
        for _, frame in watcher.sources.batch(1):
            image = frame.image if count < 5 else cv2.resize(frame.image, (320, 240)).astype(np.uint8)
            changed = type(frame)(image, frame.time_s, frame.clock_s, frame.read_s)
            channel.take(changed, BrightSpots().detect([image])[0])
            count += 1
    assert channel.live is not None
    assert channel.live.size_wh == (320, 240)
    assert [track["id"] for track in channel.live.tracks] == [2]
    watcher.sources.stop(2)
    recorder.close(2)
    server.stop()
