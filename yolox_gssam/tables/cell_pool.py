"""Runs the cells of a table in worker processes side by side, until they are done or the time is up."""

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from loguru import logger

from yolox_gssam.evaluation.provenance import core_count
from yolox_gssam.progress import progress_bar
from yolox_gssam.stop import Stopped, StopRequest
from yolox_gssam.tables.cells import Cell, Study

STUDY = "study.json"
_POLL_SECONDS = 0.2


class CellPool:
    """Worker processes for the cells of one study.

    Args:
        study: what the cells share; written to `folder`.
        folder: of the cells' files.
        device: "cpu", "cuda" or "cuda:N".
        workers: processes; on a CPU each has its share of the cores.
        on_done: called after each cell, in the thread that runs the pool.
    """

    def __init__(
        self, study: Study, folder: Path, device: str, workers: int, on_done: Callable[[], object] = lambda: None
    ) -> None:
        self.study = study
        self.folder = folder
        self.device = device
        self.workers = workers
        self.on_done = on_done
        self.faults: list[str] = []
        # What a cell has taken so far, the longest; 0 before the first.
        self.longest = 0.0
        self.images = 0

    def run(self, cells: Sequence[Cell], deadline: float | None = None) -> int:
        """Runs every cell whose file is not there; returns how many were done.

        A cell that would not be done by the deadline, going by those before, is not begun; workers that are still busy
        then are ended, and their cells are left.

        Args:
            deadline: of time.monotonic(); None: none.

        Raises:
            Stopped: after Ctrl-C or SIGTERM; trainings have saved where they are.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self.study.write(self.folder / STUDY)
        left = [cell for cell in cells if not cell.path(self.folder).exists()]
        logger.info(f"{len(cells)} cells, {len(cells) - len(left)} of them done before")
        processes = [self._start(number) for number in range(min(self.workers, len(left)))]
        done = 0
        try:
            with (
                StopRequest() as stop,
                progress_bar(
                    description="cells", unit="cells", total=len(cells), initial=len(cells) - len(left)
                ) as bar,
            ):
                for _ in self._answers(processes, left, deadline, stop):
                    done += 1
                    bar.update()
                    self.on_done()
                if stop:
                    raise Stopped(stop.signal_number or 15)
        finally:
            self._end(processes)
        return done

    def _start(self, number: int) -> "subprocess.Popen[str]":
        threads = max(1, core_count() // self.workers) if self.device == "cpu" else 2
        command = [sys.executable, "-m", "yolox_gssam.tables.cell_worker", str(self.folder / STUDY), str(self.folder)]
        with (self.folder / f"worker{number}.log").open("ab") as log:
            return subprocess.Popen(
                [*command, self.device],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={"OMP_NUM_THREADS": str(threads), **os.environ},
                # Ctrl-C reaches it through this process, once.
                start_new_session=True,
            )

    def _answers(
        self, processes: Sequence["subprocess.Popen[str]"], left: list[Cell], deadline: float | None, stop: StopRequest
    ) -> Iterator[Cell]:
        """Hands cells out and yields each that is done."""
        answers: queue.Queue[tuple[int, str]] = queue.Queue()
        for number, process in enumerate(processes):
            threading.Thread(target=_listen, args=(process, number, answers), daemon=True).start()
        waiting = list(reversed(left))
        busy: dict[int, Cell | None] = dict.fromkeys(range(len(processes)))
        while busy and not stop:
            if deadline is not None and time.monotonic() > deadline:
                return
            try:
                number, line = answers.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                continue
            cell = busy.pop(number)
            if not line:  # the process has ended
                if cell is not None:
                    self.faults.append(f"{cell.name}: its worker ended, see {self.folder}/worker{number}.log")
                continue
            answer: dict[str, Any] = json.loads(line)
            if cell is not None and "error" in answer:
                self.faults.append(f"{cell.name}: {answer['error']}")
            elif cell is not None:
                self.longest = max(self.longest, answer["seconds"])
                self.images += answer["training_images"]
                yield cell
            fits = deadline is None or time.monotonic() + self.longest < deadline
            if waiting and fits:
                cell = busy[number] = waiting.pop()
                self._hand_out(processes[number], cell)

    @staticmethod
    def _hand_out(process: "subprocess.Popen[str]", cell: Cell) -> None:
        assert process.stdin is not None
        try:
            process.stdin.write(f"{cell.row} {cell.fold} {cell.seed}\n")
            process.stdin.flush()
        except BrokenPipeError:  # its end is answered by the thread that listens
            pass

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


def _listen(process: "subprocess.Popen[str]", number: int, answers: "queue.Queue[tuple[int, str]]") -> None:
    assert process.stdout is not None
    for line in process.stdout:
        answers.put((number, line))
    answers.put((number, ""))
