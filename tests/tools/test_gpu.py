"""The rehearsal of minutes on a GPU: every phase at small sizes on a CPU, cut off and gone on with."""

import json
import random
import time
import zipfile
from pathlib import Path

import pytest
import torch
from warm_python import WarmPython

from yolox_gssam.cli import gpu
from yolox_gssam.common.checkpoint import save_checkpoint
from yolox_gssam.common.errors import UserError
from yolox_gssam.common.files import sha256_of, write_json
from yolox_gssam.data.builder import build_dataset
from yolox_gssam.data.synthetic import SYNTHETIC_CLASSES, synthetic_records
from yolox_gssam.models import build_yolox
from yolox_gssam.research.gpu import phases
from yolox_gssam.research.gpu.bundle import DATA, MANIFEST, WEIGHTS, check_bundle, install, pack_dataset, unpack_dataset
from yolox_gssam.research.gpu.results import bring_back, take_back
from yolox_gssam.research.tables.cells import Cell, Study, load_cell

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `make gpu-bundle` makes it, but without packages, which are all here."""
    root = tmp_path_factory.mktemp("gpu")
    records = synthetic_records(20, 0, (64, 64), 1)
    build_dataset(root / "drawn", SYNTHETIC_CLASSES, records, source="drawn", command="test", seed=0, folds=2)
    folder = root / "bundle"
    folder.mkdir()
    pack_dataset(root / "drawn", folder / DATA, 95)
    torch.manual_seed(0)
    save_checkpoint(folder / WEIGHTS, {"model": build_yolox(80, 0.33, 0.25, depthwise=True).state_dict()})
    digests = {name: sha256_of(folder / name) for name in (DATA, WEIGHTS)}
    write_json(folder / MANIFEST, {"data": "drawn", "files": digests})
    return folder


def command(bundle: Path, output: Path, minutes: float) -> list[str]:
    tool = [str(ROOT / "tools" / "gpu.py"), "--device", "cpu", "--minutes", str(minutes)]
    folders = ["--bundle", str(bundle), "--output-dir", str(output)]
    return [*tool, *folders, "--epochs", "2", "--size", "32,32", "--seeds", "1"]


def test_a_bundle_is_unpacked_as_it_was(bundle: Path, tmp_path: Path) -> None:
    assert install(bundle, tmp_path / "site") == 0.0
    assert not (tmp_path / "site").exists()
    data = unpack_dataset(bundle, tmp_path / "data")
    original = bundle.parent / "drawn"
    names = sorted(str(p.relative_to(original)) for p in original.rglob("*") if p.is_file())
    assert sorted(str(p.relative_to(data)) for p in data.rglob("*") if p.is_file()) == names
    for name in names:
        if name.endswith(".json"):
            assert json.loads((data / name).read_bytes()) == json.loads((original / name).read_bytes())
    assert unpack_dataset(bundle, tmp_path / "data") == data


def test_a_damaged_bundle_is_named(bundle: Path, tmp_path: Path) -> None:
    check_bundle(bundle)
    with pytest.raises(UserError, match="no bundle"):
        check_bundle(tmp_path)
    for name, content in ((MANIFEST, (bundle / MANIFEST).read_bytes()), (DATA, b"half")):
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=r"data\.zip: damaged on its way"):
        check_bundle(tmp_path)
    (tmp_path / DATA).unlink()
    with pytest.raises(UserError, match=r"data\.zip: missing from the bundle"):
        check_bundle(tmp_path)


@pytest.mark.parametrize(
    ("name", "first"),
    [
        (
            "infrared",
            ["cells/origin", "cells/gssam_sig_res_p1", "cells_double/origin", "cells_double/gssam_sig_res_p1"],
        ),
        ("visible", ["cells/origin", "cells/gssam_sig_res_p1", "cells_pasted/pasted", "cells/conv_res_p1"]),
    ],
)
def test_a_plan_begins_with_what_decides(bundle: Path, tmp_path: Path, name: str, first: list[str]) -> None:
    data = unpack_dataset(bundle, tmp_path / "data")
    places = {"bundle": str(bundle), "output_dir": str(tmp_path), "data": str(data)}
    args = gpu.make_parser().parse_args(["--plan", name, "--size", "64,96", "--seeds", "1", "--epochs", "6"])
    vars(args).update({key: Path(value) for key, value in places.items()})
    tasks = phases.plan(args)
    rows = dict.fromkeys(f"{task.path.parent.name}/{task.arguments['cell']['row']}" for task in tasks)
    assert list(rows)[: len(first)] == first
    studies = {task.path.parent.name: task.arguments["study"] for task in tasks}
    assert studies["cells"]["flags"]["cache"] == "gpu"
    if name == "visible":
        # Objects are pasted by the processor, and only there.
        assert studies["cells_pasted"]["flags"]["cache"] == "ram"
        assert studies["cells_pasted"]["row_fields"]["pasted"] == ["paste_bank", "shipped"]
        assert studies["cells"]["keep_weights"] == ["origin"]
    # Each is one that can be built, with images of the size asked for.
    study = Study(**studies["cells"])
    assert study.experiment(Cell(0, 1, "origin"), tmp_path).input_size == (64, 96)


def test_what_is_brought_back_is_taken_along_once(tmp_path: Path) -> None:
    folder, back, again = tmp_path / "run", tmp_path / "back", tmp_path / "again"
    (folder / "cells").mkdir(parents=True)
    (folder / "cells" / "origin_fold0_seed0.npz").write_bytes(b"cell")
    (folder / "times.json").write_text("{}")
    assert {path.name for path in bring_back(folder, back)} == {"measures.zip", "cells.zip"}
    assert take_back(back, again) == 2
    assert (again / "cells" / "origin_fold0_seed0.npz").read_bytes() == b"cell"
    (again / "times.json").write_text('{"newer": 1}')
    assert take_back(back, again) == 0
    assert (again / "times.json").read_text() == '{"newer": 1}'
    with zipfile.ZipFile(back / "evil.zip", "w") as archive:
        archive.writestr("../outside.json", "{}")
    assert take_back(back, again) == 0
    assert not (tmp_path / "outside.json").exists()


def test_a_rehearsal_that_is_cut_off_goes_on_without_a_cell_lost_or_doubled(
    bundle: Path, tmp_path: Path, warm_python: WarmPython
) -> None:
    """Cut off at a random moment by the signal that no one can catch, then run to its end."""
    output, rng = tmp_path / "run", random.Random(0)
    process = warm_python.popen(command(bundle, output, 0.6), ROOT)
    time.sleep(rng.uniform(5, 30))
    process.kill()
    process.wait(60)
    before = {path: path.stat().st_mtime_ns for path in output.glob("cells*/*.npz")}
    done = warm_python.run(command(bundle, output, 0.6), ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    for path in output.glob("cells*/*.npz"):
        load_cell(path)
    for path, changed in before.items():
        assert path.stat().st_mtime_ns == changed, "a cell was trained twice"
    module = json.loads((output / "right_module.json").read_bytes())["result"]
    assert module["passed"]
    assert module["worst_output"]["float32"] < 1e-5
    assert (output / "back" / "measures.zip").exists()
    assert "left out on a CPU: CUDA graphs" in done.stderr or (output / "times_batch1.json").exists()
