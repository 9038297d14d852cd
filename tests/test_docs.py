"""What the pages say can be typed: each command is taken by its tool's parser, each link leads somewhere."""

import importlib
import re
import shlex
from pathlib import Path

import pytest
from conftest import ROOT

from yolox_gssam.cli.main import COMMANDS
from yolox_gssam.experiment import load_exp

PAGES = sorted(
    [
        ROOT / "README.md",
        *ROOT.glob("docs/*.md"),
        *(ROOT / name / "README.md" for name in ("datasets", "results", "weights")),
    ]
)
BLOCK = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
TOOL = re.compile(r"^(?:\w+=\S+ )*(?:python tools/(\w+)\.py|yolox-gssam (\w+))(?: |$)")
MODULES = {"demo": "predict"}
"""Tools whose module has another name."""
LINK = re.compile(r"\]\(([^)\s]+)\)")


def commands(page: Path) -> list[tuple[str, list[str]]]:
    """The tools that a page's code blocks call, each with its arguments; continued lines are one."""
    found = []
    for block in BLOCK.findall(page.read_text()):
        for line in block.replace("\\\n", " ").splitlines():
            tool = TOOL.match(line)
            if tool:
                found.append((tool[1] or tool[2], shlex.split(line[tool.end() :], comments=True)))
    return found


CASES = [
    pytest.param(tool, arguments, id=f"{page.relative_to(ROOT)}: {tool} {' '.join(arguments)}"[:100])
    for page in PAGES
    for tool, arguments in commands(page)
]


def test_the_pages_hold_commands() -> None:
    assert len(CASES) > 50


@pytest.mark.parametrize(("tool", "arguments"), CASES)
def test_a_command_is_one_that_its_tool_takes(tool: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    name = COMMANDS[tool][0] if tool in COMMANDS else MODULES.get(tool, tool)
    module = importlib.import_module(f"yolox_gssam.cli.{name}")
    make_parser = module.make_demo_parser if tool == "demo" else module.make_parser
    args = make_parser().parse_args(arguments)
    if tool == "train":
        load_exp(args.exp_file, args.opts)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text()):
        if not link.startswith(("http", "mailto")):
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            assert target.exists(), link
            if anchor:
                headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
                known = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
                assert anchor in known, link


def test_the_tests_that_pages_name_are_there() -> None:
    tests = {path.name: path.read_text() for path in (ROOT / "tests").rglob("test_*.py")}
    everything = "\n".join(tests.values())
    for page in PAGES:
        text = page.read_text()
        assert set(re.findall(r"\btest_\w+\.py\b", text)) <= set(tests), page
        assert [name for name in re.findall(r"::(test_\w+)", text) if f"def {name}(" not in everything] == [], page
