"""Receivers: a real HTTP server that fails and comes back, and a real MQTT broker."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from watch.alarm_cases import alarm, end_of
from watch.mjpeg_server import wait_for

from yolox_gssam.common.errors import UserError
from yolox_gssam.watch.notify import Mqtt, Sender, Webhook, slug
from yolox_gssam.watch.store import Store


class Hook:
    """A receiver whose answers a test sets: a status, or None for silence."""

    def __init__(self, port: int = 0) -> None:
        self.status: int | None = 200
        self.got: list[dict[str, Any]] = []
        self.tries = 0
        self.headers: dict[str, str] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.tries += 1
                outer.headers = dict(self.headers)
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if outer.status is None:
                    time.sleep(3)
                    return
                if outer.status == 200:
                    outer.got.append(body)
                self.send_response(outer.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://user:secret@127.0.0.1:{self.port}/hook"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def hook() -> Iterator[Hook]:
    server = Hook()
    yield server
    server.stop()


def sender_of(store: Store, url: str) -> Sender:
    sender = Sender(store, Webhook(url, "token"), first_wait_s=0.05, longest_wait_s=0.2)
    sender.start()
    return sender


def test_in_order_once_and_through_outages(tmp_path: Path, hook: Hook) -> None:
    store = Store(tmp_path)
    sender = sender_of(store, f"http://127.0.0.1:{hook.port}/hook")
    events = [alarm(number) for number in range(12)]
    for number, event in enumerate(events):
        hook.status = 500 if number in (2, 3, 7) else 200
        store.add(event)
        sender.wake()
        time.sleep(0.03)
    hook.status = 200
    wait_for(lambda: len(hook.got) == 12)
    assert [body["alarm_id"] for body in hook.got] == [event.alarm_id for event in events]
    assert sender.failures > 0
    wait_for(lambda: sender.message == "")
    assert hook.headers["Authorization"] == "Bearer token"
    assert hook.headers["Idempotency-Key"] == f"{events[-1].alarm_id}-alarm"
    sender.close(2)


def test_a_dead_receiver_is_told_after_its_return_and_the_programs(tmp_path: Path) -> None:
    hook = Hook()
    url, port = f"http://127.0.0.1:{hook.port}/hook", hook.port
    store = Store(tmp_path)
    sender = sender_of(store, url)
    first, second, third = alarm(1), alarm(2), alarm(3)
    store.add(first)
    sender.wake()
    wait_for(lambda: len(hook.got) == 1)
    wait_for(lambda: store.undelivered(sender.receiver.name) == [])
    hook.stop()
    store.add(second)
    sender.wake()
    wait_for(lambda: sender.failures)
    sender.close(2)
    store.close()
    store = Store(tmp_path)
    store.add(third)
    hook = Hook(port)
    sender = sender_of(store, url)
    wait_for(lambda: len(hook.got) == 2)
    assert [body["track"] for body in hook.got] == [2, 3]
    sender.close(2)
    hook.stop()


def test_a_silent_receiver_holds_nobody_up(tmp_path: Path, hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yolox_gssam.watch.notify._TIMEOUT_S", 0.3)
    hook.status = None
    store = Store(tmp_path)
    sender = sender_of(store, f"http://127.0.0.1:{hook.port}/")
    started = time.perf_counter()
    for number in range(5):
        store.add(alarm(number))
        sender.wake()
    assert time.perf_counter() - started < 1
    wait_for(lambda: sender.failures)
    assert "timed out" in sender.message
    hook.status = 200
    wait_for(lambda: len(hook.got) == 5)
    sender.close(2)


def test_the_name_holds_no_password(hook: Hook) -> None:
    assert Webhook(hook.url).name == f"webhook http://127.0.0.1:{hook.port}/hook"
    with pytest.raises(UserError, match="http://"):
        Webhook("ftp://host/")
    assert slug("rtsp://gate/1 ä") == "rtsp_gate_1"


@pytest.fixture
def broker() -> Iterator[int]:
    """The port of a real broker in a thread."""
    pytest.importorskip("paho.mqtt", reason="paho-mqtt is not installed: pip install 'yolox-gssam[watch]'")
    amqtt = pytest.importorskip("amqtt.broker", reason="amqtt is not installed: pip install amqtt")
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port = place.getsockname()[1]
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> Any:
        config = {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }
        server = amqtt.Broker(config)
        await server.start()
        return server

    server = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    yield port
    asyncio.run_coroutine_threadsafe(server.shutdown(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)


def test_mqtt_tells_events_state_and_home_assistant(tmp_path: Path, broker: int) -> None:
    from paho.mqtt import client as paho

    got: list[tuple[str, str]] = []
    listener = paho.Client(paho.CallbackAPIVersion.VERSION2)
    listener.on_message = lambda client, data, message: got.append((message.topic, message.payload.decode()))
    listener.connect("127.0.0.1", broker)
    listener.subscribe([("fence/#", 1), ("homeassistant/#", 1)])
    listener.loop_start()
    store = Store(tmp_path)
    sender = Sender(store, Mqtt(f"mqtt://127.0.0.1:{broker}/fence", ["gate", "rtsp://yard/1"]), 0.05, 0.2)
    sender.start()
    wait_for(lambda: ("fence/gate/state", "OFF") in got)
    event = alarm(1)
    for change in (event, end_of(event)):
        store.add(change)
        sender.wake()
    wait_for(lambda: got.count(("fence/gate/state", "OFF")) == 2)
    sender.close(2)
    wait_for(lambda: ("fence/status", "offline") in got)
    listener.loop_stop()
    listener.disconnect()
    told = [(topic, text) for topic, text in got if topic.startswith("fence/gate")]
    assert [topic.rpartition("/")[2] for topic, _ in told] == ["state", "event", "state", "event", "state"]
    assert (told[0][1], told[2][1], told[4][1]) == ("OFF", "ON", "OFF")
    assert json.loads(told[1][1])["alarm_id"] == event.alarm_id
    sensors = {topic: json.loads(text) for topic, text in got if topic.startswith("homeassistant")}
    assert sorted(sensors) == [
        "homeassistant/binary_sensor/fence_gate/config",
        "homeassistant/binary_sensor/fence_rtsp_yard_1/config",
    ]
    assert sensors["homeassistant/binary_sensor/fence_gate/config"]["state_topic"] == "fence/gate/state"


def test_without_a_broker_events_wait(tmp_path: Path) -> None:
    pytest.importorskip("paho.mqtt", reason="paho-mqtt is not installed: pip install 'yolox-gssam[watch]'")
    store = Store(tmp_path)
    sender = Sender(store, Mqtt("mqtt://127.0.0.1:9", ["gate"]), 0.05, 0.2)
    sender.start()
    store.add(alarm(1))
    sender.wake()
    wait_for(lambda: sender.failures >= 2)
    assert len(store.undelivered("mqtt 127.0.0.1:9/yolox_gssam")) == 1
    started = time.monotonic()
    sender.close(2)
    assert time.monotonic() - started < 2
    with pytest.raises(UserError, match="not a broker"):
        Mqtt("127.0.0.1", [])
