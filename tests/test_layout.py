"""The house as a newcomer meets it: short files, and one name for one thing. Run as a script it prints its size."""

import ast
from collections import Counter
from pathlib import Path

import pytest
from conftest import ROOT

MOST_LINES = 350
MOST_FUNCTION_LINES = 60
FILES = sorted(path for folder in ("yolox_gssam", "tools", "exps") for path in (ROOT / folder).rglob("*.py"))


def line_count(path: Path) -> int:
    return len(path.read_text().splitlines())


def functions(path: Path) -> dict[str, int]:
    """Each function's length in lines, without those that are empty or hold a comment alone."""
    lines = [line.strip() for line in path.read_text().splitlines()]
    lengths = {}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            own = lines[node.lineno - 1 : node.end_lineno]
            lengths[node.name] = sum(bool(line) and not line.startswith("#") for line in own)
    return lengths


def repeated_names() -> dict[str, int]:
    """File names that occur more than once in the package, but for those of packages themselves."""
    package = (path.name for path in FILES if path.is_relative_to(ROOT / "yolox_gssam"))
    return {name: count for name, count in Counter(package).items() if count > 1 and name != "__init__.py"}


def report() -> str:
    lines = {path: line_count(path) for path in FILES}
    longest = max(lines, key=lambda path: lines[path])
    return (
        f"{len(FILES)} files, {sum(lines.values()):,} lines, the longest "
        f"{longest.relative_to(ROOT)} with {lines[longest]}; "
        f"file names that occur more than once: {', '.join(sorted(repeated_names())) or 'none'}"
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_read_in_one_go(path: Path) -> None:
    assert line_count(path) <= MOST_LINES
    long = {name: length for name, length in functions(path).items() if length > MOST_FUNCTION_LINES}
    assert not long


def test_a_file_name_says_one_thing() -> None:
    assert not repeated_names()


if __name__ == "__main__":
    print(report())
