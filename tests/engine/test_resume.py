"""Which checkpoint a run goes on from, and what counts as the same run."""

import random
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from yolox_gssam.common.checkpoint import save_checkpoint
from yolox_gssam.common.errors import UserError
from yolox_gssam.engine import resume

RUN = resume.RunIdentity("origin", "", {"width": 0.5, "max_epoch": 3}, "abc", ["drone"], 8, None, "float32")


def write(path: Path, epoch: int) -> None:
    save_checkpoint(path, {"model": {}, "start_epoch": epoch, "training": {}})


def test_the_newest_that_loads_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / resume.PREVIOUS, 1)
    write(tmp_path / resume.LATEST, 2)
    assert resume.find_checkpoint(tmp_path)[1]["start_epoch"] == 2
    (tmp_path / resume.LATEST).write_bytes((tmp_path / resume.LATEST).read_bytes()[:100])
    path, state = resume.find_checkpoint(tmp_path)
    assert (path.name, state["start_epoch"]) == (resume.PREVIOUS, 1)


def test_no_checkpoint_that_loads_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"latest_ckpt\.pth: no such checkpoint"):
        resume.find_checkpoint(tmp_path)
    (tmp_path / resume.LATEST).write_bytes(b"")
    with pytest.raises(UserError, match=r"no checkpoint of it can be resumed: .*latest_ckpt\.pth: not a"):
        resume.find_checkpoint(tmp_path)


def test_weights_alone_cannot_be_resumed(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / resume.LATEST, {"model": {}})
    with pytest.raises(UserError, match="start from it with -c alone"):
        resume.find_checkpoint(tmp_path)


def test_the_checkpoint_before_is_kept(tmp_path: Path) -> None:
    path, previous = tmp_path / resume.LATEST, tmp_path / resume.PREVIOUS
    for epoch in range(3):
        save_checkpoint(path, {"model": {}, "start_epoch": epoch}, keep_as=previous)
    epochs = [torch.load(p, weights_only=True)["start_epoch"] for p in (previous, path)]
    assert epochs == [1, 2]


def test_the_same_run_has_no_differences() -> None:
    moved = replace(RUN, fields={**RUN.fields, "output_dir": "elsewhere", "max_epoch": 9}, source_sha256="other")
    assert moved.differences(asdict(RUN)) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param({"experiment": "conv_p1"}, "experiment 'origin', now 'conv_p1'", id="exp file"),
        pytest.param({"batch_size": 4}, "batch_size 8, now 4", id="batch"),
        pytest.param({"class_names": ["drone", "bird"]}, "class_names ['drone'], now ['drone', 'bird']", id="classes"),
        pytest.param({"dataset_hash": "xyz"}, "other data (abc, now xyz)", id="data"),
        pytest.param({"fields": {"width": 0.25}}, "width 0.5, now 0.25", id="field"),
        pytest.param({"clip_grad_norm": 1.0}, "clip_grad_norm None, now 1.0", id="clipping"),
        pytest.param({"precision": "bfloat16"}, "precision 'float32', now 'bfloat16'", id="precision"),
    ],
)
def test_another_run_says_what_differs(change: dict[str, object], words: str) -> None:
    assert replace(RUN, **change).differences(asdict(RUN)) == [words]


def test_another_schedule_is_refused_with_what_differs() -> None:
    steps = [resume.Step(epoch, 0.1, without_mosaic=False, validated=False) for epoch in range(3)]
    resume.require_same_schedule(steps, steps, (3, 6))
    for change, words in (
        ({"lr": 0.2}, "another learning rate in epoch 2"),
        ({"without_mosaic": True}, "mosaic off in epoch 2"),
        ({"validated": True}, "a validation after epoch 2"),
    ):
        other = [steps[0], replace(steps[1], **change), steps[2]]
        with pytest.raises(UserError, match=words):
            resume.require_same_schedule(steps, other, (3, 6))


def test_random_states_come_back(tmp_path: Path) -> None:
    resume.seed_everything(7)
    random.gauss(0, 1)  # leaves half a pair behind
    path = tmp_path / "states.pth"
    torch.save(resume.random_states(), path)

    def draw() -> list[float]:
        return [random.gauss(0, 1), float(np.random.standard_normal()), float(torch.rand(1))]  # noqa: NPY002 - the one that is stored

    expected = draw()
    resume.restore_random_states(torch.load(path, weights_only=True))
    assert draw() == expected
