"""The page's answers, who may read them, and that no other file is ever served."""

import json
import shutil
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest
from watch.alarm_cases import alarm
from watch.mjpeg_server import wait_for
from watch.scenes import CLASSES, BrightSpots, drone_film

from yolox_gssam.common.errors import UserError
from yolox_gssam.watch.recorder import Recorder
from yolox_gssam.watch.sources import SourceOptions, Sources
from yolox_gssam.watch.store import AlarmFilter, Store
from yolox_gssam.watch.watcher import Watcher

pytest.importorskip("starlette", reason="starlette is not installed: pip install 'yolox-gssam[watch]'")
pytest.importorskip("uvicorn", reason="uvicorn is not installed: pip install 'yolox-gssam[watch]'")
pytest.importorskip("httpx2", reason="httpx2, which starlette's test client needs, is not installed")

from starlette.testclient import TestClient

from yolox_gssam.watch.page import Page, is_loopback, serve

TOKEN = "correct-horse"
NAME = 'ga"te.avi'


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Watcher, Store]]:
    """A film watched to its end."""
    folder = tmp_path_factory.mktemp("watched")
    (folder / "secret.txt").write_text("secret")
    film = drone_film(folder / "a.avi", 35).rename(folder / NAME)
    store = Store(folder / "out")
    recorder = Recorder(store)
    watcher = Watcher(BrightSpots(), CLASSES, Sources([str(film)], SourceOptions()), recorder)
    watcher.run(lambda: False)
    recorder.close(10)
    yield watcher, store
    store.close()


@pytest.fixture
def client(watched: tuple[Watcher, Store]) -> TestClient:
    return TestClient(Page(*watched, None).app())


def test_live_picture_tracks_and_states(client: TestClient) -> None:
    live = client.get("/api/live/0").json()
    assert live["size_wh"] == [160, 120]
    assert sorted((track["label"], track["alarm"]) for track in live["tracks"]) == [("bird", False), ("drone", True)]
    picture = client.get("/live/0.jpg")
    assert picture.headers["content-type"] == "image/jpeg"
    assert cv2.imdecode(np.frombuffer(picture.content, np.uint8), 1).shape == (120, 160, 3)
    (state,) = client.get("/api/sources").json()["sources"]
    assert (state["state"], state["frames"], state["taken"], state["dropped"]) == ("ended", 35, 35, 0)
    for place in ("/live/1.jpg", "/live/-1.jpg", "/live/x.jpg"):
        assert client.get(place).status_code == 404


def test_alarms_with_snapshot_and_clip(client: TestClient) -> None:
    (row,) = client.get("/api/alarms", params={"label": "drone", "source": NAME}).json()["alarms"]
    assert client.get("/api/alarms?label=bird").json() == {"alarms": []}
    snapshot = client.get(f"/snapshots/{row['alarm_id']}")
    assert cv2.imdecode(np.frombuffer(snapshot.content, np.uint8), 1).shape == (120, 160, 3)
    clip = client.get(f"/clips/{row['alarm_id']}.avi")
    assert clip.content[:4] == b"RIFF"
    moving = client.get(f"/clips/{row['alarm_id']}")
    assert moving.content.count(b"--picture\r\n") == 35
    assert client.get("/api/alarms?limit=x").status_code == 400
    assert client.get("/api/alarms?before=0").json() == {"alarms": []}


def test_page_health_and_metrics(client: TestClient) -> None:
    page = client.get("/")
    assert "page.js" in page.text
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert client.get("/page.js").headers["content-type"].startswith("text/javascript")
    assert client.get("/page.css").status_code == 200
    health = client.get("/healthz")
    assert (health.status_code, health.text) == (503, "no source gives frames")
    lines = client.get("/metrics").text.splitlines()
    label = NAME.replace('"', '\\"')
    assert f'yolox_gssam_frames_total{{source="{label}"}} 35' in lines
    assert f'yolox_gssam_alarms_total{{source="{label}"}} 1' in lines


@pytest.mark.parametrize(
    "place",
    [
        "/secret.txt",
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/snapshots/..%2f..%2fsecret.txt",
        "/snapshots/%2e%2e",
        "/clips/..%2Fwatch.sqlite.avi",
        "/watch.sqlite",
        "/page.py",
        "/__init__.py",
        "/snapshots/" + "0" * 32,
        "/clips/" + "0" * 32 + ".avi",
    ],
)
def test_no_other_file_is_served(client: TestClient, place: str) -> None:
    assert client.get(place).status_code == 404


