from pathlib import Path

import pytest

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.text import is_text, one_line, printable, shorten
from yolox_gssam.data.faults import Fault, raise_fatal


def test_a_fault_is_one_line() -> None:
    assert str(Fault(Path("a.json"), "image 3", "is wrong")) == "a.json: image 3: is wrong"
    assert str(Fault(Path("a.json"), "", "is wrong")) == "a.json: is wrong"
    assert "\n" not in str(Fault(Path("a\nb.json"), "", "is wrong"))


def test_only_fatal_faults_raise() -> None:
    raise_fatal(Fault(Path("a"), "", "small", fatal=False))
    with pytest.raises(UserError, match="a: large"):
        raise_fatal(Fault(Path("a"), "", "large"))


def test_shorten_is_bounded_whatever_the_value() -> None:
    nested: list[object] = ["x"]
    for _ in range(60):
        nested = [nested] * 10  # written out it would have 10**60 elements
    for value in (nested, "x" * 10**6, list(range(10**6)), 1 << 100_000, "a\nb", None):
        assert len(shorten(value)) <= 80
        assert "\n" not in shorten(value)
    assert shorten("drone") == "'drone'"


def test_printable() -> None:
    assert printable("drone 日本.jpg") == "drone 日本.jpg"
    assert printable("a\nb") == "'a\\nb'"
    assert printable("\ud800") == "'\\ud800'"


def test_text_that_a_file_can_hold() -> None:
    assert is_text("дрон 日本")
    assert is_text("")
    for value in ("\ud800", 3, None, ["a"]):
        assert not is_text(value)


def test_what_a_parser_says_on_one_line() -> None:
    assert one_line(ValueError("two\n  lines")) == "two lines"
    assert one_line(IndexError()) == "IndexError"
    assert one_line(ValueError("\x1b[31m")) == "'\\x1b[31m'"
    assert len(one_line(ValueError("x" * 1000))) == 200
