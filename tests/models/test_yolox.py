"""YOLOX with attention, against stock YOLOX as its own exp files build it."""

import copy
from typing import Any

import pytest
import torch
from thop import profile
from torch import nn
from yolox.exp import get_exp

from yolox_gssam.attention.embedding import SpatialConvolution
from yolox_gssam.common.checkpoint import load_weights
from yolox_gssam.common.errors import UserError
from yolox_gssam.experiment import CONV_STAGES, GSSAM_STAGES
from yolox_gssam.models import STAGES, add_attention, attention_maps, build_yolox

SIZES = {
    "nano": (0.33, 0.25),
    "tiny": (0.33, 0.375),
    "s": (0.33, 0.50),
    "m": (0.67, 0.75),
    "l": (1.0, 1.0),
    "x": (1.33, 1.25),
}
IMAGES = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0)) * 255


def nano(num_classes: int = 4) -> nn.Module:
    return build_yolox(num_classes, *SIZES["nano"], depthwise=True)


@pytest.mark.parametrize("size", [pytest.param(size, id=size) for size in SIZES])
def test_plain_network_equals_stock(size: str) -> None:
    torch.manual_seed(3)
    stock = get_exp(None, f"yolox-{size}").get_model().eval()
    torch.manual_seed(3)
    model = build_yolox(80, *SIZES[size], depthwise=size == "nano").eval()
    with torch.no_grad():
        assert torch.equal(model(IMAGES), stock(IMAGES))


@pytest.mark.parametrize("size", [pytest.param(size, id=size) for size in SIZES])
@pytest.mark.parametrize("position", [pytest.param(1, id="p1"), pytest.param(2, id="p2")])
def test_every_size_takes_attention(size: str, position: int) -> None:
    model = build_yolox(2, *SIZES[size], depthwise=size == "nano")
    model = add_attention(model, "gssam", position, {**GSSAM_STAGES, "residual": True}).eval()
    with torch.no_grad():
        outputs = model(IMAGES[:1])
    assert outputs.shape == (1, 8 * 12 + 4 * 6 + 2 * 3, 7)
    assert list(model.backbone.backbone.attention) == list(STAGES[: 6 - position])


def test_stock_checkpoint_loads_and_only_the_attention_is_new() -> None:
    stock = get_exp(None, "yolox-nano").get_model()
    model = add_attention(nano(80), "gssam", 1, GSSAM_STAGES)
    loaded = load_weights(model, stock.state_dict())
    assert loaded.new
    assert all(name.startswith("backbone.backbone.attention.") for name in loaded.new)
    assert not loaded.reshaped
    assert not loaded.unused
    assert "attention" in str(loaded)
    for name, value in stock.state_dict().items():
        assert torch.equal(model.state_dict()[name], value)


def test_stock_checkpoint_of_another_class_count_loads_but_for_the_class_layer() -> None:
    stock = get_exp(None, "yolox-nano").get_model()
    loaded = load_weights(add_attention(nano(4), "gssam", 1, GSSAM_STAGES), stock.state_dict())
    assert {name.rsplit(".", 2)[0] for name in loaded.reshaped} == {"head.cls_preds"}
    assert all(".attention." in name for name in loaded.new)


def test_one_seed_gives_the_same_stock_weights_with_and_without_attention() -> None:
    torch.manual_seed(5)
    plain = nano().state_dict()
    torch.manual_seed(5)
    attended = add_attention(nano(), "gssam", 1, GSSAM_STAGES).state_dict()
    for name, value in plain.items():
        assert torch.equal(attended[name], value)


@pytest.mark.parametrize("position", [pytest.param(1, id="p1"), pytest.param(2, id="p2")])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        pytest.param("gssam", GSSAM_STAGES, id="gssam"),
        pytest.param("conv", CONV_STAGES, id="conv"),
        *(pytest.param(name, {}, id=name) for name in ("bam", "cbam", "coordinate", "gam", "se")),
        pytest.param("ema_attention", {"groups": 8}, id="ema_attention"),
        pytest.param("nonlocal", {"pool_size": (4, 2, 1, 1, 1)}, id="nonlocal"),
    ],
)
def test_every_parameter_gets_a_gradient(name: str, options: dict[str, Any], position: int) -> None:
    torch.manual_seed(0)
    model = add_attention(nano(), name, position, options)
    targets = torch.tensor([[[1.0, 30, 30, 20, 20]], [[0.0, 60, 40, 12, 9]]])
    model(IMAGES, targets)["total_loss"].backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


def test_attention_maps() -> None:
    torch.manual_seed(0)
    model = add_attention(nano(), "gssam", 1, {**GSSAM_STAGES, "norm": "standardize"}).eval()
    maps = attention_maps(model, IMAGES)
    assert [tuple(maps[stage].shape) for stage in STAGES] == [
        (2, 1, 64 // stride, 96 // stride) for stride in (2, 4, 8, 16, 32)
    ]
    first = model.backbone.backbone.attention["stem"]
    with torch.no_grad():
        expected = first.attention_map(model.backbone.backbone.stem(IMAGES))
    assert torch.equal(maps["stem"], expected)
    for stage_map in maps.values():
        assert stage_map.min() >= 0
        assert stage_map.max() <= 1


@pytest.mark.parametrize(
    ("name", "has_maps"), [("bam", True), ("cbam", True), ("coordinate", True), ("gam", True), ("nonlocal", False)]
)
def test_attention_maps_of_others(name: str, has_maps: bool) -> None:
    maps = attention_maps(add_attention(nano(), name, 1, {}).eval(), IMAGES)
    assert list(maps) == (list(STAGES) if has_maps else [])
    for stage_map, stride in zip(maps.values(), (2, 4, 8, 16, 32), strict=False):
        assert stage_map.shape == (2, 1, 64 // stride, 96 // stride)


def test_attention_maps_of_a_stock_network_are_none() -> None:
    assert attention_maps(nano().eval(), IMAGES) == {}


def test_deepcopy_keeps_the_outputs() -> None:
    model = add_attention(nano(), "gssam", 1, GSSAM_STAGES).eval()
    with torch.no_grad():
        assert torch.equal(copy.deepcopy(model)(IMAGES), model(IMAGES))


def test_options_for_the_wrong_number_of_stages_are_refused() -> None:
    with pytest.raises(UserError, match="give one value, or 5: one each"):
        add_attention(nano(), "gssam", 1, {"pool_size": (8, 4), "num_convs": 4})


def test_unknown_attention_is_refused() -> None:
    with pytest.raises(UserError, match="gssam"):
        add_attention(nano(), "gsam", 1, {})


def test_operations_of_the_attention_are_counted() -> None:
    images = (torch.zeros(1, 1, 16, 16),)
    assert profile(SpatialConvolution(), images, verbose=False) == profile(
        nn.Conv2d(1, 1, 3, padding=1, bias=False), images, verbose=False
    )
    assert profile(SpatialConvolution(), images, verbose=False)[0] > 0
