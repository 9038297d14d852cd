from pathlib import Path

import pytest

from yolox_gssam.data.paths import find_end, is_inside, name_fault


@pytest.mark.parametrize(
    "name",
    ["a.jpg", "sub/a.jpg", "a b.jpg", "..a.jpg", "a..jpg", "日本.png", "line\nbreak.jpg", "'quote\".jpg", "./a.jpg"],
)
def test_names_that_stay_inside(name: str) -> None:
    assert name_fault(name) is None


@pytest.mark.parametrize(
    "name",
    [
        *(None, 3, "", ".", "..", "../a.jpg", "a/../../b.jpg", "a/..", "/etc/passwd", "//host/a.jpg"),
        *("C:\\a.jpg", "c:a.jpg", "\\a.jpg", "a\\..\\..\\b.jpg", "a\0.jpg", "\ud800.jpg", "x" * 256, "d/" * 2000 + "a"),
    ],
)
def test_names_that_do_not(name: object) -> None:
    assert name_fault(name) is not None


def test_links_are_the_users_own(tmp_path: Path) -> None:
    inside, outside = tmp_path / "set", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (outside / "a.jpg").touch()
    (inside / "link").symlink_to(outside)
    assert is_inside(inside / "link" / "a.jpg", inside)
    assert find_end("/elsewhere/link/a.jpg", inside) == inside / "link" / "a.jpg"
    assert not is_inside(inside / ".." / "outside", inside)
    assert not is_inside(outside, inside)
    (tmp_path / "alias").symlink_to(inside)
    assert is_inside(inside / "b.jpg", tmp_path / "alias")
