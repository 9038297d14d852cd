"""Values, names and errors as text for a message: short, and on one line."""

import reprlib
from typing import TypeGuard

_REPR = reprlib.Repr()  # bounded in depth and breadth: a value may be nested without end
_REPR.maxlevel, _REPR.maxstring, _REPR.maxother = 3, 80, 80


def shorten(value: object) -> str:
    """A value for a message: quoted, on one line, at most 80 characters."""
    try:
        text = _REPR.repr(value)
    except ValueError:  # a whole number of more digits than Python prints
        return "a number of thousands of digits"
    return text if len(text) <= 80 else text[:77] + "..."


def printable(name: object) -> str:
    """A file's name for a message: as it is, quoted where it holds line breaks or other signs that do not print."""
    text = str(name)
    return text if text.isprintable() else repr(text)


def is_text(value: object) -> TypeGuard[str]:
    """Whether it is text that a file can hold: without half a surrogate pair, as JSON and YAML may carry."""
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:
        return False


def one_line(error: Exception) -> str:
    """What a parser says of a damaged file, for a message: on one line, at most 200 characters, or the error's kind."""
    text = printable(" ".join(str(error).split())) or type(error).__name__
    return text if len(text) <= 200 else text[:197] + "..."
