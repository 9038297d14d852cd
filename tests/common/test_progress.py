"""Progress in a terminal, and in a file that keeps every line."""

import io
import sys
import time

import pytest
from tqdm import tqdm

from yolox_gssam.common import progress
from yolox_gssam.common.progress import progress_bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    """Goes on by as much as is said, and as tqdm's own clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(tqdm, "_time", lambda bar: self.now, raising=False)


def run(monkeypatch: pytest.MonkeyPatch, seconds: float, steps: int, total: int | None, output: io.StringIO) -> str:
    """What a loop of so many steps writes, each of the same time."""
    clock = Clock(monkeypatch)
    monkeypatch.setattr(sys, "stderr", output)
    with progress_bar(description="detect", unit="frames", total=total) as bar:
        bar._time = lambda: clock.now
        bar.start_t = bar.last_print_t = clock.now
        for _ in range(steps):
            clock.now += seconds / steps
            bar.update()
    return output.getvalue()


@pytest.mark.parametrize(
    ("seconds", "total", "fewest", "most"),
    [
        pytest.param(60, 3000, 10, 11, id="a minute: every tenth"),
        pytest.param(3600, 3000, 110, 130, id="an hour: every 30 s"),
        pytest.param(0.3, 3000, 1, 1, id="at once: the end"),
        pytest.param(3600, None, 110, 125, id="a stream: every 30 s"),
    ],
)
def test_lines_in_a_file(
    monkeypatch: pytest.MonkeyPatch, seconds: float, total: int | None, fewest: int, most: int
) -> None:
    text = run(monkeypatch, seconds, 3000, total, io.StringIO())
    lines = text.splitlines()
    assert "\r" not in text
    assert fewest <= len(lines) <= most
    assert all(line.startswith("detect:") for line in lines)
    assert "3000/3000" in lines[-1] or (total is None and "3000 frames" in lines[-1])


def test_a_terminal_has_its_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    text = run(monkeypatch, 60, 100, 100, Terminal())
    assert text.count("\r") > 50
    assert text.count("\n") == 1


def test_log_lines_between_do_not_repeat_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    output = io.StringIO()
    monkeypatch.setattr(sys, "stderr", output)
    with progress_bar(range(3), description="detect", unit="frames") as bar:
        for number in bar:
            tqdm.write(f"line {number}", file=output)
    assert output.getvalue().splitlines()[:3] == ["line 0", "line 1", "line 2"]
    assert len(output.getvalue().splitlines()) == 4
    assert not tqdm._instances


def test_one_that_is_switched_off_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    output = io.StringIO()
    monkeypatch.setattr(sys, "stderr", output)
    with progress_bar(range(3), description="detect", unit="frames", disable=True) as bar:
        assert list(bar) == [0, 1, 2]
    with progress_bar(range(3), description="detect", unit="frames", leave=False) as bar:
        assert list(bar) == [0, 1, 2]
    assert output.getvalue() == ""


def test_a_resumed_run_begins_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    output = io.StringIO()
    monkeypatch.setattr(sys, "stderr", output)
    with progress_bar(description="training", unit="img", total=100, initial=90) as bar:
        bar.update(10)
    assert output.getvalue().count("\n") == 1
    assert progress.LINE_SECONDS == 30
