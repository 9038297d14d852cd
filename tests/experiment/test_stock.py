"""Exp files of YOLOX itself."""

import shutil
from pathlib import Path

import pytest
import torch
from yolox.exp import get_exp

from yolox_gssam.common.files import sha256_of
from yolox_gssam.engine.identity import source_hash
from yolox_gssam.experiment import DroneExp, load_exp

STOCK = """
import os
from yolox.exp import Exp as MyExp

class Exp(MyExp):
    def __init__(self):
        super(Exp, self).__init__()
        self.depth = 0.33
        self.width = 0.125
        self.data_dir = "{data}"
        self.train_ann = "instances_train.json"
        self.val_ann = "instances_val.json"
        self.test_ann = "instances_val.json"
        self.num_classes = 2
        self.input_size = (64, 96)
        self.test_size = (96, 96)
        {more}
"""
METHODS = """
    def get_lr_scheduler(self, lr, iters_per_epoch):
        return super().get_lr_scheduler(lr / 2, iters_per_epoch)
"""


def write_stock(folder: Path, data: object = "mine", more: str = "pass", methods: str = "") -> Path:
    path = folder / "stock.py"
    path.write_text(STOCK.format(data=data, more=more) + methods)
    return path


def test_every_field_is_as_yolox_has_it(tmp_path: Path) -> None:
    path = write_stock(tmp_path, methods=METHODS)
    exp, stock = load_exp(path), get_exp(str(path))
    assert isinstance(exp, DroneExp)
    for name, value in vars(stock).items():
        if name != "exp_name":
            assert getattr(exp, name) == value, name
    assert (exp.exp_name, exp.num_classes, exp.test_size, exp.mosaic_scale) == ("stock", 2, (96, 96), (0.1, 2))
    assert source_hash(exp) == sha256_of(path)
    assert exp.get_lr_scheduler(1.0, 10).lr == 0.5
    assert load_exp(path, ["max_epoch", "77"]).max_epoch == 77


@pytest.mark.parametrize("name", ["yolox-nano", "yolox-tiny"])
def test_the_network_is_yolox_s(tmp_path: Path, name: str) -> None:
    """Also where the file builds it itself, as YOLOX-nano's does."""
    stock = get_exp(None, name)
    path = tmp_path / "stock.py"
    shutil.copy(Path(__import__("inspect").getfile(type(stock))), path)
    ours, theirs = load_exp(path).get_model().state_dict(), stock.get_model().state_dict()
    assert {key: value.shape for key, value in ours.items()} == {key: value.shape for key, value in theirs.items()}


def test_a_misspelt_field_is_refused_there_too(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"stock\.py: .* no field 'max_epochs'"):
        load_exp(write_stock(tmp_path, more="self.max_epochs = 3"))


def test_it_trains_on_a_data_set_as_yolox_has_it(tiny_dataset: Path, tmp_path: Path, run_tool: object) -> None:
    data = tmp_path / "coco"
    for part in ("train", "val"):
        shutil.copytree(tiny_dataset / "images", data / f"{part}2017")
        (data / "annotations").mkdir(exist_ok=True)
        shutil.copy(tiny_dataset / "annotations" / f"{part}.json", data / "annotations" / f"instances_{part}.json")
    path = write_stock(tmp_path, data, methods=METHODS)
    runs = ["output_dir", tmp_path / "runs", "max_epoch", 1, "warmup_epochs", 0, "no_aug_epochs", 0]
    options = [*runs, "data_num_workers", 0, "multiscale_range", 0]
    result = run_tool("train", "-f", path, "-b", 4, *options)  # type: ignore[operator]
    assert result.returncode == 0, result.stderr
    state = torch.load(tmp_path / "runs" / "stock" / "latest_ckpt.pth", weights_only=True)
    assert (state["exp"]["width"], state["exp"]["mixup_prob"], state["class_names"]) == (0.125, 1.0, ["bird", "drone"])
