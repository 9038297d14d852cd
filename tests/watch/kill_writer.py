"""A process that writes alarms until it is killed; each id is printed once its alarm is said to be written."""

import sys
from pathlib import Path

from watch.alarm_cases import alarm, end_of

from yolox_gssam.watch.store import Store

if __name__ == "__main__":
    store = Store(Path(sys.argv[1]))
    number = 0
    while True:
        number += 1
        written = alarm(number)
        store.add(written)
        print(written.alarm_id, flush=True)
        store.add(end_of(written))
