"""The launcher of warm programs stands for `python` itself."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from warm_python import WarmPython

WAITS = "import os, sys, time; print(os.getpid(), flush=True); time.sleep(60)"


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_for_end(pid: int) -> None:
    deadline = time.monotonic() + 20
    while is_running(pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_input_output_arguments_folder_and_status(warm_python: WarmPython, tmp_path: Path) -> None:
    code = (
        "import os, sys; print(sys.argv, os.getcwd(), os.environ['MARK'], sys.stdin.read(), 'torch' in sys.modules);"
        "sys.exit(7)"
    )
    environment = {**os.environ, "MARK": "of this one"}
    command = [warm_python.executable, "-c", code, "a", "b c"]
    done = subprocess.run(command, input="typed", cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout == f"['-c', 'a', 'b c'] {tmp_path} of this one typed True\n"
    assert (done.returncode, done.stderr) == (7, "")


def test_what_cannot_be_warm_is_cold(warm_python: WarmPython) -> None:
    command = [warm_python.executable, "-I", "-c", "import sys; print(sys.flags.isolated, 'torch' in sys.modules)"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "1 False\n"


def test_further_descriptors_keep_their_numbers(warm_python: WarmPython) -> None:
    reading, writing = os.pipe()
    code = f"import os; os.write({writing}, b'through the pipe')"
    subprocess.run([warm_python.executable, "-c", code], pass_fds=[writing], check=True)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        assert pipe.read() == b"through the pipe"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_signals(warm_python: WarmPython, number: signal.Signals) -> None:
    process = subprocess.Popen(
        [warm_python.executable, "-c", WAITS], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    process.send_signal(number)
    # What Python makes of Ctrl-C where nothing catches it.
    assert process.wait(20) in ({1, -number} if number == signal.SIGINT else {-number})
    wait_for_end(pid)


def test_a_program_that_dies_is_told_as_such(warm_python: WarmPython) -> None:
    code = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
    assert subprocess.run([warm_python.executable, "-c", code]).returncode == -signal.SIGSEGV


def test_a_parent_that_goes_leaves_an_orphan(warm_python: WarmPython, tmp_path: Path) -> None:
    """As workers notice that the process which started them was killed."""
    orphan = "import os, sys, time\nfirst = os.getppid()\nopen(sys.argv[1], 'w').close()\n"
    orphan += "while os.getppid() == first: time.sleep(0.02)\nopen(sys.argv[2], 'w').close()"
    code = "import subprocess, sys, time\nsubprocess.Popen([sys.executable, '-c', *sys.argv[1:]]); time.sleep(60)"
    files = [tmp_path / "started", tmp_path / "noticed"]
    process = warm_python.popen(["-c", code, orphan, *files], tmp_path)
    deadline = time.monotonic() + 20
    for file, then in zip(files, (process.kill, lambda: None), strict=True):
        while not file.exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        then()
