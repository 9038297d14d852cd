"""Carries out a plan: trains and tests every run, several at once, and goes on where it was stopped."""

import csv
import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from loguru import logger

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.files import write_json
from yolox_gssam.common.progress import progress_bar
from yolox_gssam.common.stop import Stopped, StopRequest
from yolox_gssam.evaluation.provenance import core_count
from yolox_gssam.research.tables.plan import Job

_POLL_SECONDS = 1.0


class RunError(Exception):
    """A command of a run ended with an error; holds its last line."""


class Runner:
    """Runs jobs in processes of their own.

    Args:
        at_once: how many; on a CPU they share the cores.
        device: for the tests; None chooses the best, as training does unless a plan's flags say otherwise.
    """

    def __init__(self, at_once: int, device: str | None) -> None:
        self.at_once = at_once
        self.device = device
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._stopped = False

    def run(self, jobs: Sequence[Job], epochs: int) -> None:
        """Runs every job that has no result yet.

        Raises:
            UserError: some failed; the others are done all the same.
            Stopped: after Ctrl-C or SIGTERM, when every running training has saved.
        """
        left = [job for job in jobs if not job.result.exists()]
        logger.info(f"{len(jobs)} runs, {len(jobs) - len(left)} of them done before")
        with StopRequest() as stop, ThreadPoolExecutor(self.at_once) as pool:
            futures = {pool.submit(self._run, job): job for job in left}
            total = epochs * len(jobs)
            with progress_bar(
                description="tables", unit="epochs", total=total, initial=_epochs_done(jobs, epochs)
            ) as bar:
                while not all(future.done() for future in futures):
                    time.sleep(_POLL_SECONDS)
                    bar.update(_epochs_done(jobs, epochs) - bar.n)
                    if stop:
                        self._stop(futures)
                        raise Stopped(stop.signal_number or signal.SIGTERM)
        faults = [f"{job.name}: {error}" for future, job in futures.items() if (error := future.exception())]
        if faults:
            raise UserError(f"{len(faults)} of {len(jobs)} runs failed, run again to repeat them: {'; '.join(faults)}")

    def _stop(self, futures: "dict[Future[None], Job]") -> None:
        """Ends what runs; a training saves where it is."""
        for future in futures:
            future.cancel()
        with self._lock:
            self._stopped = True
            for process in self._processes:
                process.terminate()

    def _run(self, job: Job) -> None:
        start = time.time()
        job.folder.mkdir(parents=True, exist_ok=True)
        begun = (job.folder / "latest_ckpt.pth").exists()
        try:
            self._call(job, job.training(resume=begun))
        except RunError as error:
            if not begun or self._stopped:
                raise
            logger.warning(f"{job.name}: cannot be resumed, begins anew: {error}")
            shutil.rmtree(job.folder)
            job.folder.mkdir()
            self._call(job, job.training(resume=False))
        self._call(job, job.testing(self.device))
        write_json(job.result, _result(job, time.time() - start))

    def _call(self, job: Job, command: Sequence[str]) -> None:
        """Runs a command to its end; what it says goes to the run's log.

        Raises:
            RunError: it ended with an error, or the table is being stopped.
        """
        threads = max(1, core_count() // self.at_once)
        environment = {"OMP_NUM_THREADS": str(threads), **os.environ}
        with (job.folder / "log.txt").open("ab") as log:
            with self._lock:
                if self._stopped:
                    raise RunError("stopped")
                # In a session of its own: Ctrl-C reaches it once, through this process.
                process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
                self._processes.add(process)
            status = process.wait()
            with self._lock:
                self._processes.discard(process)
        if status:
            raise RunError(f"{_last_line(job.folder / 'log.txt')} (all of it in {job.folder / 'log.txt'})")


def _result(job: Job, seconds: float) -> dict[str, Any]:
    """What a report needs of a run, beside the numbers of its test."""
    return {
        "row": job.side.name,
        "exp": Path(job.side.exp_file).stem,
        "seed": job.seed,
        "fields": list(job.side.options),
        "flags": list(job.flags),
        "start_from": job.start_from,
        # Since the last start, where the run was stopped in between.
        "seconds": round(seconds, 1),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "history": _history(job.folder),
        "test": json.loads((job.folder / "eval_test.json").read_bytes()),
    }


def _history(folder: Path) -> list[dict[str, float | None]]:
    """The epochs of a run; None where nothing was measured."""
    try:
        with (folder / "history.csv").open(newline="") as stream:
            rows = [{name: float(text) for name, text in row.items()} for row in csv.DictReader(stream)]
    except FileNotFoundError:
        return []
    return [{name: value if value == value else None for name, value in row.items()} for row in rows]


def _epochs_done(jobs: Sequence[Job], epochs: int) -> int:
    return sum(epochs if job.result.exists() else len(_history(job.folder)) for job in jobs)


def _last_line(path: Path) -> str:
    """The last line with text; a progress bar's states count as lines."""
    lines = path.read_text(errors="replace").replace("\r", "\n").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "no message")
