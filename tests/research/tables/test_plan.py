"""Which runs a table consists of."""

import json
from pathlib import Path

import pytest

from yolox_gssam.common.errors import UserError
from yolox_gssam.research.tables.plan import EXP_NAMES, Plan, fields_of, read_plan

FIELDS = fields_of("datasets/synthetic", "nano", "416", 60, ["max_epoch", "50"])


def make_plan(*rows: str, seeds: tuple[int, ...] = (0, 1), flags: tuple[str, ...] = ()) -> Plan:
    return Plan(rows or EXP_NAMES, seeds, FIELDS, flags)


def test_fields() -> None:
    assert (
        *("data_dir", "datasets/synthetic", "depth", "0.33", "width", "0.25", "depthwise", "True"),
        *("input_size", "416,416", "max_epoch", "60", "warmup_epochs", "4", "no_aug_epochs", "10"),
        *("eval_interval", "3", "max_epoch", "50"),
    ) == FIELDS
    assert "352,416" in fields_of("data", "s", "352,416", 1, [])


def test_rows_are_exp_files_by_name_with_fields_of_their_own() -> None:
    plain, wide = make_plan("origin", "wide=origin,width=0.28125").sides()
    assert (plain.name, wide.name) == ("origin", "wide")
    assert Path(plain.exp_file).name == "origin.py"
    assert wide.options == (*FIELDS, "width", "0.28125")


def test_every_network_has_every_seed(tmp_path: Path) -> None:
    jobs = make_plan("origin", "conv_p1").jobs(tmp_path)
    assert [job.name for job in jobs] == ["origin_seed0", "conv_p1_seed0", "origin_seed1", "conv_p1_seed1"]
    command = jobs[0].training(resume=True)
    assert command[command.index("--seed") + 1] == "0"
    assert "--resume" in command
    assert command[-2:] == ["output_dir", str(tmp_path)]


def test_runs_start_from_those_of_the_same_names(tmp_path: Path) -> None:
    (job,) = Plan(("origin",), (3,), FIELDS, (), start_from="runs/crops").jobs(tmp_path)
    command = job.training(resume=False)
    assert command[command.index("-c") + 1] == "runs/crops/origin_seed3/best_ckpt.pth"
    assert "-c" not in job.training(resume=True)
    (fresh,) = Plan(("origin",), (3,), FIELDS, ()).jobs(tmp_path)
    assert "-c" not in fresh.training(resume=False)


@pytest.mark.parametrize("row", ["nothing", "origin,colour=red", "=origin"])
def test_bad_rows(row: str) -> None:
    with pytest.raises(UserError):
        make_plan("origin", row).sides()


def test_more_rows_and_seeds_may_come_later(tmp_path: Path) -> None:
    make_plan("origin", seeds=(0,)).keep(tmp_path)
    make_plan("conv_p1", seeds=(2, 1)).keep(tmp_path)
    assert read_plan(tmp_path) == make_plan("origin", "conv_p1", seeds=(0, 1, 2))


def test_other_settings_need_another_folder(tmp_path: Path) -> None:
    make_plan("origin").keep(tmp_path)
    with pytest.raises(UserError, match="its runs have flags '', not '--fp16'; choose another --output-dir"):
        make_plan("origin", flags=("--fp16",)).keep(tmp_path)
    with pytest.raises(UserError, match="its runs have start_from '', not 'runs/crops'"):
        Plan(("origin",), (0,), FIELDS, (), start_from="runs/crops").keep(tmp_path)


def test_a_plan_says_where_its_runs_start(tmp_path: Path) -> None:
    plan = Plan(("origin",), (0,), FIELDS, (), start_from="runs/crops")
    plan.keep(tmp_path)
    assert read_plan(tmp_path) == plan


def test_a_plan_without_a_word_of_it_starts_from_fresh_weights(tmp_path: Path) -> None:
    make_plan("origin").keep(tmp_path)
    content = json.loads((tmp_path / "plan.json").read_text())
    del content["start_from"]
    (tmp_path / "plan.json").write_text(json.dumps(content))
    assert read_plan(tmp_path) == make_plan("origin")


def test_no_plan(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="make one with tables"):
        read_plan(tmp_path)
    (tmp_path / "plan.json").write_text("[]")
    with pytest.raises(UserError, match="make one with tables"):
        read_plan(tmp_path)
