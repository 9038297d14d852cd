"""Receivers of alarms: a webhook and MQTT, each served by a thread of its own from what is on the disk.

A receiver has every event in its order, and again after an outage of the receiver or the program. It takes an event
for the same by `alarm_id` and `event`: one that was delivered while the program was killed comes a second time.
"""

import json
import re
import threading
from collections.abc import Sequence
from typing import Any, Protocol
from urllib import error as url_error
from urllib import request
from urllib.parse import urlsplit

from loguru import logger

from yolox_gssam.common.errors import UserError
from yolox_gssam.watch.store import Store

_TIMEOUT_S = 10.0


class NotDelivered(Exception):  # noqa: N818, it is a state of affairs
    """The receiver did not take an event; it is tried again."""


class Receiver(Protocol):
    """Someone who is told of alarms.

    Attributes:
        name: the same at each start, since its place in the events is kept under it. Holds no password.
    """

    name: str

    def send(self, event: dict[str, Any]) -> None:
        """Delivers one event.

        Raises:
            NotDelivered: it was not taken, for a reason that may pass.
        """
        ...

    def close(self) -> None:
        """Ends the connection."""
        ...


class Webhook:
    """POSTs each event as JSON; any status from 200 to 299 means that it was taken.

    The headers `Idempotency-Key` and the fields `alarm_id` and `event` tell a repetition.

    Args:
        url: http or https.
        token: sent as `Authorization: Bearer`, if given.

    Raises:
        UserError: it is no http URL.
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UserError(f"{url}: not a webhook; give a URL that begins with http:// or https://")
        self.name = f"webhook {parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        self._url, self._token = url, token

    def send(self, event: dict[str, Any]) -> None:
        """POSTs one event.

        Raises:
            NotDelivered: no answer in 10 seconds, or another status.
        """
        headers = {"Content-Type": "application/json", "Idempotency-Key": f"{event['alarm_id']}-{event['event']}"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        body = json.dumps(event, ensure_ascii=False).encode()
        try:
            message = request.Request(self._url, body, headers, method="POST")
            with request.urlopen(message, timeout=_TIMEOUT_S) as answer:
                answer.read(1)
        except url_error.HTTPError as error:
            with error:
                raise NotDelivered(f"it answered {error.code} {error.reason}") from error
        except (OSError, ValueError) as error:  # URLError, time-outs, answers that are no HTTP
            raise NotDelivered(str(error) or type(error).__name__) from error

    def close(self) -> None:
        """Nothing is kept open."""


class Mqtt:
    """Publishes each event with quality of service 1, and tells Home Assistant of one sensor for each source.

    Topics: `PREFIX/SOURCE/event` holds each event as JSON; `PREFIX/SOURCE/state` is "ON" from an alarm to its end,
    retained; `PREFIX/status` is "online" or, by the broker's own hand once the connection is lost, "offline".

    Args:
        url: mqtt://[USER:PASSWORD@]HOST[:PORT][/PREFIX]; mqtts:// for TLS.
        sources: names of the sources.

    Raises:
        UserError: no such URL, or paho-mqtt is not installed.
    """

    def __init__(self, url: str, sources: Sequence[str]) -> None:
        try:
            from paho.mqtt import client as paho
        except ImportError:
            raise UserError("--mqtt needs paho-mqtt: type pip install 'yolox-gssam[watch]'") from None
        parts = urlsplit(url)
        if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname:
            raise UserError(f"{url}: not a broker; give mqtt://[USER:PASSWORD@]HOST[:PORT][/PREFIX]")
        self.prefix = parts.path.strip("/") or "yolox_gssam"
        port = parts.port or (8883 if parts.scheme == "mqtts" else 1883)
        self.name = f"mqtt {parts.hostname}:{port}/{self.prefix}"
        self._sources = {name: slug(name) for name in sources}
        self._open: dict[str, set[str]] = {name: set() for name in sources}
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        self._client.username_pw_set(parts.username, parts.password)
        if parts.scheme == "mqtts":
            self._client.tls_set()
        self._client.will_set(f"{self.prefix}/status", "offline", qos=1, retain=True)
        self._client.on_connect = lambda *_: self._introduce()
        self._client.reconnect_delay_set(1, 30)
        self._client.connect_async(parts.hostname, port)
        self._client.loop_start()

    def send(self, event: dict[str, Any]) -> None:
        """Publishes one event, and its source's state.

        Raises:
            NotDelivered: the broker did not say within 10 seconds that it has it.
        """
        if not self._client.is_connected():
            raise NotDelivered("no connection to the broker")
        source = self._sources.get(event["source"], slug(event["source"]))
        self._publish(f"{self.prefix}/{source}/event", json.dumps(event, ensure_ascii=False))
        alarms = self._open.setdefault(event["source"], set())
        (alarms.add if event["event"] == "alarm" else alarms.discard)(event["alarm_id"])
        self._publish(f"{self.prefix}/{source}/state", "ON" if alarms else "OFF", retain=True)

    def close(self) -> None:
        """Says goodbye to the broker."""
        if self._client.is_connected():
            self._client.publish(f"{self.prefix}/status", "offline", qos=1, retain=True).wait_for_publish(1)
        self._client.disconnect()
        self._client.loop_stop()

    def _publish(self, topic: str, text: str, retain: bool = False) -> None:
        message = self._client.publish(topic, text, qos=1, retain=retain)
        try:
            message.wait_for_publish(_TIMEOUT_S)
        except (RuntimeError, ValueError) as error:
            raise NotDelivered(str(error)) from error
        if not message.is_published():
            raise NotDelivered("the broker did not confirm it")

    def _introduce(self) -> None:
        """Home Assistant's discovery: a sensor for each source, its state, and that the program is there."""
        self._client.publish(f"{self.prefix}/status", "online", qos=1, retain=True)
        for name, source in self._sources.items():
            identity = f"{slug(self.prefix)}_{source}"
            sensor = {
                "name": name,
                "unique_id": identity,
                "state_topic": f"{self.prefix}/{source}/state",
                "json_attributes_topic": f"{self.prefix}/{source}/event",
                "availability_topic": f"{self.prefix}/status",
                "device_class": "motion",
                "device": {"identifiers": [slug(self.prefix)], "name": "YOLOX-GSSAM watch"},
            }
            topic = f"homeassistant/binary_sensor/{identity}/config"
            self._client.publish(topic, json.dumps(sensor, ensure_ascii=False), qos=1, retain=True)
            state = "ON" if self._open[name] else "OFF"
            self._client.publish(f"{self.prefix}/{source}/state", state, qos=1, retain=True)


