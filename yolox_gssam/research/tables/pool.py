"""Trainings of a table in worker processes side by side, until they are done or the time is up."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loguru import logger

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.progress import progress_bar
from yolox_gssam.common.stop import Stopped, StopRequest
from yolox_gssam.evaluation.provenance import core_count

_POLL_SECONDS = 0.2
_SECONDS_TO_SAVE = 20


@dataclass(frozen=True)
class Task:
    """One training, whose result is a file: where it is there, the task is done.

    Attributes:
        path: of the result.
        function: "module:name" of what a worker calls with `device` and the arguments; it returns "seconds" and
            "images", how many training images were seen.
        arguments: plain values.
        kind: tasks of one kind take about the same time.
    """

    name: str
    path: Path
    function: str
    arguments: Mapping[str, Any]
    kind: str = ""


class Pool:
    """Worker processes that carry out tasks.

    Args:
        folder: of the workers' logs.
        workers: processes; on a CPU each has its share of the cores.
        on_done: called after each task, in the thread that runs the pool.

    Attributes:
        faults: a line for each task that failed.
        images: training images, once per epoch, of all tasks done.
    """

    def __init__(self, folder: Path, device: str, workers: int, on_done: Callable[[], object] = lambda: None) -> None:
        self.folder = folder
        self.device = device
        self.workers = workers
        self.on_done = on_done
        self.faults: list[str] = []
        # What the slowest task of each kind has taken so far.
        self.longest: dict[str, float] = {}
        self.images = 0

    def run(self, tasks: Sequence[Task], deadline: float | None = None) -> int:
        """Carries out every task whose result is not there, in this order; returns how many were done.

        A task that would not be done by the deadline (of time.monotonic()), going by those before, is not begun;
        workers that are still busy then are ended, and their tasks are left.

        Raises:
            Stopped: after Ctrl-C or SIGTERM; trainings have saved where they are.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        every = list({task.path: task for task in tasks}.values())
        left = [task for task in every if not task.path.exists()]
        logger.info(f"{len(every)} trainings, {len(every) - len(left)} of them done before; logs: {self.folder}")
        processes = [self._start(number) for number in range(min(self.workers, len(left)))]
        done = 0
        try:
            with (
                StopRequest() as stop,
                progress_bar(description="table", unit="runs", total=len(every), initial=len(every) - len(left)) as bar,
            ):
                for _ in self._answers(processes, left, deadline, stop):
                    done += 1
                    bar.update()
                    self.on_done()
                if stop:
                    raise Stopped(stop.signal_number or signal.SIGTERM)
        finally:
            self._end(processes)
        return done

    def require_no_faults(self) -> None:
        """Raises UserError where tasks failed; the others are done all the same."""
        if self.faults:
            raise UserError(f"{len(self.faults)} trainings failed, run again to repeat them: {'; '.join(self.faults)}")

    def _start(self, number: int) -> "subprocess.Popen[str]":
        threads = max(1, core_count() // self.workers)
        with (self.folder / f"worker{number}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "yolox_gssam.research.tables.worker", self.device],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={"OMP_NUM_THREADS": str(threads), **os.environ},
                # Ctrl-C reaches it through this process, once.
                start_new_session=True,
            )

    def _answers(
        self,
        processes: Sequence["subprocess.Popen[str]"],
        left: Sequence[Task],
        deadline: float | None,
        stop: StopRequest,
    ) -> Iterator[None]:
        """Hands tasks out, keeps what is said of each, and yields at each that is done."""
        answers: queue.Queue[tuple[int, str]] = queue.Queue()
        for number, process in enumerate(processes):
            threading.Thread(target=_listen, args=(process, number, answers), daemon=True).start()
        waiting = list(left)
        busy: dict[int, Task | None] = dict.fromkeys(range(len(processes)))
        while busy and not stop:
            if deadline is not None and time.monotonic() > deadline:
                return
            try:
                number, line = answers.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                continue
            task = busy.pop(number)
            has_ended = not line
            if task is not None:
                answer: dict[str, Any] = {"error": f"its worker ended, see {self.folder}/worker{number}.log"}
                if not has_ended:
                    answer = json.loads(line)
                if "error" in answer:
                    self.faults.append(f"{task.name}: {answer['error']}")
                else:
                    self.longest[task.kind] = max(self.longest.get(task.kind, 0.0), answer["seconds"])
                    self.images += answer["images"]
                    yield
            following = None if has_ended else self._next(waiting, deadline)
            if following is not None:
                busy[number] = following
                _hand_out(processes[number], following)

    def _next(self, waiting: list[Task], deadline: float | None) -> Task | None:
        """The next task that would be done in time, taken from those that wait; None if there is none."""
        for place, task in enumerate(waiting):
            if deadline is None or time.monotonic() + self.longest.get(task.kind, 0.0) < deadline:
                return waiting.pop(place)
        return None

    @staticmethod
    def _end(processes: Sequence["subprocess.Popen[str]"]) -> None:
        """Lets trainings save, then waits for all."""
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(timeout=_SECONDS_TO_SAVE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _hand_out(process: "subprocess.Popen[str]", task: Task) -> None:
    assert process.stdin is not None
    try:
        process.stdin.write(json.dumps({"function": task.function, "arguments": task.arguments}) + "\n")
        process.stdin.flush()
    except BrokenPipeError:  # its end is answered by the thread that listens
        pass


def _listen(process: "subprocess.Popen[str]", number: int, answers: "queue.Queue[tuple[int, str]]") -> None:
    assert process.stdout is not None
    for line in process.stdout:
        answers.put((number, line))
    answers.put((number, ""))
