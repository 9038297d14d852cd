"""Errors as one line, and exit statuses."""

import argparse
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from yolox_gssam.cli.parser import run_tool
from yolox_gssam.common.errors import UserError


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


WAITING = """
import os, runpy, sys

class BeforeTorch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            sys.exit("waits: " + os.environ.get("OMP_WAIT_POLICY", "as OpenMP likes"))

sys.meta_path.insert(0, BeforeTorch())
runpy.run_path({tool!r}, run_name="tool")
"""


@pytest.mark.parametrize("tool", ["benchmark", "classify", "eval", "export", "tables", "train", "visualize"])
@pytest.mark.parametrize(("own", "expected"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_wait_without_spinning_unless_told_otherwise(tool: str, own: str | None, expected: str) -> None:
    """Known before torch is loaded, when OpenMP reads it."""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment |= {} if own is None else {"OMP_WAIT_POLICY": own}
    path = Path(__file__).parents[2] / "tools" / f"{tool}.py"
    code = WAITING.replace("{tool!r}", repr(str(path)))
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stderr.strip().splitlines()[-1] == f"waits: {expected}"


def test_our_own_faults_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["tool"])
    with pytest.raises(ZeroDivisionError):
        run_tool(argparse.ArgumentParser("tool"), crash)


def parser_of(tool: str) -> argparse.ArgumentParser:
    module = importlib.import_module(f"yolox_gssam.cli.{'predict' if tool == 'demo' else tool}")
    parser: argparse.ArgumentParser = module.make_demo_parser() if tool == "demo" else module.make_parser()
    return parser


@pytest.mark.parametrize(
    ("tool", "line", "said"),
    [
        pytest.param("train", "-f a.py -d 1 -b 8 --fp16 -o -c x", "-o is not needed: memory", id="train -o"),
        pytest.param("train", "-f a.py --logger wandb -c x", "--logger is not needed: the log goes to", id="logger"),
        pytest.param("train", "-f a.py --num_machines 1 --dist-url=auto -c x", "--dist-url is not", id="dist"),
        pytest.param("eval", "-n yolox-s -c x -b 64 -d 8 --conf 0.001", "-d is not needed: one device", id="eval"),
        pytest.param("eval", "--fp16 --fuse --test --speed --seed 3 -c x", "--speed is not needed", id="all"),
        pytest.param("demo", "image -n yolox-s -c x --path a --save_result --fuse", "--fuse is not", id="d"),
        pytest.param("export", "--format onnx -n yolox-s -c x --no-onnxsim -o 11", "-o is not needed", id="e"),
    ],
)
def test_yolox_s_own_command_lines_are_taken(
    tool: str, line: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    args = parser_of(tool).parse_args(line.split())
    assert args.ckpt == "x"
    assert not getattr(args, "opts", [])
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("tool", "line", "message"),
    [
        pytest.param("train", "-n yolox-s -c x", "-n yolox-s: .* give an exp file instead: -f", id="-n"),
        pytest.param("train", "-f a.py --num_machines 2", "--num_machines 2: .* torchrun", id="machines"),
        pytest.param("eval", "--legacy -c x", "--legacy: an option of YOLOX's; weights of YOLOX before", id="legacy"),
        pytest.param("demo", "image --trt -c x", "--trt: .*--backend compile", id="trt"),
        pytest.param("train", "--epochs 3 -f a.py", "--epochs: no such option", id="unknown"),
        pytest.param("eval", "--batchsize 3 -c x", "--batchsize: no such option; did you mean --batch-size", id="near"),
        pytest.param("train", "max_epoch 3", "the following arguments are required: -f", id="really missing"),
    ],
)
def test_other_flags_are_named_in_one_line(
    tool: str, line: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parser_of(tool).parse_args(line.split())
    assert ended.value.code == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert re.search(rf"error: {message}", said)


@pytest.mark.parametrize(
    ("tool", "line", "field", "value"),
    [
        pytest.param("train", "-f a.py -b8 degrees -5 shear -.5", "opts", ["degrees", "-5", "shear", "-.5"], id="n"),
        pytest.param("train", "-f a.py --batch 4", "batch_size", 4, id="abbreviation"),
        pytest.param("train", "-f a.py -expn name", "experiment_name", "name", id="a long name with one dash"),
        pytest.param("export", "-c x --format onnx --output-name a.onnx", "output", Path("a.onnx"), id="--output-name"),
    ],
)
def test_own_flags_are_as_before(tool: str, line: str, field: str, value: object) -> None:
    assert getattr(parser_of(tool).parse_args(line.split()), field) == value
