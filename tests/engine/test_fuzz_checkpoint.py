"""Checkpoints of any content: weights by name, or one line."""

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from fuzzing import VALUES, attempt, damaged, fuzz, new_folder, spoil
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from yolox_gssam.common.checkpoint import load_checkpoint

pytestmark = pytest.mark.filterwarnings("ignore:Detected pickle protocol")
STATE = {
    "model": {"a.weight": torch.arange(12.0).reshape(3, 4), "a.bias": torch.zeros(3, dtype=torch.float16)},
    "optimizer": {"state": {0: {"step": 3}}, "param_groups": [{"lr": 0.1}]},
    "start_epoch": 3,
    "best_ap": 0.5,
    "class_names": ["drone"],
}


def saved(state: object, **options: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(state, stream, **options)
    return stream.getvalue()


def repacked(data: bytes, name: str, content: bytes) -> bytes:
    """The zip file of a checkpoint with one of its members replaced."""
    source, stream = zipfile.ZipFile(io.BytesIO(data)), io.BytesIO()
    with zipfile.ZipFile(stream, "w") as target:
        for member in source.namelist():
            target.writestr(member, content if member.endswith(name) else source.read(member))
    return stream.getvalue()


ZIPPED, OLD = saved(STATE), saved(STATE, _use_new_zipfile_serialization=False)
PICKLE = next(
    zipfile.ZipFile(io.BytesIO(ZIPPED)).read(name)
    for name in zipfile.ZipFile(io.BytesIO(ZIPPED)).namelist()
    if name.endswith("data.pkl")
)


# What torch's unpickler says of damage: IndexError, KeyError, struct.error, AssertionError, TypeError.
@fuzz(500)
@given(
    data=st.one_of(
        damaged(ZIPPED),
        damaged(OLD),
        damaged(PICKLE).map(lambda content: repacked(ZIPPED, "data.pkl", content)),
        st.one_of(VALUES, st.dictionaries(st.just("model"), VALUES)).map(saved),
        VALUES.map(pickle.dumps),
        st.binary(max_size=60),
    )
)
def test_files(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(data)
    state = attempt(lambda: load_checkpoint(path))
    if state is not None:
        assert all(isinstance(value, Tensor) for value in state["model"].values())


@fuzz(30)
@given(data=st.data())
def test_links_and_pipes(tmp_path: Path, data: st.DataObject) -> None:
    folder = new_folder(tmp_path / "set")
    (folder / "a.pth").write_bytes(ZIPPED)
    spoil(data, folder)
    attempt(lambda: load_checkpoint(folder / "a.pth"))