def slug(name: str) -> str:
    """A name as a part of a topic: letters, digits, _ and -."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_") or "source"


class Sender(threading.Thread):
    """Delivers a store's events to one receiver, each until it is taken.

    Args:
        store: where the events are, and how far the receiver is.
        receiver: see there.
        first_wait_s, longest_wait_s: seconds until an event is tried again; each failure doubles them.
    """

    def __init__(
        self, store: Store, receiver: Receiver, first_wait_s: float = 1.0, longest_wait_s: float = 60.0
    ) -> None:
        super().__init__(name=receiver.name, daemon=True)
        self.receiver = receiver
        self.delivered, self.failures, self.message = 0, 0, ""
        self._store = store
        self._first_wait_s, self._longest_wait_s = first_wait_s, longest_wait_s
        self._wake, self._closing = threading.Event(), threading.Event()
        store.register(receiver.name)

    def wake(self) -> None:
        """Says that there may be new events."""
        self._wake.set()

    def ask_to_end(self) -> None:
        """Has it deliver what can be at once, and end; the rest is delivered after the next start."""
        self._closing.set()
        self._wake.set()

    def close(self, timeout_s: float) -> None:
        """Asks it to end, and waits."""
        self.ask_to_end()
        self.join(timeout_s)
        self.receiver.close()

    def run(self) -> None:
        """Delivers until closed."""
        wait_s = self._first_wait_s
        while True:
            self._wake.clear()
            if self._deliver_all():
                wait_s = self._first_wait_s
                if self._closing.is_set():
                    return
                self._wake.wait()
            else:
                if self._closing.wait(wait_s):
                    return
                wait_s = min(2 * wait_s, self._longest_wait_s)

    def _deliver_all(self) -> bool:
        """Delivers what there is; False after a failure."""
        try:
            while waiting := self._store.undelivered(self.receiver.name):
                for number, event in waiting:
                    self.receiver.send(event)
                    self._store.delivered(self.receiver.name, number)
                    self.delivered, self.message = self.delivered + 1, ""
        except Exception as error:  # of a receiver or a full disk: whatever it is, the next try may do
            self.failures += 1
            if str(error) != self.message:
                self.message = str(error)
                logger.warning(f"{self.receiver.name}: {self.message}; it is tried again, and nothing is lost")
            return False
        return True
