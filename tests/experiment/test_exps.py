"""The exp files: one for each row of the paper's Tables 2 and 3 and for each other attention, also through YOLOX's own
loader."""

import csv
from pathlib import Path

import pytest
import torch
from yolox.exp import get_exp

from yolox_gssam.common.errors import UserError
from yolox_gssam.experiment import DroneExp, load_exp
from yolox_gssam.models import STAGES

ROOT = Path(__file__).parents[2]
PAPER = ROOT.parent / "shared" / "paper"
TABLE_ROWS = [
    "origin",
    *(f"gssam_{norm}_p{position}" for norm in ("std", "sig", "sig_res") for position in (1, 2)),
    *(f"conv{residual}_p{position}" for residual in ("", "_res") for position in (1, 2)),
]
# The exp file's name -> the attention's.
OTHERS = {f"{name}_p1": name for name in ("bam", "cbam", "coordinate", "gam", "nonlocal")} | {"ema_p1": "ema_attention"}


@pytest.mark.skipif(not PAPER.is_dir(), reason="needs the paper's tables beside the repository")
def test_rows_are_those_of_the_paper() -> None:
    rows = [row["exp"] for name in ("table2.csv", "table3.csv") for row in csv.DictReader((PAPER / name).open())]
    assert set(rows) == set(TABLE_ROWS)


def test_all_exp_files_are_covered() -> None:
    assert {path.stem for path in (ROOT / "exps").glob("*.py")} == {*TABLE_ROWS, *OTHERS, "demo"}


@pytest.mark.parametrize("name", [pytest.param(name, id=name) for name in (*TABLE_ROWS, *OTHERS)])
def test_exp_file_says_what_its_name_says(name: str) -> None:
    exp = load_exp(ROOT / "exps" / f"{name}.py")
    parts = name.split("_")
    assert exp.exp_name == name
    assert exp.attention == OTHERS.get(name, "none" if name == "origin" else parts[0])
    assert (exp.depth, exp.width, exp.input_size, exp.test_size) == (0.33, 0.50, (640, 640), (640, 640))
    if name != "origin":
        assert exp.attention_position == int(parts[-1][1])
        assert exp.attention_options.get("residual", False) == ("res" in parts)
    if parts[0] == "gssam":
        assert exp.attention_options["norm"] == {"std": "standardize", "sig": "sigmoid"}[parts[1]]


@pytest.mark.parametrize("name", [pytest.param(name, id=name) for name in (*TABLE_ROWS, *OTHERS)])
def test_model_of_the_exp_file(name: str) -> None:
    exp = load_exp(ROOT / "exps" / f"{name}.py", ["num_classes", "3", "width", "0.25", "depthwise", "True"])
    model = exp.get_model()
    assert exp.get_model() is model
    with torch.no_grad():
        assert model.eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 84, 8)
    attention = getattr(model.backbone.backbone, "attention", {})
    stages = 0 if name == "origin" else 6 - exp.attention_position
    assert list(attention) == list(STAGES[:stages])
    # Every parameter is trained, once.
    trained = [id(p) for group in exp.get_optimizer(8).param_groups for p in group["params"]]
    assert sorted(trained) == sorted(id(p) for p in model.parameters())


@pytest.mark.parametrize("name", ["origin", "gssam_sig_res_p1", "gssam_sig_res_p2"])
def test_model_with_a_level_at_stride_4(name: str) -> None:
    options = ["num_classes", "3", "width", "0.25", "depthwise", "True", "strides", "4,8,16,32"]
    exp = get_exp(str(ROOT / "exps" / f"{name}.py"))  # as YOLOX's own tools do
    exp.merge(options)
    model = exp.get_model()
    with torch.no_grad():
        assert model.eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 84 + 256, 8)
    trained = [id(p) for group in exp.get_optimizer(8).param_groups for p in group["params"]]
    assert sorted(trained) == sorted(id(p) for p in model.parameters())


@pytest.mark.parametrize("name", ["origin", "gssam_sig_res_p2", "nonlocal_p1", "demo"])
def test_yolox_loads_the_exp_file_too(name: str) -> None:
    exp = get_exp(str(ROOT / "exps" / f"{name}.py"))
    exp.merge(["num_classes", "2", "width", "0.25"])
    assert isinstance(exp, DroneExp)
    assert exp.exp_name == name
    assert exp.get_model().head.num_classes == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(["input_size", "(400, 400)"], "input_size must be .* multiples of 32", id="size"),
        pytest.param(["test_size", "(416, 0)"], "test_size must be", id="test size"),
        pytest.param(["num_classes", "0"], "num_classes must be None or", id="no classes"),
        pytest.param(["seed", "x"], "seed must be None or", id="seed"),
        pytest.param(["fold", "-1"], "fold must be None or a whole number of at least 0", id="negative fold"),
        pytest.param(["fold", "first"], "fold must be None or", id="fold by name"),
        pytest.param(["attention_position", "3"], "must be 1 or 2", id="position"),
        pytest.param(["strides", "4,8,16"], r"strides must be .* or \(4, 8, 16, 32\), not \(4, 8, 16\)", id="strides"),
        pytest.param(["strides", "32,16,8"], r"strides must be \(8, 16, 32\)", id="order of strides"),
        pytest.param(["strides", "4"], "strides must be 3 values like", id="one stride"),
        pytest.param(["max_epoch", "10"], "max_epoch 10 must be at least warmup_epochs 5", id="epochs"),
        pytest.param(["max_epohc", "10"], "did you mean 'max_epoch'", id="misspelt"),
    ],
)
def test_fields_that_cannot_be(options: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_exp(ROOT / "exps" / "origin.py", options)


def test_test_size_follows_the_input_size_until_set() -> None:
    exp = load_exp(ROOT / "exps" / "origin.py", ["input_size", "(416, 640)"])
    assert exp.test_size == (416, 640)
    exp.merge(["test_size", "(320, 320)"])
    assert exp.test_size == (320, 320)


def test_a_missing_data_set_is_one_line() -> None:
    exp = load_exp(ROOT / "exps" / "origin.py", ["data_dir", "datasets/nowhere"])
    with pytest.raises(UserError, match=r"datasets/nowhere: no such data set.*prepare_dataset"):
        exp.get_model()


def test_preprocess_scales_boxes_with_the_image() -> None:
    exp = load_exp(ROOT / "exps" / "origin.py", ["input_size", "(64, 128)"])
    images, targets = torch.rand(1, 3, 64, 128), torch.tensor([[[1.0, 40, 20, 10, 8]]])
    scaled, boxes = exp.preprocess(images, targets, (96, 256))
    assert scaled.shape == (1, 3, 96, 256)
    assert boxes.tolist() == [[[1, 80, 30, 20, 12]]]
    assert targets.tolist() == [[[1, 40, 20, 10, 8]]]


def test_random_sizes_are_multiples_of_the_stride_in_range() -> None:
    exp = load_exp(ROOT / "exps" / "origin.py", ["input_size", "(320, 640)", "multiscale_range", "3"])
    sizes = {exp.random_resize(None, 0, 0, False) for _ in range(200)}
    assert {height for height, _ in sizes} == set(range(224, 417, 32))
    assert all(width == 2 * height for height, width in sizes)
