"""Alarms that tests of the store, the receivers and the page share."""

import uuid
from typing import Any

from yolox_gssam.watch.alarms import Alarm, AlarmEnd, utc_text


def alarm(number: int = 0, **fields: Any) -> Alarm:
    values: dict[str, Any] = {
        "alarm_id": uuid.uuid4().hex,
        "time_utc": utc_text(1_700_000_000 + number),
        "source": "gate",
        "track": number,
        "label": "drone",
        "score": 0.9,
        "evidence": 4.5,
        "box_xyxy": (10.0, 20.0, 30.0, 40.5),
    }
    return Alarm(**{**values, **fields})


def end_of(start: Alarm) -> AlarmEnd:
    return AlarmEnd(start.alarm_id, utc_text(1_700_000_100), start.source, 12.5, 0.95)
