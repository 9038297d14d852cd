"""The state of watching as Prometheus reads it."""

from yolox_gssam.watch.watcher import Watcher

_PER_SOURCE = {
    "frames": ("frames_total", "counter", "Frames read."),
    "taken": ("frames_detected_total", "counter", "Frames detected on."),
    "dropped": ("frames_dropped_total", "counter", "Frames overtaken by newer ones."),
    "reconnects": ("reconnects_total", "counter", "Times that the source was opened again."),
}


def metrics_text(watcher: Watcher) -> str:
    """Counters and gauges in Prometheus' text format 0.0.4."""
    states = watcher.sources.states()
    labels = [f'{{source="{_escape(state.name)}"}}' for state in states]
    lines: list[str] = []

    def add(name: str, kind: str, text: str, values: list[tuple[str, float]]) -> None:
        lines.extend((f"# HELP yolox_gssam_{name} {text}", f"# TYPE yolox_gssam_{name} {kind}"))
        lines.extend(f"yolox_gssam_{name}{label} {value:g}" for label, value in values)

    for field, (name, kind, text) in _PER_SOURCE.items():
        add(name, kind, text, [(label, getattr(state, field)) for label, state in zip(labels, states, strict=True)])
    up = [(label, float(state.state == "running")) for label, state in zip(labels, states, strict=True)]
    add("source_up", "gauge", "Whether frames come.", up)
    alarms = [(label, float(channel.alarms)) for label, channel in zip(labels, watcher.channels, strict=True)]
    add("alarms_total", "counter", "Alarms raised.", alarms)
    timing = watcher.timing
    add("network_seconds_total", "counter", "Seconds spent in the network.", [("", timing.network_s)])
    add("tracking_seconds_total", "counter", "Seconds spent in tracks, alarms and pictures.", [("", timing.rest_s)])
    add("alarm_latency_seconds", "gauge", "Longest time from frame to alarm.", [("", timing.latency_s)])
    add("alarms_waiting", "gauge", "Alarms that are not on the disk yet.", [("", float(watcher.waiting))])
    return "\n".join(lines) + "\n"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
