"""Errors as one line, and exit statuses."""

import argparse

import pytest

from yolox_gssam.cli import run_tool
from yolox_gssam.errors import UserError


def fail(args: argparse.Namespace) -> None:
    raise UserError("a.json: bad; mend it")


def interrupt(args: argparse.Namespace) -> None:
    raise KeyboardInterrupt


def crash(args: argparse.Namespace) -> None:
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("main", "status", "stderr"),
    [
        pytest.param(lambda args: None, 0, "", id="none"),
        pytest.param(lambda args: 3, 3, "", id="status"),
        pytest.param(fail, 1, "tool: error: a.json: bad; mend it\n", id="user error"),
        pytest.param(interrupt, 130, "tool: interrupted\n", id="ctrl-c"),
    ],
)
def test_status_and_message(
    main: object, status: int, stderr: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["tool"])
    with pytest.raises(SystemExit) as stop:
        run_tool(argparse.ArgumentParser("tool"), main)
    assert stop.value.code == status
    assert capsys.readouterr().err == stderr


def test_our_own_faults_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["tool"])
    with pytest.raises(ZeroDivisionError):
        run_tool(argparse.ArgumentParser("tool"), crash)
