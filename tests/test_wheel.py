"""The wheel in an environment that holds what it requires and nothing else: no torch, no yolox, no checkout."""

import csv
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from email.parser import Parser
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import NamedTuple
from zipfile import ZipFile

import cv2
import numpy as np
import pytest

packaging_requirements = pytest.importorskip("packaging.requirements")

ROOT = Path(__file__).parents[1]
BUILT_FROM = ("pyproject.toml", "setup.py", "README.md", "LICENSE", "yolox_gssam", "exps", "weights")
MEMORY_MB = 250
INSTALLED_MB = 400
CLIP = ROOT.parent / "shared" / "data" / "svanstrom" / "Data" / "Video_V" / "V_DRONE_054.mp4"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links packages and measures memory as POSIX does")


class Done(NamedTuple):
    """What a command printed, its status and the most memory that it took, in MB."""

    output: str
    errors: str
    status: int
    memory_mb: float


Run = Callable[..., Done]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    for name in BUILT_FROM:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.pth"))
        else:
            shutil.copy(source, folder)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", folder, folder]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    (path,) = folder.glob("*.whl")
    return path


def required(wheel: Path) -> set[str]:
    """The distributions that pip would install with the wheel, without extras."""
    with ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = Parser().parsestr(archive.read(name).decode())
    waiting, found = list(metadata.get_all("Requires-Dist") or ()), set[str]()
    while waiting:
        requirement = packaging_requirements.Requirement(waiting.pop())
        if requirement.name in found or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        found.add(requirement.name)
        waiting += distribution(requirement.name).requires or ()
    return found


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment with the wheel and, linked from this one, the packages that it requires."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    paths = {"base": str(folder), "platbase": str(folder)}
    packages = Path(sysconfig.get_path("purelib", vars=paths))
    try:
        names = required(wheel)
    except PackageNotFoundError as error:
        pytest.skip(f"{error.name} is not installed here, so that it cannot be linked")
    for name in names:
        for file in distribution(name).files or ():
            top = file.parts[0]
            if top not in ("..", "__pycache__") and not (packages / top).exists():
                (packages / top).symlink_to(Path(str(distribution(name).locate_file(top))).resolve())
    python = folder / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-index", wheel]
    installed = subprocess.run(command, capture_output=True, text=True)
    assert installed.returncode == 0, installed.stderr
    return folder


# Of a process of its own, which is small: what a process took before it became another program counts for that one.
MEASURED = """
import resource, subprocess, sys
status = subprocess.call(sys.argv[2:])
with open(sys.argv[1], "w") as stream:
    stream.write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(status)
"""


@pytest.fixture
def run(environment: Path, tmp_path: Path) -> Run:
    """Runs a program of the environment in `tmp_path`."""

    def run(program: str, *arguments: object) -> Done:
        memory = tmp_path / "memory"
        command = [sys.executable, "-c", MEASURED, memory, environment / "bin" / program, *arguments]
        variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, cwd=tmp_path, env=variables)
        unit = 2**20 if sys.platform == "darwin" else 2**10
        return Done(done.stdout, done.stderr, done.returncode, int(memory.read_text()) / unit)

    return run


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A frame with a drone, or else a drawn one."""
    frame = np.full((512, 640, 3), 200, np.uint8)
    if CLIP.is_file():
        frame = np.asarray(cv2.VideoCapture(str(CLIP)).read()[1], np.uint8)
    cv2.imwrite(str(tmp_path / "sky.png"), frame)
    return tmp_path / "sky.png"


def test_there_is_no_torch(run: Run) -> None:
    code = "from importlib.util import find_spec as f; print([n for n in ('torch', 'yolox', 'scipy', 'onnx') if f(n)])"
    assert run("python", "-c", code).output == "[]\n"


def test_importing_the_package_costs_nothing(run: Run) -> None:
    code = "import sys, yolox_gssam; print('numpy' in sys.modules, yolox_gssam.__version__)"
    assert run("python", "-c", code).output.startswith("False 0.")


def test_predict_finds_what_the_checkout_finds(run: Run, image: Path, tmp_path: Path) -> None:
    from yolox_gssam import Detector

    done = run("yolox-gssam", "predict", image, "--output", tmp_path / "out", "--save-detections", "csv")
    assert done.status == 0, done.errors
    assert (tmp_path / "out" / "sky.png").is_file()
    with (tmp_path / "out" / "sky_detections.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    expected = Detector.load(device="cpu")(np.asarray(cv2.imread(str(image)), np.uint8))
    assert [row["class"] for row in rows] == expected.names
    assert len(rows) == int(CLIP.is_file())
    found = [[float(row[key]) for key in ("x", "y")] for row in rows]
    np.testing.assert_allclose(np.reshape(found, (-1, 2)), expected.boxes_xyxy[:, :2], atol=0.01)
    assert done.memory_mb < MEMORY_MB


def test_the_three_lines(run: Run, image: Path) -> None:
    code = (
        "import cv2; from yolox_gssam import Detector; detector = Detector.load('infrared'); "
        f"print(type(detector(cv2.imread({str(image)!r}))).__name__, len(list(detector.stream({str(image)!r}))))"
    )
    done = run("python", "-c", code)
    assert done.output == "Detections 1\n", done.errors


@pytest.mark.parametrize(
    "arguments",
    [["train", "-f", "origin"], ["eval", "-c", "a.pth"], ["predict", "sky.png", "-c", "a.pth"], ["data", "check", "."]],
    ids=lambda arguments: arguments[0],
)
def test_what_needs_torch_says_what_to_type(run: Run, image: Path, arguments: list[str]) -> None:
    Path(image.parent, "a.pth").touch()
    done = run("yolox-gssam", *arguments)
    assert done.status == 1
    (line,) = done.errors.splitlines()
    assert line.startswith(f"yolox-gssam {arguments[0]}: error: ")
    assert 'pip install "yolox-gssam[train]" && pip install --no-deps --no-build-isolation yolox==0.3.0' in line


def test_help_names_what_was_typed(run: Run) -> None:
    text = run("yolox-gssam", "predict", "--help").output
    assert text.startswith("usage: yolox-gssam predict ")
    assert "yolox-gssam predict clip.mp4" in text
    assert not re.search(r"\btools/", text)


def test_exps_come_along(run: Run) -> None:
    names = "('origin', 'exps/origin.py', 'mine.py')"
    code = f"from yolox_gssam.common.shipped import find_exp; print(*map(find_exp, {names}))"
    first, second, own = run("python", "-c", code).output.split()
    assert first == second
    assert first.endswith("yolox_gssam/exps/origin.py")
    assert own == "mine.py"


def test_the_installed_size(wheel: Path) -> None:
    size = wheel.stat().st_size
    for name in required(wheel):
        paths = (Path(str(distribution(name).locate_file(file))) for file in distribution(name).files or ())
        size += sum(path.stat().st_size for path in paths if path.is_file())
    assert size < INSTALLED_MB * 10**6
