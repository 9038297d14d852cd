"""Which checkpoint a run goes on from, its counters and every random state."""

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from yolox_gssam.common.checkpoint import save_checkpoint
from yolox_gssam.common.errors import UserError
from yolox_gssam.engine import run
from yolox_gssam.engine.identity import RunIdentity


def write(path: Path, epoch: int) -> None:
    save_checkpoint(path, {"model": {}, "start_epoch": epoch, "training": {}})


def test_the_newest_that_loads_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / run.PREVIOUS, 1)
    write(tmp_path / run.LATEST, 2)
    assert run.find_checkpoint(tmp_path)[1]["start_epoch"] == 2
    (tmp_path / run.LATEST).write_bytes((tmp_path / run.LATEST).read_bytes()[:100])
    path, state = run.find_checkpoint(tmp_path)
    assert (path.name, state["start_epoch"]) == (run.PREVIOUS, 1)


def test_no_checkpoint_that_loads_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"latest_ckpt\.pth: no such checkpoint"):
        run.find_checkpoint(tmp_path)
    (tmp_path / run.LATEST).write_bytes(b"")
    with pytest.raises(UserError, match=r"no checkpoint of it can be resumed: .*latest_ckpt\.pth: not a"):
        run.find_checkpoint(tmp_path)


def test_weights_alone_cannot_be_resumed(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / run.LATEST, {"model": {}})
    with pytest.raises(UserError, match="start from it with -c alone"):
        run.find_checkpoint(tmp_path)


def test_the_checkpoint_before_is_kept(tmp_path: Path) -> None:
    path, previous = tmp_path / run.LATEST, tmp_path / run.PREVIOUS
    for epoch in range(3):
        save_checkpoint(path, {"model": {}, "start_epoch": epoch}, keep_as=previous)
    epochs = [torch.load(p, weights_only=True)["start_epoch"] for p in (previous, path)]
    assert epochs == [1, 2]


def test_random_states_come_back(tmp_path: Path) -> None:
    run.seed_everything(7)
    random.gauss(0, 1)  # leaves half a pair behind
    path = tmp_path / "states.pth"
    torch.save(run.random_states(), path)

    def draw() -> list[float]:
        return [random.gauss(0, 1), float(np.random.standard_normal()), float(torch.rand(1))]  # noqa: NPY002 - the one that is stored

    expected = draw()
    run.restore_random_states(torch.load(path, weights_only=True))
    assert draw() == expected


def make_run(folder: Path) -> run.Run:
    made = run.Run(
        folder, torch.device("cpu"), None, 10, lambda: {"model": {}, "training": {}}, "choose another --name"
    )
    made.identity = RunIdentity("origin", "", {"width": 0.5}, "abc", ["drone"], 8, None, "float32")
    return made


def test_counters_come_back_from_the_checkpoint(tmp_path: Path) -> None:
    first, second = make_run(tmp_path), make_run(tmp_path)
    assert first.progress.end_epoch({"epoch": 1, "val_ap": 0.0}, 0.0)
    assert first.progress.end_epoch({"epoch": 2, "val_ap": 0.5}, 0.5)
    assert not first.progress.end_epoch({"epoch": 3, "val_ap": 0.5}, 0.5)
    assert not first.progress.end_epoch({"epoch": 4}, None)
    first.progress.iterations_done = 7
    first.progress.add({"loss": 1.5})
    first.progress.add({"loss": 2.0})
    first.save()
    second.resume(None, lambda state: None)
    assert second.progress == first.progress
    assert (second.progress.best, second.progress.best_epoch, second.progress.sums) == (0.5, 2, {"loss": 3.5})
    second.progress.back_to(2)
    assert (len(second.progress.history), second.progress.iterations_done, second.progress.sums) == (1, 0, {})
    with pytest.raises(UserError, match="-e 3: the run has done 1 epochs; choose 1 to 2"):
        second.progress.back_to(3)


def test_another_run_is_not_gone_on_with_unless_forced(tmp_path: Path) -> None:
    make_run(tmp_path).save()
    other = make_run(tmp_path)
    other.identity = replace(other.identity, batch_size=4)
    with pytest.raises(UserError, match=r"of another run: batch_size 8, now 4; .* or choose another --name$"):
        other.resume(None, lambda state: None)
    with pytest.raises(UserError, match=r"or add --force$"):
        other.resume(None, lambda state: None, force=False)
    other.resume(None, lambda state: None, force=True)


def test_a_checkpoint_of_another_version_is_one_line(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / run.LATEST, {"model": {}, "training": {"identity": {}}})
    with pytest.raises(UserError, match=r"damaged or of another version .* choose another --name$"):
        make_run(tmp_path).resume(None, lambda state: None, force=True)


def test_only_the_wait_for_data_counts_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that loading a batch moves by 2 s, noticing the end by 1 s and training on a batch by 5 s."""
    now = [100.0]
    monkeypatch.setattr(run.time, "perf_counter", lambda: now[0])

    def load() -> "object":
        for batch in range(3):
            now[0] += 2
            yield batch
        now[0] += 1

    timed = make_run(tmp_path)
    timed.progress.seconds = timed.progress.data_seconds = 10.0
    for _ in timed.timed(load()):
        now[0] += 5
    assert timed.progress.data_seconds == 10 + 3 * 2 + 1
    assert timed.progress.seconds == 10 + 3 * 7 + 1
