"""Runs the cells of a table in worker processes side by side, until they are done or the time is up."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from loguru import logger

from yolox_gssam.common.progress import progress_bar
from yolox_gssam.common.stop import Stopped, StopRequest
from yolox_gssam.evaluation.provenance import core_count
from yolox_gssam.research.tables.cells import STUDY, Cell, Study

_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Batch:
    """Cells of one study, whose files go into one folder."""

    study: Study
    folder: Path
    cells: Sequence[Cell]


class CellPool:
    """Worker processes that run cells of one or several studies.

    Args:
        folder: of the workers' logs.
        device: "cpu", "cuda" or "cuda:N".
        workers: processes; on a CPU each has its share of the cores.
        on_done: called after each cell, in the thread that runs the pool.

    Attributes:
        faults: a line for each cell that failed.
        images: training images, once an epoch, of all cells done.
    """

    def __init__(self, folder: Path, device: str, workers: int, on_done: Callable[[], object] = lambda: None) -> None:
        self.folder = folder
        self.device = device
        self.workers = workers
        self.on_done = on_done
        self.faults: list[str] = []
        # What the slowest cell of each folder has taken so far.
        self.longest: dict[Path, float] = {}
        self.images = 0

    def run(self, batches: Sequence[Batch], deadline: float | None = None) -> int:
        """Runs every cell whose file is not there, batch after batch; returns how many were done.

        A cell that would not be done by the deadline, going by those before, is not begun; workers that are still busy
        then are ended, and their cells are left.

        Args:
            deadline: of time.monotonic(); None: none.

        Raises:
            Stopped: after Ctrl-C or SIGTERM; trainings have saved where they are.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        for batch in batches:
            batch.study.write(batch.folder / STUDY)
        every = list(dict.fromkeys((batch.folder, cell) for batch in batches for cell in batch.cells))
        left = [(folder, cell) for folder, cell in every if not cell.path(folder).exists()]
        logger.info(f"{len(every)} cells, {len(every) - len(left)} of them done before")
        processes = [self._start(number) for number in range(min(self.workers, len(left)))]
        done = 0
        try:
            with (
                StopRequest() as stop,
                progress_bar(
                    description="cells", unit="cells", total=len(every), initial=len(every) - len(left)
                ) as bar,
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

    def _start(self, number: int) -> "subprocess.Popen[str]":
        threads = max(1, core_count() // self.workers)
        with (self.folder / f"worker{number}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "yolox_gssam.research.tables.cell_worker", self.device],
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
        left: Sequence[tuple[Path, Cell]],
        deadline: float | None,
        stop: StopRequest,
    ) -> Iterator[Cell]:
        """Hands cells out and yields each that is done."""
        answers: queue.Queue[tuple[int, str]] = queue.Queue()
        for number, process in enumerate(processes):
            threading.Thread(target=_listen, args=(process, number, answers), daemon=True).start()
        waiting = list(left)
        busy: dict[int, tuple[Path, Cell] | None] = dict.fromkeys(range(len(processes)))
        while busy and not stop:
            if deadline is not None and time.monotonic() > deadline:
                return
            try:
                number, line = answers.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                continue
            task = busy.pop(number)
            if not line:  # the process has ended
                if task is not None:
                    self.faults.append(f"{task[1].name}: its worker ended, see {self.folder}/worker{number}.log")
                continue
            if task is not None and self._take(task, json.loads(line)):
                yield task[1]
            following = self._next(waiting, deadline)
            if following is not None:
                busy[number] = following
                _hand_out(processes[number], following)

    def _take(self, task: tuple[Path, Cell], answer: dict[str, Any]) -> bool:
        """Keeps what a worker says of a cell; returns whether it is done."""
        folder, cell = task
        if "error" in answer:
            self.faults.append(f"{cell.name}: {answer['error']}")
            return False
        self.longest[folder] = max(self.longest.get(folder, 0.0), answer["seconds"])
        self.images += answer["training_images"] * answer["epochs"]
        return True

    def _next(self, waiting: list[tuple[Path, Cell]], deadline: float | None) -> tuple[Path, Cell] | None:
        """The next cell that would be done in time, taken from those that wait; None if there is none."""
        for place, (folder, _) in enumerate(waiting):
            if deadline is None or time.monotonic() + self.longest.get(folder, 0.0) < deadline:
                return waiting.pop(place)
        return None

    @staticmethod
    def _end(processes: Sequence["subprocess.Popen[str]"]) -> None:
        """Lets trainings save, then waits for all."""
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _hand_out(process: "subprocess.Popen[str]", task: tuple[Path, Cell]) -> None:
    assert process.stdin is not None
    folder, cell = task
    try:
        process.stdin.write(json.dumps({"folder": str(folder), **asdict(cell)}) + "\n")
        process.stdin.flush()
    except BrokenPipeError:  # its end is answered by the thread that listens
        pass


def _listen(process: "subprocess.Popen[str]", number: int, answers: "queue.Queue[tuple[int, str]]") -> None:
    assert process.stdout is not None
    for line in process.stdout:
        answers.put((number, line))
    answers.put((number, ""))
