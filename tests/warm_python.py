"""Python programs that start at once: forked from a process that has already imported torch, YOLOX and the tools.

A cold start imports for some six seconds, more than most programs of the tests run. A forked one is a process of its
own all the same: with its own signals, process group, environment and exit status. Random states are drawn anew in it.
What a cold start does itself, such as variables that torch reads when it is loaded, is tested by cold starts.

Programs that start further ones as `[sys.executable, ...]` start them warm too: there, `sys.executable` is a launcher.
"""

import contextlib
import fcntl
import gc
import io
import itertools
import json
import multiprocessing
import os
import random
import runpy
import select
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
_MOST_BYTES = 1 << 17
_MOST_DESCRIPTORS = 250
# What stands before a program of `python` and changes nothing for a warm one.
_IGNORED_FLAGS = ("-u", "-B")
_ORPHANED = b"orphaned"
# Starts `python ARGUMENTS` warm, with all that a cold process would have been given, and ends as it ends. It is a small
# process of its own, which passes signals on. As long as it runs it stands for the program; where it is killed, so is
# the program; where its own parent goes, the program's goes too. What cannot be started warm is started cold.
_LAUNCHER = """#!{python} -ISE
import array, json, os, select, signal, socket, sys

if not sys.argv[1:] or (sys.argv[1].startswith("-") and sys.argv[1] not in {warm}):
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
parent = os.getppid()
descriptors = []
for name in os.listdir("/proc/self/fd"):
    try:
        os.fstat(int(name))
    except OSError:
        continue
    descriptors.append(int(name))
passed = [signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCONT]
signal.pthread_sigmask(signal.SIG_BLOCK, passed)
line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
line.connect({address!r})
request = {{
    "arguments": sys.argv[1:], "cwd": os.getcwd(), "environment": dict(os.environ), "descriptors": descriptors,
    "ignored": [number for number in passed if signal.getsignal(number) == signal.SIG_IGN],
}}
line.sendmsg([json.dumps(request).encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))])
pid = int(line.recv(64))
for descriptor in descriptors:
    os.close(descriptor)
for number in passed:
    signal.signal(number, lambda number, _: os.kill(pid, number))
signal.pthread_sigmask(signal.SIG_UNBLOCK, passed)
while not select.select([line], [], [], 0.1)[0]:
    if os.getppid() != parent:
        line.send({orphaned!r})
        os._exit(1)
status = os.waitstatus_to_exitcode(int(line.recv(64) or 9))
if status < 0:
    signal.signal(-status, signal.SIG_DFL) if -status not in (signal.SIGKILL, signal.SIGSTOP) else None
    os.kill(os.getpid(), -status)
os._exit(status)
"""


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
    """The process that others are forked from; it has no thread besides its main one.

    Attributes:
        executable: does what `sys.executable` does, warm.
    """

    def __init__(self, root: Path) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._address = f"{self._folder.name}/socket"
        self.executable = Path(self._folder.name, "python")
        warm = ("-c", "-m", *_IGNORED_FLAGS)
        code = _LAUNCHER.format(python=sys.executable, address=self._address, warm=warm, orphaned=_ORPHANED)
        self.executable.write_text(code)
        self.executable.chmod(0o755)
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join((str(root), *_python_path())),
        }
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
            listening.bind(self._address)
            listening.listen(64)
            command = [sys.executable, __file__, str(listening.fileno()), str(self.executable)]
            self._server = subprocess.Popen(command, cwd=root, env=environment, pass_fds=[listening.fileno()])

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
        self._server.kill()
        self._server.wait()
        self._folder.cleanup()

    def _start(
        self, arguments: Sequence[object], cwd: Path, environment: Mapping[str, str] | None, output: int, errors: int
    ) -> tuple[int, socket.socket]:
        line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        line.connect(self._address)
        request = {
            "arguments": list(map(str, arguments)),
            "cwd": str(cwd),
            "environment": dict({**os.environ, "OMP_NUM_THREADS": "1"} if environment is None else environment),
            "descriptors": [0, 1, 2],
            "ignored": [],
        }
        with open(os.devnull, "rb") as nothing:
            socket.send_fds(line, [json.dumps(request).encode()], [nothing.fileno(), output, errors])
        return int(line.recv(64)), line


def _python_path() -> list[str]:
    return [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]


def serve(listening: socket.socket, executable: str) -> None:
    """Forks a program for each connection, until it is killed; each has a parent that waits and tells its end."""
    sys.path.remove(str(Path(__file__).parent))
    for name in _IMPORTED:
        __import__(f"yolox_gssam.cli.{name}")
    sys.executable = executable
    multiprocessing.set_executable(executable)
    # Collections must not touch, and so copy, what all programs share.
    gc.collect()
    gc.freeze()
    while True:
        line, _ = listening.accept()
        with line:
            if os.fork() == 0:
                listening.close()
                _attend(line)
        _bury()


def _bury() -> None:
    """Takes note of the parents that have ended, so that none stays a zombie."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _attend(line: socket.socket) -> None:
    """In a process of its own: forks the program, tells its number, waits, tells its status.

    Where the other side goes, the program is killed; where it says so, its parent, this process, goes alone.
    """
    message, descriptors, _, _ = socket.recv_fds(line, _MOST_BYTES, _MOST_DESCRIPTORS)
    request = json.loads(message)
    pid = os.fork()
    if pid == 0:
        number = line.detach()
        _become(request, descriptors, number)
    for descriptor in descriptors:
        os.close(descriptor)
    line.send(str(pid).encode())
    ended, _, _ = select.select([end := os.pidfd_open(pid), line], [], [])
    if end not in ended:
        if line.recv(64) != _ORPHANED:
            os.kill(pid, signal.SIGKILL)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        line.send(str(status).encode())
    os._exit(0)


def _become(request: dict[str, Any], descriptors: Sequence[int], line: int) -> None:
    """Makes this process what `python ARGUMENTS` is, runs it, and ends as Python ends."""
    status = 1
    try:
        os.setsid()
        _place(descriptors, request["descriptors"], line)
        for number in request["ignored"]:
            signal.signal(number, signal.SIG_IGN)
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


def _place(descriptors: Sequence[int], numbers: Sequence[int], line: int) -> None:
    """Gives each descriptor the number that it had where the program was asked for; closes `line`."""
    os.close(line)
    # First out of the way of all numbers that are wanted.
    above = max(*numbers, *descriptors) + 1
    held = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, above) for descriptor in descriptors]
    for descriptor in descriptors:
        os.close(descriptor)
    for descriptor, number in zip(held, numbers, strict=True):
        os.dup2(descriptor, number)
        os.close(descriptor)


def _draw_random_states() -> None:
    import numpy as np
    import torch

    random.seed()
    np.random.seed()  # noqa: NPY002, what libraries draw from
    torch.seed()


def _run(arguments: list[str]) -> None:
    first, *rest = [*itertools.dropwhile(_IGNORED_FLAGS.__contains__, arguments)]
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
        sys.argv = [first, *rest]
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
    serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2])
