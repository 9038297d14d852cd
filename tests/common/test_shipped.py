"""Where exp files and networks that come along are found."""

from pathlib import Path

import pytest

from yolox_gssam.common import shipped
from yolox_gssam.common.shipped import find_exp, shipped_folder

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["origin", "origin.py", "exps/origin.py", "exps/origin"])
def test_an_exp_is_found_from_anywhere(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_exp(name) == ROOT / "exps" / "origin.py"


def test_a_file_of_the_user_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("origin.py").touch()
    assert find_exp("origin.py") == Path("origin.py")


@pytest.mark.parametrize("name", ["mine.py", "else/origin.py", "/exps/origin.py"])
def test_what_does_not_come_along_is_left_as_it_is(name: str) -> None:
    assert find_exp(name) == Path(name)


def test_a_wheel_has_the_folders_in_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site-packages" / "yolox_gssam"
    (package / "exps").mkdir(parents=True)
    (package / "exps" / "origin.py").touch()
    (package.parent / "exps").mkdir()  # of another package
    monkeypatch.setattr(shipped, "_PLACES", (package, package.parent))
    assert shipped_folder("exps") == package / "exps"
    assert find_exp("origin") == package / "exps" / "origin.py"
