"""Fields and methods of an exp file that would have no effect."""

import argparse
from pathlib import Path

import pytest
from loguru import logger

from yolox_gssam.common.errors import UserError
from yolox_gssam.experiment import load_exp

HEAD = """
from yolox_gssam.experiment import DroneExp

class Exp(DroneExp):
"""
LOADER = """
    def {name}(self, *args, **kwargs):
        return super().{name}(*args, **kwargs)
"""
INIT = """
    def __init__(self):
        super().__init__()
"""


def write_exp(folder: Path, *lines: str, body: str = "") -> Path:
    path = folder / "mine.py"
    path.write_text(HEAD + body + INIT + "".join(f"        {line}\n" for line in lines))
    return path


@pytest.mark.parametrize(
    ("line", "message"),
    [
        pytest.param("self.max_epochs = 3", "no field 'max_epochs'; did you mean 'max_epoch'", id="misspelt"),
        pytest.param("self.scale = (0.1, 2)", "no field 'scale'; did you mean 'mosaic_scale'", id="old name"),
        pytest.param("self.mscale = (0.8, 1.6)", "no field 'mscale'; did you mean 'mixup_scale'", id="old name 2"),
        pytest.param("self.nms_thre = 0.5", "no field 'nms_thre'; did you mean 'nmsthre'", id="underscore"),
        pytest.param("self.batch_size = 8", "no field 'batch_size'; the batch size is given to the tool: -b", id="-b"),
        pytest.param("self.max_epochs = self.nms_thre = 1", "'max_epochs'.*'nms_thre'", id="both are named"),
    ],
)
def test_a_misspelt_field_is_refused(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(UserError, match=rf"mine\.py: the experiment has .*{message}"):
        load_exp(write_exp(tmp_path, line))


@pytest.mark.parametrize(
    ("line", "body"),
    [
        pytest.param("self.max_epochs = 30; self.max_epoch = 2 * self.max_epochs", "", id="read at once"),
        pytest.param("self.data_dirs = []", "    def f(self):\n        return self.data_dirs\n", id="read by a method"),
        pytest.param(
            "self.data_dirs = []", "    def f(self):\n        return getattr(self, 'data_dirs')\n", id="getattr"
        ),
        pytest.param("self._max_epochs = 3", "", id="private"),
        pytest.param("self.random_size = (3, 5)", "", id="known where set"),
        pytest.param("self.max_epochs = object()", "", id="something built"),
        pytest.param("self.max_epoch = 50", "", id="known"),
    ],
)
def test_fields_of_ones_own_are_left_alone(tmp_path: Path, line: str, body: str) -> None:
    load_exp(write_exp(tmp_path, line, body=body))


def test_an_unread_field_like_no_other_is_told(tmp_path: Path) -> None:
    lines: list[str] = []
    handler = logger.add(lines.append, format="{message}")
    load_exp(write_exp(tmp_path, "self.zzzz = 1"))
    logger.remove(handler)
    assert lines == ["mine: the experiment has no field 'zzzz', and its file does not read it\n"]


@pytest.mark.parametrize("line", ["max_epoch = 3", "num_classes = 3", "data_dir = 'mine'"])
def test_a_field_in_the_class_body_is_refused(tmp_path: Path, line: str) -> None:
    name = line.partition(" ")[0]
    with pytest.raises(UserError, match=rf"mine\.py: {name} stands in the body of class Exp.*set self\.{name}"):
        load_exp(write_exp(tmp_path, body=f"    {line}\n"))


@pytest.mark.parametrize("name", ["get_dataset", "get_data_loader", "get_eval_dataset", "get_eval_loader"])
def test_loaders_of_ones_own_are_refused_before_training(tmp_path: Path, name: str) -> None:
    exp = load_exp(write_exp(tmp_path, f"self.output_dir = {str(tmp_path / 'runs')!r}", body=LOADER.format(name=name)))
    with pytest.raises(UserError, match=rf"mine: overrides {name}, which training here does not call.*prepare_dataset"):
        exp.get_trainer(argparse.Namespace())
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", ["get_lr_scheduler", "get_optimizer", "get_model", "get_evaluator", "random_resize"])
def test_what_is_called_may_be_overridden(tmp_path: Path, name: str) -> None:
    exp = load_exp(write_exp(tmp_path, f"self.output_dir = {str(tmp_path / 'runs')!r}", body=LOADER.format(name=name)))
    args = argparse.Namespace(device="cpu", fp16=False, experiment_name=None)
    assert exp.get_trainer(args).exp is exp


def test_every_exp_file_here_passes() -> None:
    for path in sorted((Path(__file__).parents[2] / "exps").glob("*.py")):
        load_exp(path)
