"""Exp files and checkpoints that do not fit: the real reason, in one line."""

from pathlib import Path

import pytest
import torch
from yolox.exp import get_exp as get_stock_exp

from yolox_gssam.attention import attention_names
from yolox_gssam.common.checkpoint import save_checkpoint
from yolox_gssam.common.errors import UserError
from yolox_gssam.experiment import DroneExp, load_exp, load_trained
from yolox_gssam.experiment.loading import load_detector

EXPS = Path(__file__).parents[2] / "exps"
CPU = torch.device("cpu")
NANO = ["depth", "0.33", "width", "0.25", "depthwise", "True", "num_classes", "2"]
OWN_ATTENTION = """
from torch import nn
from yolox_gssam.attention import register_attention
from yolox_gssam.experiment import DroneExp

@register_attention("halve")
class Halve(nn.Module):
    def __init__(self, channels, factor=0.5):
        super().__init__()
        self.factor = factor
    def forward(self, x):
        return x * self.factor

class Exp(DroneExp):
    def __init__(self):
        super().__init__()
        self.attention = "halve"
        self.attention_options = {"factor": 0.25}
"""


def write_checkpoint(path: Path, exp: DroneExp) -> Path:
    fields = {**exp.fields(), "num_classes": exp.num_classes, "test_size": exp.test_size}
    state = {"model": exp.get_model().state_dict(), "class_names": ["bird", "drone"], "exp": fields}
    save_checkpoint(path, state)
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("import no_such_module\n", r"line 1: ModuleNotFoundError: No module named 'no_such", id="import"),
        pytest.param("x = 1\ndef f(:\n", r"line 2: SyntaxError", id="syntax"),
        pytest.param("class Exp:\n    def __init__(self):\n        1 / 0\n", "line 3: ZeroDivisionError", id="init"),
        pytest.param("x = 1\n", "has a class Exp that extends", id="no class"),
        pytest.param("from yolox.exp import Exp\n", "has a class Exp that extends", id="none of its own"),
        pytest.param("class Exp: pass\n", "has a class Exp that extends", id="other class"),
    ],
)
def test_faults_in_an_exp_file(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(UserError, match=rf"mine\.py: .*{message}"):
        load_exp(path)


def test_missing_exp_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such exp file"):
        load_exp(tmp_path / "none.py")


def test_exp_file_named_like_a_module_does_not_replace_it(tmp_path: Path) -> None:
    import json

    (tmp_path / "json.py").write_text("from yolox_gssam.experiment import DroneExp\nclass Exp(DroneExp): pass\n")
    assert load_exp(tmp_path / "json.py").exp_name == "json"
    import json as after

    assert after is json


def test_own_attention_from_an_exp_file(tmp_path: Path) -> None:
    (tmp_path / "halve.py").write_text(OWN_ATTENTION)
    exp = load_exp(tmp_path / "halve.py", NANO)
    assert "halve" in attention_names()
    assert exp.get_model().backbone.backbone.attention["dark3"].factor == 0.25


def test_trained_network_needs_no_fields_again(tmp_path: Path) -> None:
    exp = load_exp(EXPS / "gssam_sig_res_p1.py", [*NANO, "input_size", "(320, 320)"])
    path = write_checkpoint(tmp_path / "best_ckpt.pth", exp)
    for exp_file in (EXPS / "gssam_sig_res_p1.py", None):
        loaded, model = load_trained(exp_file, path, [], CPU)
        assert (loaded.width, loaded.test_size, loaded.class_names) == (0.25, (320, 320), ("bird", "drone"))
        assert loaded.exp_name == "gssam_sig_res_p1"
        assert not model.training
        for name, value in exp.get_model().state_dict().items():
            assert torch.equal(model.state_dict()[name], value)


def test_a_checkpoint_knows_its_strides(tmp_path: Path) -> None:
    exp = load_exp(EXPS / "origin.py", [*NANO, "strides", "4,8,16,32"])
    path = write_checkpoint(tmp_path / "a.pth", exp)
    loaded, model = load_trained(None, path, [], CPU)
    assert loaded.strides == (4, 8, 16, 32)
    assert list(model.head.strides) == [8, 16, 32, 4]
    with pytest.raises(UserError, match="not used"):
        load_trained(None, path, ["strides", "8,16,32"], CPU)


def test_options_win_over_the_checkpoint(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "a.pth", load_exp(EXPS / "origin.py", NANO))
    assert load_trained(None, path, ["test_size", "(96, 96)"], CPU)[0].test_size == (96, 96)


def test_exp_file_of_another_row_is_refused(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "a.pth", load_exp(EXPS / "gssam_sig_res_p1.py", NANO))
    with pytest.raises(UserError, match=r"trained by the exp gssam_sig_res_p1.*origin.py differs .* attention"):
        load_trained(EXPS / "origin.py", path, [], CPU)


def test_checkpoint_of_another_width_is_refused(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "a.pth", load_exp(EXPS / "origin.py", NANO))
    with pytest.raises(UserError, match="of another shape"):
        load_trained(None, path, ["width", "0.375"], CPU)


@pytest.mark.parametrize("name", ["yolox-nano", "yolox-tiny", "yolox-s", "yolox-m"])
def test_a_stock_network_is_told_from_its_weights(tmp_path: Path, name: str) -> None:
    stock = get_stock_exp(None, name)
    model = stock.get_model().eval()
    save_checkpoint(tmp_path / f"{name}.pth", {"model": model.state_dict()})
    exp, ours = load_trained(None, tmp_path / f"{name}.pth", [], CPU)
    assert (exp.exp_name, exp.test_size, exp.depthwise) == (name, stock.test_size, name == "yolox-nano")
    assert (round(exp.depth, 2), exp.width) == (stock.depth, stock.width)
    assert exp.class_names[4] == "airplane"
    images = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        assert torch.allclose(ours(images), model(images), atol=1e-5)


def test_stock_checkpoint_with_an_exp_file_has_its_own_classes(tmp_path: Path) -> None:
    stock = get_stock_exp(None, "yolox-nano").get_model()
    save_checkpoint(tmp_path / "yolox_nano.pth", {"model": stock.state_dict()})
    options = ["depth", "0.33", "width", "0.25", "depthwise", "True"]
    exp, _ = load_trained(EXPS / "origin.py", tmp_path / "yolox_nano.pth", options, CPU)
    assert (exp.num_classes, exp.class_names[4]) == (80, "airplane")


def test_classes_without_names_are_numbered(tmp_path: Path, tiny_dataset: Path) -> None:
    stock = get_stock_exp(None, "yolox-nano")
    stock.num_classes = 2
    save_checkpoint(tmp_path / "mine.pth", {"model": stock.get_model().state_dict()})
    nowhere = ["data_dir", str(tmp_path / "none")]
    assert load_trained(None, tmp_path / "mine.pth", nowhere, CPU)[0].class_names == ("class 0", "class 1")
    there = ["data_dir", str(tiny_dataset)]
    assert load_trained(None, tmp_path / "mine.pth", there, CPU)[0].class_names == ("bird", "drone")


def test_a_checkpoint_of_something_else_needs_its_exp_file(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "other.pth", {"model": {"weight": torch.zeros(3)}})
    with pytest.raises(UserError, match="give its exp file with -f"):
        load_trained(None, tmp_path / "other.pth", [], CPU)


def test_a_published_checkpoint() -> None:
    path = EXPS.parents[1] / "shared" / "weights" / "yolox_nano_coco.pth"
    if not path.exists():
        pytest.skip("the published weights are not here")
    exp, _ = load_trained(None, path, [], CPU)
    assert (exp.num_classes, exp.class_names[4], exp.test_size) == (80, "airplane", (416, 416))


def test_openvino_s_weights_given_for_its_network(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"weights")
    with pytest.raises(UserError, match=r"a\.bin: not a whole checkpoint|a\.bin: not a checkpoint"):
        load_detector(None, tmp_path / "a.bin", [], CPU)
    (tmp_path / "a.xml").write_text("<net/>")
    with pytest.raises(UserError, match=r"a\.bin: the weights of an OpenVINO network; give .*a\.xml"):
        load_detector(None, tmp_path / "a.bin", [], CPU)
