"""Checkpoints: read without pickle, refused in one line."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from yolox_gssam.common.checkpoint import load_checkpoint, load_weights, save_checkpoint
from yolox_gssam.common.errors import UserError


class Evil:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise SystemExit('ran')",))


def test_round_trip(tmp_path: Path) -> None:
    state = {"model": {"a": torch.arange(3)}, "best_ap": 0.5, "class_names": ["drone"], "exp": {"size": (1, 2)}}
    save_checkpoint(tmp_path / "a.pth", state)
    loaded = load_checkpoint(tmp_path / "a.pth")
    assert torch.equal(loaded["model"]["a"], torch.arange(3))
    assert {**loaded, "model": 0} == {**state, "model": 0}


@pytest.mark.parametrize(
    ("state", "message"),
    [
        pytest.param({"model": {}, "x": Evil()}, "needs pickle.*torch.save", id="code"),
        pytest.param({"model": {}, "best_ap": np.float64(0.5)}, "needs pickle", id="numpy number"),
        pytest.param({"weights": {}}, "no 'model'", id="no model"),
        pytest.param([1, 2], "no 'model'", id="list"),
        pytest.param({"model": {"a": 3}}, "no 'model'", id="not tensors"),
    ],
)
def test_foreign_files_are_refused(tmp_path: Path, state: object, message: str) -> None:
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(UserError, match=rf"a\.pth: .*{message}"):
        load_checkpoint(tmp_path / "a.pth")


@pytest.mark.parametrize(
    "keep", [pytest.param(0, id="empty"), pytest.param(100, id="start"), pytest.param(-50, id="cut")]
)
def test_truncated_files_are_refused(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "a.pth"
    torch.save({"model": {"a": torch.zeros(1000)}}, path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UserError, match=r"a\.pth: not a"):
        load_checkpoint(path)


def test_text_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_text("weights")
    with pytest.raises(UserError, match="not a checkpoint"):
        load_checkpoint(tmp_path / "a.pth")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such checkpoint"):
        load_checkpoint(tmp_path / "a.pth")


def test_load_weights_reports_what_did_not_fit() -> None:
    model = nn.ModuleDict({"a": nn.Linear(2, 3), "b": nn.Linear(2, 3, bias=False)})
    untouched = model["b"].weight.clone()
    weights = {"a.weight": torch.ones(3, 2), "a.bias": torch.ones(4), "c.weight": torch.ones(1)}
    loaded = load_weights(model, weights)
    assert (loaded.new, loaded.reshaped, loaded.unused) == (("b.weight",), ("a.bias",), ("c.weight",))
    assert not loaded.complete
    assert torch.equal(model["a"].weight, torch.ones(3, 2))
    assert torch.equal(model["b"].weight, untouched)
    assert load_weights(model, model.state_dict()).complete


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", ""])
def test_wrappers_are_taken_off_the_names(tmp_path: Path, prefix: str) -> None:
    model, other = (nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)) for _ in range(2))
    torch.save({"model": {prefix + name: value for name, value in model.state_dict().items()}}, tmp_path / "a.pth")
    loaded = load_weights(other, load_checkpoint(tmp_path / "a.pth")["model"])
    assert loaded.complete
    assert loaded.share == 1


def test_a_name_that_only_looks_wrapped_stays(tmp_path: Path) -> None:
    model = nn.ModuleDict({"module": nn.Conv2d(1, 1, 1), "head": nn.Conv2d(1, 1, 1)})
    torch.save({"model": model.state_dict()}, tmp_path / "a.pth")
    assert set(load_checkpoint(tmp_path / "a.pth")["model"]) == set(model.state_dict())


def test_the_share_that_fits() -> None:
    loaded = load_weights(nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)), nn.Conv2d(1, 2, 1).state_dict())
    assert (loaded.fitting, loaded.share) == ((), 0.0)
    half = load_weights(
        nn.Sequential(nn.Conv2d(1, 2, 1), nn.Conv2d(1, 3, 1)), nn.Sequential(nn.Conv2d(1, 2, 1)).state_dict()
    )
    assert (half.fitting, half.share) == (("0.weight", "0.bias"), 0.5)


def test_a_folder_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a folder; give a checkpoint in it"):
        load_checkpoint(tmp_path)
