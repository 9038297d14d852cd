"""Variants as a user types them, and the networks they stand for."""

from pathlib import Path

import pytest
import torch
from conftest import ROOT

from yolox_gssam.common.checkpoint import save_checkpoint
from yolox_gssam.common.errors import UserError
from yolox_gssam.data.synthetic import SYNTHETIC_CLASSES
from yolox_gssam.research.benchmark.variants import load_variant, parse_variants

CPU = torch.device("cpu")
ORIGIN, GSSAM = str(ROOT / "exps" / "origin.py"), str(ROOT / "exps" / "gssam_sig_res_p1.py")
NANO = ["width", "0.125", "depthwise", "True", "num_classes", "2", "input_size", "(64,64)"]


def test_a_name_settings_and_fields() -> None:
    stock, origin, named = parse_variants(
        ["stock", "exps/origin.py,ckpt=runs/a=1.pth", "mine=exps/origin.py,input_size=96,64,fp16=yes"],
        ["width", "0.25"],
        ["ckpt", "fp16"],
    )
    assert (stock.name, stock.exp_file, stock.is_stock, stock.options) == ("stock", "stock", True, ("width", "0.25"))
    assert (origin.name, origin.exp_file, dict(origin.settings)) == (
        "origin",
        "exps/origin.py",
        {"ckpt": "runs/a=1.pth"},
    )
    assert (named.name, named.options) == ("mine", ("width", "0.25", "input_size", "96,64"))
    assert (named.is_on("fp16"), origin.is_on("fp16")) == (True, False)
    assert str(named) == "exps/origin.py,fp16=yes,width=0.25,input_size=96,64"


@pytest.mark.parametrize(
    ("texts", "options", "message"),
    [
        pytest.param(["=exps/origin.py"], [], "EXP an exp file", id="no-name"),
        pytest.param(["a="], [], "EXP an exp file", id="no-exp"),
        pytest.param([""], [], "EXP an exp file", id="empty"),
        pytest.param(["exps/origin.py", "b/origin.py"], [], "two variants are called origin", id="same-name"),
        pytest.param(["stock"], ["width"], "'width' has no value", id="odd"),
    ],
)
def test_bad_variants(texts: list[str], options: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_variants(texts, options, [])


def test_a_switch_is_true_or_false() -> None:
    (variant,) = parse_variants(["a=exps/origin.py,fp16=perhaps"], [], ["fp16"])
    with pytest.raises(UserError, match="variant a: fp16 must be True or False, not 'perhaps'"):
        variant.is_on("fp16")


def test_stock_is_origin_and_a_variants_own_fields_come_last() -> None:
    variants = parse_variants(["stock", ORIGIN, f"wide={ORIGIN},width=0.25"], NANO, [])
    (_, stock), (_, origin), (_, wide) = (load_variant(variant, CPU, seed=3) for variant in variants)
    assert not origin.training
    for name, weight in stock.state_dict().items():
        assert torch.equal(weight, origin.state_dict()[name])
    assert wide.head.stems[0].conv.out_channels == 2 * origin.head.stems[0].conv.out_channels


def test_without_its_data_a_variant_has_the_classes_of_the_drawn_set(tmp_path: Path) -> None:
    (variant,) = parse_variants([ORIGIN], ["data_dir", str(tmp_path / "no"), *NANO[:4]], [])
    exp, model = load_variant(variant, CPU, seed=0)
    assert exp.class_names == SYNTHETIC_CLASSES
    assert model.head.num_classes == len(SYNTHETIC_CLASSES)


def test_stock_takes_a_checkpoint_without_attention_only(tmp_path: Path) -> None:
    for name in (ORIGIN, GSSAM):
        (variant,) = parse_variants([name], NANO, [])
        exp, model = load_variant(variant, CPU, seed=5)
        state = {"model": model.state_dict(), "class_names": ["bird", "drone"]}
        save_checkpoint(tmp_path / f"{variant.name}.pth", {**state, "exp": exp.fields() | {"test_size": (64, 64)}})
    plain, attentive = parse_variants(
        [f"a=stock,ckpt={tmp_path}/origin.pth", f"b=stock,ckpt={tmp_path}/gssam_sig_res_p1.pth"], [], ["ckpt"]
    )
    exp, model = load_variant(plain, CPU, seed=0)
    assert exp.class_names == ("bird", "drone")
    assert model.head.stems[0].conv.out_channels == 32
    with pytest.raises(UserError, match=r"variant b: .* has attention, which stock YOLOX has not"):
        load_variant(attentive, CPU, seed=0)
