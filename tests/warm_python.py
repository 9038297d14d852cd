"""Python programs that start at once: forked from a process that has already imported torch, YOLOX and the tools.

A cold start imports for some six seconds, more than most programs of the tests run. A forked one is a process of its
own all the same: with its own signals, process group, environment and exit status. Random states are drawn anew in it.
What a cold start does itself, such as variables that torch reads when it is loaded, is tested by cold starts.
"""

import array
import contextlib
import gc
import io
import json
import os
import random
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

_IMPORTED = ("train", "eval", "export", "tables", "classify", "visualize", "benchmark", "prepare_dataset", "predict")
_POLL_SECONDS = 0.02
_MOST_BYTES = 1 << 20


class WarmProcess:
    """One program; the part of subprocess.Popen that tests use.

    Attributes:
        pid: also of its process group.
        stderr: what it writes there, as a text stream; standard output is thrown away. None where both go to files.
    """

    def __init__(self, pid: int, ending: socket.socket, stderr: TextIO | None) -> None:
        self.pid = pid
        self.stderr = stderr
        self.returncode: int | None = None
        self._ending = ending

    def poll(self) -> int | None:
        """The exit status, negative for a signal, or None while it runs."""
        if self.returncode is None:
            self._ending.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                self.returncode = os.waitstatus_to_exitcode(int(self._ending.recv(64)))
        return self.returncode

    def wait(self, timeout: float) -> int:
        """The exit status.

        Raises:
            subprocess.TimeoutExpired: it runs after so many seconds.
        """
        deadline = time.monotonic() + timeout
        while (status := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            time.sleep(_POLL_SECONDS)
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class WarmPython:
    """The process that others are forked from; it has no thread besides its main one."""

    def __init__(self, root: Path) -> None:
        self._here, there = socket.socketpair()
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join((str(root), *_python_path())),
        }
        command = [sys.executable, __file__, str(there.fileno())]
        self._server = subprocess.Popen(command, cwd=root, env=environment, pass_fds=[there.fileno()])
        there.close()

    def popen(
        self, arguments: Sequence[object], cwd: Path, environment: Mapping[str, str] | None = None
    ) -> WarmProcess:
        """Starts `python ARGUMENTS`: a script, or -c CODE, or -m MODULE, and its arguments."""
        reading, writing = os.pipe()
        with open(os.devnull, "wb") as nothing, os.fdopen(writing, "wb") as errors:
            pid, ending = self._start(arguments, cwd, environment, nothing.fileno(), errors.fileno())
        return WarmProcess(pid, ending, os.fdopen(reading, encoding="utf-8", errors="replace"))

    def run(
        self, arguments: Sequence[object], cwd: Path, environment: Mapping[str, str] | None = None, timeout: float = 600
    ) -> subprocess.CompletedProcess[str]:
        """Runs `python ARGUMENTS` to its end; what it printed and its status.

        Raises:
            subprocess.TimeoutExpired: it did not end in so many seconds; it is killed.
        """
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
            pid, ending = self._start(arguments, cwd, environment, output.fileno(), errors.fileno())
            process = WarmProcess(pid, ending, None)
            try:
                status = process.wait(timeout)
            finally:
                process.kill()
            for file in (output, errors):
                file.seek(0)
            texts = [io.TextIOWrapper(file, errors="replace").read() for file in (output, errors)]
            return subprocess.CompletedProcess(list(map(str, arguments)), status, *texts)

    def close(self) -> None:
        self._here.close()
        self._server.wait(60)

    def _start(
        self, arguments: Sequence[object], cwd: Path, environment: Mapping[str, str] | None, output: int, errors: int
    ) -> tuple[int, socket.socket]:
        # Packets, as the number and the status must not run into each other.
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        request = {
            "arguments": list(map(str, arguments)),
            "cwd": str(cwd),
            "environment": dict({**os.environ, "OMP_NUM_THREADS": "1"} if environment is None else environment),
        }
        descriptors = array.array("i", [output, errors, there.fileno()])
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)]
        here.send(json.dumps(request).encode())
        self._here.sendmsg([b"x"], ancillary)
        there.close()
        return int(here.recv(64)), here


def _python_path() -> list[str]:
    return [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]


def serve(requests: socket.socket) -> None:
    """Forks a program for each request until the other side closes; each has a parent that waits and tells its end."""
    sys.path.remove(str(Path(__file__).parent))
    for name in _IMPORTED:
        __import__(f"yolox_gssam.cli.{name}")
    # Collections must not touch, and so copy, what all programs share.
    gc.collect()
    gc.freeze()
    while True:
        message, descriptors, _, _ = socket.recv_fds(requests, 1, 3)
        if not message:
            return
        if os.fork() == 0:
            requests.close()
            _attend(*descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        _bury()


def _bury() -> None:
    """Takes note of the parents that have ended, so that none stays a zombie."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _attend(output: int, errors: int, ending: int) -> None:
    """In a process of its own: forks the program, tells its number, waits, tells its status."""
    with socket.socket(fileno=ending) as line:
        request = json.loads(line.recv(_MOST_BYTES))
        pid = os.fork()
        if pid == 0:
            line.close()
            _become(request, output, errors)
        os.close(output)
        os.close(errors)
        line.send(str(pid).encode())
        _, status = os.waitpid(pid, 0)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            line.send(str(status).encode())
    os._exit(0)


def _become(request: dict[str, Any], output: int, errors: int) -> None:
    """Makes this process what `python ARGUMENTS` is, runs it, and ends as Python ends."""
    status = 1
    try:
        os.setsid()
        with open(os.devnull, "rb") as nothing:
            os.dup2(nothing.fileno(), 0)
        os.dup2(output, 1)
        os.dup2(errors, 2)
        os.close(output)
        os.close(errors)
        os.environ.clear()
        os.environ.update(request["environment"])
        os.chdir(request["cwd"])
        _draw_random_states()
        _run(request["arguments"])
        status = 0
    except SystemExit as ended:
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        _end(status)


def _draw_random_states() -> None:
    import numpy as np
    import torch

    random.seed()
    np.random.seed()  # noqa: NPY002, what libraries draw from
    torch.seed()


def _run(arguments: list[str]) -> None:
    first, *rest = arguments
    sys.path[:] = [path for path in (*_python_path(), *sys.path) if path]
    if first == "-c":
        sys.argv = ["-c", *rest[1:]]
        sys.path.insert(0, "")
        exec(compile(rest[0], "<string>", "exec"), {"__name__": "__main__"})
    elif first == "-m":
        sys.argv = [rest[0], *rest[1:]]
        sys.path.insert(0, "")
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = arguments
        sys.path.insert(0, str(Path(first).resolve().parent))
        runpy.run_path(first, run_name="__main__")


def _end(status: int) -> None:
    """Ends as Python does, threads joined, exit functions called, streams flushed, but for taking modules down.

    That takes longer than most of these programs run. Both names are what the interpreter itself calls at its end;
    there are no public ones.
    """
    import atexit
    import threading

    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BrokenPipeError, ValueError):
            stream.flush()
    os._exit(status)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