def test_a_named_file_that_is_gone(client: TestClient, watched: tuple[Watcher, Store]) -> None:
    _, store = watched
    event = alarm(1)
    store.add(event)
    store.attach(event.alarm_id, "snapshot", store.folder / "snapshots" / "gone.jpg")
    assert client.get(f"/snapshots/{event.alarm_id}").status_code == 404


def test_the_token(watched: tuple[Watcher, Store]) -> None:
    client = TestClient(Page(*watched, TOKEN).app())
    for place in ("/", "/api/alarms", "/metrics", "/live/0.jpg", "/page.js", "/?token=wrong"):
        assert client.get(place).status_code == 401, place
    assert client.get("/healthz").status_code == 503
    assert client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert client.get("/metrics", headers={"Authorization": "Bearer é".encode()}).status_code == 401
    first = client.get(f"/?token={TOKEN}", follow_redirects=False)
    assert (first.status_code, first.headers["location"]) == (303, "./")
    assert "HttpOnly" in first.headers["set-cookie"]
    assert client.get("/api/alarms").status_code == 200


def test_another_sites_name_for_this_machine_is_refused(client: TestClient) -> None:
    assert client.get("/api/alarms", headers={"Host": "evil.example"}).status_code == 400


def test_served_by_a_thread_and_stopped(watched: tuple[Watcher, Store]) -> None:
    with serve(Page(*watched, None), "127.0.0.1", 0) as port:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/alarms", timeout=10) as answer:
            assert len(json.load(answer)["alarms"]) >= 1
        with pytest.raises(UserError, match="cannot be served"), serve(Page(*watched, None), "127.0.0.1", port):
            pass
        stopped = time.monotonic()
    assert time.monotonic() - stopped < 3
    assert [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "10.0.0.1", "name")] == [
        True,
        True,
        True,
        False,
        False,
        False,
    ]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A real Chromium without a window."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed: pip install selenium")
    programs = shutil.which("chromium"), shutil.which("chromedriver")
    if None in programs:
        pytest.skip("Chromium is not installed: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = programs[0]
    for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(programs[1]))
    driver.set_script_timeout(20)
    yield driver
    driver.quit()


def test_in_a_real_browser(watched: tuple[Watcher, Store], browser: Any) -> None:
    def value(script: str) -> Any:
        return browser.execute_script(f"return {script}")

    _, store = watched
    (row,) = store.alarms(AlarmFilter(source=NAME))
    alarm_id = row["alarm_id"]
    with serve(Page(*watched, TOKEN), "127.0.0.1", 0) as port:
        browser.get(f"http://127.0.0.1:{port}/?token={TOKEN}")
        assert TOKEN not in browser.current_url
        wait_for(lambda: value("document.querySelectorAll('#sources svg rect').length") == 2)
        # The picture is there, and boxes lie over it at its scale.
        wait_for(lambda: value("document.querySelector('#sources img').naturalWidth") == 160)
        assert value("document.querySelector('#sources svg').getAttribute('viewBox')") == "0 0 160 120"
        assert value("document.querySelectorAll('rect.alarm').length") == 1
        caption = value("document.querySelector('figcaption').textContent")
        assert NAME in caption
        assert "ended" in caption
        assert value("document.querySelectorAll('#alarms tr').length") >= 1
        snapshot = f"document.querySelector('a[href=\"snapshots/{alarm_id}\"] img')"
        wait_for(lambda: value(f"{snapshot}.naturalWidth") == 160)
        # A filter takes the row away, and gives it back.
        label = browser.find_element("name", "label")
        label.send_keys("bird")
        wait_for(lambda: value("document.querySelectorAll('#alarms tr').length") == 0)
        label.clear()
        browser.execute_script("document.getElementById('filter').dispatchEvent(new Event('input'))")
        wait_for(lambda: value("document.querySelectorAll('#alarms tr').length") >= 1)
        # The clip plays as a picture that moves.
        browser.get(f"http://127.0.0.1:{port}/clips/{alarm_id}")
        wait_for(lambda: value("document.images.length") == 1 and value("document.images[0].naturalWidth") > 0)
        faults = [entry["message"] for entry in browser.get_log("browser") if entry["source"] != "network"]
    assert not faults  # of scripts and of the security policy
