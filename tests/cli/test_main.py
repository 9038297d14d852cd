"""The command `yolox-gssam` itself."""

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from yolox_gssam.cli import main
from yolox_gssam.cli.parser import as_typed


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str | int | None:
    """The code or the message that it exits with; None where it returns."""
    monkeypatch.setattr(sys, "argv", ["/usr/bin/yolox-gssam", *arguments])
    try:
        main.main()
    except SystemExit as ended:
        return ended.code
    return None


def test_help_lists_every_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch) is None
    shown = capsys.readouterr().out
    assert all(f"\n  {name} " in shown for name in main.COMMANDS)


def test_every_command_has_its_module() -> None:
    tools = {path.stem for path in (Path(__file__).parents[2] / "tools").glob("*.py")}
    for name, (module, _) in main.COMMANDS.items():
        assert Path(str(main.__file__)).with_name(f"{module}.py").is_file(), name
        assert ("demo" if module == "predict" else module) in tools


def test_an_unknown_command(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "demo: no such command; choose from predict, watch, train" in str(run(monkeypatch, "demo"))


@pytest.mark.parametrize(("missing", "said"), [("torch", "needs torch"), ("yaml", "needs yaml"), (None, "needs yolox")])
def test_a_command_without_its_packages(monkeypatch: pytest.MonkeyPatch, missing: str | None, said: str) -> None:
    def fail(name: str) -> ModuleType:
        raise ImportError("none", name=missing)

    monkeypatch.setattr(main, "import_module", fail)
    line = str(run(monkeypatch, "train"))
    assert line.startswith(f"yolox-gssam train: error: {said}, which is not installed; type: pip install ")
    assert "\n" not in line


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main, "import_module", lambda name: import_module("yolox_gssam.no_such_module"))
    with pytest.raises(ModuleNotFoundError):
        run(monkeypatch, "train")


def test_errors_say_what_was_typed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, "predict", "missing.mp4") == 1
    assert capsys.readouterr().err == "yolox-gssam predict: error: missing.mp4: no such image, video or folder\n"
    assert run(monkeypatch, "predict") == 2
    assert "yolox-gssam predict: error: the following arguments are required: SOURCE" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "program", "expected"),
    [
        ("make one with tools/prepare_dataset.py or", "yolox-gssam eval", "make one with yolox-gssam data or"),
        ("python tools/demo.py video --path a.mp4", "yolox-gssam train", "yolox-gssam predict a.mp4"),
        ("export it with tools/export.py", "yolox-gssam predict", "export it with yolox-gssam export"),
        ("export it with tools/export.py", "demo.py", "export it with tools/export.py"),
        ("mytools/export.py", "yolox-gssam train", "mytools/export.py"),
    ],
)
def test_programs_are_named_as_the_user_names_them(text: str, program: str, expected: str) -> None:
    assert as_typed(text, program) == expected
