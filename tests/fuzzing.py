"""What the fuzz tests share: how many examples they try, what they do to a good file, and what a reader may answer.

Every test named test_fuzz_*.py tries the same few examples at each run, so that a failure is no matter of luck. For a
longer hunt, over other examples each time, the environment variable FUZZ_EXAMPLES multiplies their number:

    FUZZ_EXAMPLES=20 python -m pytest -k fuzz
"""

import os
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from yolox_gssam.common.errors import UserError
from yolox_gssam.data.faults import Fault, Report
from yolox_gssam.data.formats.samples import LabelledSet
from yolox_gssam.data.paths import is_inside

FACTOR = int(os.environ.get("FUZZ_EXAMPLES", "1"))
MAX_MEMORY = 2**32
"""Bytes that a reader may take on top of what the process holds."""
T = TypeVar("T")


def fuzz(examples: int) -> settings:
    """Settings of a test that tries so many examples; none may take more than five seconds."""
    return settings(
        max_examples=examples * FACTOR,
        deadline=5000,
        derandomize=FACTOR == 1,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
    )


def attempt(read: Callable[[], T]) -> T | None:
    """What a reader makes of a file; None where it refuses it, which it must do in one line and within bounds."""
    try:
        with _bounded_memory():
            return read()
    except UserError as error:
        message = str(error)
        assert message.isprintable(), repr(message)
        assert ": " in message, message
        assert len(message) < 3000, message
        return None


def check_labelled(read: Callable[[Report], LabelledSet], root: Path) -> None:
    """Reads a set of a user's own; what comes of it lies inside `root`."""
    faults: list[Fault] = []
    labelled = attempt(lambda: read(faults.append))
    assert all(str(fault).isprintable() for fault in faults)
    if labelled is not None:
        "".join(labelled.classes).encode()
        for sample in labelled.samples:
            assert is_inside(sample.path, root)
            assert np.isfinite(sample.boxes_xywh).all()
            assert all(0 <= label < len(labelled.classes) for label in sample.labels)


def new_folder(path: Path) -> Path:
    """The folder without what an example before left in it."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


NUMBERS = st.one_of(
    st.sampled_from([0, 1, -1, 0.5, -0.0, 1e308, -1e308, float("nan"), float("inf"), -float("inf")]),
    st.sampled_from([2**31, 2**53, 2**64, -(2**63), 10**400, True, False]),
    st.integers(),
    st.floats(),
)
NAMES = st.one_of(
    st.sampled_from(["", ".", "..", "/", "./", "../a.jpg", "a/../../b.jpg", "/etc/passwd", "C:\\a.jpg", "\\\\host\\a"]),
    st.sampled_from(["a\nb.jpg", "a\rb", "\x1b[31mred.jpg", "'\"`.jpg", "\0", "\ud800", "дрон 日本.jpg", "\u2028.jpg"]),
    st.sampled_from(["x" * 255, "x" * 256, "d/" * 500 + "a.jpg", "日" * 85 + ("/" + "日" * 85) * 11, ".jpg", "images"]),
    st.text(max_size=20),
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), NUMBERS, NAMES),
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=8,
)


@st.composite
def altered(draw: st.DrawFn, document: Any) -> Any:
    """A JSON-like document with up to three of its values replaced, removed or doubled."""
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(document, ()))
        if not places:
            break
        document = _change(draw, document, draw(st.sampled_from(places)))
    return document


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """A file with some bytes changed, put in, taken out or cut off."""
    content = bytearray(data)
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(content)))
        length = draw(st.sampled_from([1, 1, 1, 2, 4, 8, 64, 1000]))
        match draw(st.sampled_from(["set", "set", "set", "put in", "take out", "cut", "repeat"])):
            case "set":
                new = draw(_BYTES)
                content[start : start + len(new)] = new
            case "put in":
                content[start:start] = draw(_BYTES)
            case "take out":
                del content[start : start + length]
            case "cut":
                del content[start:]
            case "repeat":
                content[start:start] = content[start : start + length] * 3
    return bytes(content)


def spoil(data: st.DataObject, root: Path) -> None:
    """Puts a link out of the folder, a circle of links, a pipe or a folder in the place of one of its files."""
    place = data.draw(st.sampled_from(sorted(path for path in root.rglob("*") if not path.is_symlink())))
    if place.is_dir():
        shutil.rmtree(place)
    else:
        place.unlink()
    match data.draw(st.sampled_from(["link", "circle", "chain", "pipe", "folder", "gone"])):
        case "link":
            targets = ["/", "/dev/zero", "/dev/stdin", "/etc/passwd", "/etc", "..", "../..", ".", "/proc/self/mem"]
            place.symlink_to(data.draw(st.sampled_from(targets)))
        case "circle":
            place.symlink_to(place.name)
        case "chain":
            place.symlink_to(place.with_name("other"))
            place.with_name("other").symlink_to(place.name)
        case "pipe":
            os.mkfifo(place)
        case "folder":
            place.mkdir()


_BYTES = st.one_of(
    st.binary(min_size=1, max_size=8),
    st.sampled_from(
        [b"\0", b"\xff", b"\x7f", b"\x80", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", bytes(8)]
    ),
    st.sampled_from([b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\0\x01\x86\xa0", b"\xa0\x86\x01\0"]),
)


def _places(value: Any, way: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """The way to each value inside a document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*way, key)
        yield from _places(inner, (*way, key))


def _change(draw: st.DrawFn, value: Any, way: tuple[Any, ...]) -> Any:
    """The document with the value at the end of the way changed; what lies beside the way is shared, not copied."""
    key, *rest = way
    copy = value.copy()
    if rest:
        copy[key] = _change(draw, value[key], tuple(rest))
        return copy
    kind = draw(st.sampled_from(["replace", "replace", "replace", "remove", "double"]))
    if kind == "replace":
        copy[key] = draw(VALUES)
    elif kind == "double" and isinstance(copy, list):
        copy.insert(key, copy[key])
    else:
        del copy[key]
    return copy


@contextmanager
def _bounded_memory() -> Iterator[None]:
    """Lets the process grow by `MAX_MEMORY`, where the system can hold it to that."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        yield
        return
    held = int(statm.read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (held + MAX_MEMORY, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
