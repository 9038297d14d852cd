"""Where numbers come from: hashes and versions that others can check."""

import hashlib
import importlib.metadata
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from evaluation.cases import make_split

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.files import write_json
from yolox_gssam.evaluation.provenance import find_provenance


def test_hashes_command_and_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    split = make_split(tmp_path, [[]])
    (tmp_path / "best.pth").write_bytes(b"abc")
    write_json(tmp_path / "dataset.json", {"hash": "1234"})
    tool = str(Path.cwd() / "tools" / "eval.py")
    monkeypatch.setattr(sys, "argv", [tool, "-c", "a b.pth"])
    found = find_provenance(split, tmp_path / "best.pth", "cpu")
    assert found.checkpoint_sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180
    assert found.annotations_sha256 == hashlib.sha256(split.path.read_bytes()).hexdigest()
    assert found.dataset_hash == "1234"
    assert found.command.endswith(" tools/eval.py -c 'a b.pth'")
    assert found.versions["yolox"] == importlib.metadata.version("yolox")
    assert found.hardware["device"] == "cpu"


@pytest.mark.skipif(shutil.which("lscpu") is None, reason="lscpu is not installed")
def test_cpu_name_is_that_of_lscpu(tmp_path: Path) -> None:
    listing = subprocess.run(["lscpu", "-J"], capture_output=True, text=True, check=True, env={"LC_ALL": "C"}).stdout
    names = {entry["field"]: entry["data"] for entry in json.loads(listing)["lscpu"]}
    if "Model name:" not in names or names["Model name:"] == "-":
        pytest.skip("this machine's CPU has no model name")
    (tmp_path / "best.pth").touch()
    assert (
        find_provenance(make_split(tmp_path, [[]]), tmp_path / "best.pth", "cpu").hardware["cpu"]
        == names["Model name:"]
    )


@pytest.mark.parametrize("content", [None, "not json", "[1]", '{"hash": 3}', "{}"])
def test_without_a_hash_of_the_data_set(tmp_path: Path, content: str | None) -> None:
    split = make_split(tmp_path, [[]])
    (tmp_path / "best.pth").touch()
    if content is not None:
        (tmp_path / "dataset.json").write_text(content)
    assert find_provenance(split, tmp_path / "best.pth", "cpu").dataset_hash is None


def test_a_fold_has_the_hash_of_its_data_set(tmp_path: Path) -> None:
    split = make_split(tmp_path, [[]])
    (tmp_path / "dataset.json").write_text('{"hash": "abc"}')
    fold = replace(split, path=tmp_path / "annotations" / "fold1" / "test.json")
    fold.path.parent.mkdir()
    fold.path.write_bytes(split.path.read_bytes())
    assert find_provenance(fold, None, "no network").dataset_hash == "abc"


def test_missing_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no\.pth: cannot be read"):
        find_provenance(make_split(tmp_path, [[]]), tmp_path / "no.pth", "cpu")
