"""Files that are whole or not there."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.files import atomic_path, sole_writer, write_json, write_text


def test_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "new" / "a.txt"
    with atomic_path(target) as part:
        part.write_text("whole")
        assert not target.exists()
        assert part.suffix == ".txt"
    assert target.read_text() == "whole"
    assert list(target.parent.iterdir()) == [target]


def test_file_keeps_its_content_when_the_block_fails(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("before")
    with pytest.raises(RuntimeError), atomic_path(target) as part:
        part.write_text("half")
        raise RuntimeError
    assert target.read_text() == "before"
    assert list(tmp_path.iterdir()) == [target]


def test_full_disk_is_one_line_and_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("before")
    with pytest.raises(UserError, match=r"a\.txt: cannot be written: No space left"), atomic_path(target) as part:
        part.write_text("half")
        raise OSError(28, "No space left on device")
    assert target.read_text() == "before"
    assert list(tmp_path.iterdir()) == [target]


def test_place_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        write_text(tmp_path / "file" / "a.txt", "text")


def test_permissions_are_those_of_a_new_file(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "text")
    (tmp_path / "b.txt").write_text("text")
    assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "b.txt").stat().st_mode


def test_a_folder_has_one_writer_at_a_time(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "mine"
    with sole_writer(folder):
        with pytest.raises(UserError, match="mine: another run is writing there; wait"), sole_writer(folder):
            pass
        with sole_writer(folder / "part"):
            pass
    with pytest.raises(RuntimeError), sole_writer(folder):
        raise RuntimeError
    with sole_writer(folder):
        pass


def test_a_killed_writer_keeps_nothing(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom yolox_gssam.common.files import *\nwith sole_writer(sys.argv[1]): print(flush=True); input()"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"\n"
        with pytest.raises(UserError, match="another run"), sole_writer(tmp_path):
            pass
        writer.kill()
    with sole_writer(tmp_path):
        pass


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"), sole_writer(tmp_path / "file"):
        pass


def test_json_round_trip(tmp_path: Path) -> None:
    value = {"name": "дрон", "numbers": [1, 2.5, None]}
    write_json(tmp_path / "a.json", value)
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == value


def test_json_refuses_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", float("nan"))
    assert list(tmp_path.iterdir()) == []
