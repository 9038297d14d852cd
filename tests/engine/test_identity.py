"""What counts as the same run."""

from dataclasses import asdict, replace

import pytest

from yolox_gssam.engine.identity import RunIdentity

RUN = RunIdentity("origin", "", {"width": 0.5, "max_epoch": 3}, "abc", ["drone"], 8, None, "float32")


def test_the_same_run_has_no_differences() -> None:
    moved = replace(RUN, fields={**RUN.fields, "output_dir": "elsewhere", "patience": 9}, source_sha256="other")
    assert moved.differences(asdict(RUN)) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param({"experiment": "conv_p1"}, "experiment 'origin', now 'conv_p1'", id="exp file"),
        pytest.param({"batch_size": 4}, "batch_size 8, now 4", id="batch"),
        pytest.param({"class_names": ["drone", "bird"]}, "class_names ['drone'], now ['drone', 'bird']", id="classes"),
        pytest.param({"dataset_hash": "xyz"}, "other data (abc, now xyz)", id="data"),
        pytest.param({"fields": {"width": 0.25, "max_epoch": 3}}, "width 0.5, now 0.25", id="field"),
        pytest.param({"fields": {"width": 0.5, "max_epoch": 9}}, "max_epoch 3, now 9", id="epochs"),
        pytest.param({"clip_grad_norm": 1.0}, "clip_grad_norm None, now 1.0", id="clipping"),
        pytest.param({"precision": "bfloat16"}, "precision 'float32', now 'bfloat16'", id="precision"),
    ],
)
def test_another_run_says_what_differs(change: dict[str, object], words: str) -> None:
    assert replace(RUN, **change).differences(asdict(RUN)) == [words]
