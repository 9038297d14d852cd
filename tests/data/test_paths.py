from pathlib import Path

import pytest

from yolox_gssam.common.errors import UserError
from yolox_gssam.data.paths import name_fault, require_inside


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


def test_links(tmp_path: Path) -> None:
    inside, outside = tmp_path / "set", tmp_path / "outside.jpg"
    inside.mkdir()
    outside.touch()
    (inside / "real.jpg").touch()
    (inside / "good.jpg").symlink_to("real.jpg")
    (inside / "bad.jpg").symlink_to(outside)
    (inside / "circle.jpg").symlink_to("circle.jpg")
    assert require_inside(inside / "good.jpg", inside) == inside / "good.jpg"
    with pytest.raises(UserError, match=r"bad\.jpg: leads out of"):
        require_inside(inside / "bad.jpg", inside)
    try:
        require_inside(inside / "circle.jpg", inside)  # since Python 3.13 a circle is no error until it is opened
    except UserError as error:
        assert "circle.jpg" in str(error)  # noqa: PT017


def test_a_linked_folder_may_hold_the_set(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.jpg").touch()
    (tmp_path / "link").symlink_to("real")
    assert require_inside(tmp_path / "link" / "a.jpg", tmp_path / "link")
