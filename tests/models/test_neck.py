"""The neck and head with a level at stride 4: what is stock stays so, what is new is as YOLOX builds the rest."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from yolox.exp import get_exp
from yolox.models.network_blocks import DWConv

from yolox_gssam.common.checkpoint import load_checkpoint, load_weights
from yolox_gssam.experiment import GSSAM_STAGES
from yolox_gssam.models import FINE_STRIDES, STRIDES, add_attention, build_yolox, level_layers
from yolox_gssam.models.head import Grid
from yolox_gssam.models.inference import InferenceYOLOX

NANO = (0.33, 0.25)
COCO = Path(__file__).parents[3] / "shared" / "weights" / "yolox_nano_coco.pth"
NEW = {
    "backbone.reduce_conv2",
    "backbone.C3_p2",
    *(f"head.{part}.3" for part in ("stems", "cls_convs", "reg_convs", "cls_preds", "reg_preds", "obj_preds")),
}
IMAGES = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0)) * 255
TARGETS = torch.tensor([[[1.0, 30, 30, 4, 5], [0, 70, 20, 20, 20]], [[0.0, 60, 40, 12, 9], [0, 0, 0, 0, 0]]])


def fine(num_classes: int = 2, width: float = 0.25, depthwise: bool = True) -> nn.Module:
    return build_yolox(num_classes, 0.33, width, depthwise=depthwise, strides=FINE_STRIDES)


def part_of(name: str) -> str:
    parts = name.split(".")
    return ".".join(parts[: 3 if parts[0] == "head" else 2])


def test_three_levels_are_stock_yolox() -> None:
    torch.manual_seed(3)
    stock = get_exp(None, "yolox-nano").get_model().eval()
    torch.manual_seed(3)
    model = build_yolox(80, *NANO, depthwise=True, strides=STRIDES).eval()
    own = model.state_dict()
    assert list(own) == list(stock.state_dict())
    assert all(torch.equal(own[name], value) for name, value in stock.state_dict().items())
    with torch.no_grad():
        assert torch.equal(model(IMAGES), stock(IMAGES))


def test_one_seed_gives_the_same_stock_weights_with_three_levels_and_with_four() -> None:
    torch.manual_seed(5)
    stock = build_yolox(2, *NANO, depthwise=True).state_dict()
    torch.manual_seed(5)
    weights = fine().state_dict()
    assert all(torch.equal(weights[name], value) for name, value in stock.items())
    assert {part_of(name) for name in weights if name not in stock} == NEW


@pytest.mark.skipif(not COCO.is_file(), reason="needs the COCO weights beside the repository")
def test_start_from_coco_names_exactly_what_did_not_fit() -> None:
    weights = load_checkpoint(COCO)["model"]
    model = fine()
    loaded = load_weights(model, weights)
    assert {part_of(name) for name in loaded.new} == NEW
    assert sorted(loaded.reshaped) == [f"head.cls_preds.{i}.{kind}" for i in range(3) for kind in ("bias", "weight")]
    assert loaded.unused == ()
    assert torch.equal(model.state_dict()["head.stems.2.conv.weight"], weights["head.stems.2.conv.weight"])
    modules = str(loaded).partition("; ")[0].partition(": ")[2]
    assert set(modules.split(", ")) == NEW
    assert str(loaded).endswith("6 of another shape: head.cls_preds.0, head.cls_preds.1, head.cls_preds.2")


@pytest.mark.parametrize("depthwise", [True, False])
def test_levels_have_their_channels_and_sizes(depthwise: bool) -> None:
    model = fine(depthwise=depthwise).eval()
    with torch.no_grad():
        features = model.backbone(IMAGES)
        outputs = model(IMAGES)
    assert [tuple(map_.shape[1:]) for map_ in features] == [(64, 8, 12), (128, 4, 6), (256, 2, 3), (32, 16, 24)]
    assert outputs.shape == (2, 8 * 12 + 4 * 6 + 2 * 3 + 16 * 24, 7)
    assert isinstance(model.head.cls_convs[3][0], DWConv) == depthwise


def test_anchors_of_the_new_level_decode_at_stride_4() -> None:
    """Raw boxes of 0 are squares of one stride at the cells' corners."""
    model = fine().eval()
    for conv in model.head.reg_preds:
        nn.init.zeros_(conv.weight)
        nn.init.zeros_(conv.bias)
    with torch.no_grad():
        boxes = model(IMAGES)[0, -16 * 24 :, :4]
        dense = InferenceYOLOX(model).dense(IMAGES.permute(0, 2, 3, 1).byte())[0, -16 * 24 :, :4]
    rows, columns = torch.meshgrid(torch.arange(16), torch.arange(24), indexing="ij")
    expected = torch.stack((4 * columns, 4 * rows, torch.full_like(rows, 4), torch.full_like(rows, 4)), dim=2)
    assert torch.equal(boxes, expected.view(-1, 4).float())
    assert torch.equal(dense, boxes)


def test_stock_levels_are_as_stock_yolox_gives_them() -> None:
    """So pretrained weights are worth as much to them as without the new level."""
    stock = get_exp(None, "yolox-nano").get_model().eval()
    model = fine(num_classes=80).eval()
    model.load_state_dict(stock.state_dict(), strict=False)
    with torch.no_grad():
        assert torch.equal(model(IMAGES)[:, : -16 * 24], stock(IMAGES))


def test_new_level_joins_the_third_stage_and_dark2() -> None:
    model = fine().eval()
    outs: dict[str, object] = {}
    for name in ("backbone", "reduce_conv2", "C3_p2"):
        model.backbone.get_submodule(name).register_forward_hook(lambda *call, name=name: outs.update({name: call[2]}))
    joined: list[Tensor] = []
    model.backbone.C3_p2.register_forward_pre_hook(lambda _, inputs: joined.append(inputs[0]))
    with torch.no_grad():
        features = model.backbone(IMAGES)
        assert torch.equal(model.backbone.reduce_conv2(features[0]), outs["reduce_conv2"])
    doubled = outs["reduce_conv2"].repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    assert torch.equal(joined[0], torch.cat((doubled, outs["backbone"]["dark2"]), dim=1))
    assert features[3] is outs["C3_p2"]


@pytest.mark.parametrize("position", [1, 2])
def test_neck_sees_dark2_attended_at_position_1_and_plain_at_position_2(position: int) -> None:
    torch.manual_seed(0)
    model = add_attention(fine(), "gssam", position, {**GSSAM_STAGES, "residual": True}).eval()
    backbone = model.backbone.backbone
    with torch.no_grad():
        plain = backbone.dark2(backbone.attention["stem"](backbone.stem(IMAGES)))
        attended = backbone.attention["dark2"](plain)
        seen = backbone(IMAGES)["dark2"]
    assert not torch.equal(plain, attended)
    assert torch.equal(seen, attended if position == 1 else plain)


@pytest.mark.parametrize("position", [0, 1, 2])
def test_every_parameter_gets_a_gradient(position: int) -> None:
    torch.manual_seed(0)
    model = fine()
    if position:
        model = add_attention(model, "gssam", position, GSSAM_STAGES)
    model(IMAGES, TARGETS)["total_loss"].backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


def test_a_few_steps_of_training_let_the_loss_fall() -> None:
    torch.manual_seed(0)
    model = fine(width=0.125)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.005, momentum=0.9)
    losses = []
    for _ in range(20):
        loss = model(IMAGES, TARGETS)["total_loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert all(torch.tensor(losses).isfinite())
    assert max(losses[-3:]) < 0.85 * losses[0]


def test_small_objects_are_assigned_at_stride_4(monkeypatch: pytest.MonkeyPatch) -> None:
    grids: list[Grid] = []
    module = "yolox_gssam.models.head"

    def keep(outputs: Tensor, labels: Tensor, levels: list[Grid], *, static_shapes: bool) -> None:
        grids.extend(levels)

    monkeypatch.setattr(f"{module}.assign", keep)
    fine()(IMAGES, TARGETS)
    assert grids == [Grid(8, 12, 8), Grid(4, 6, 16), Grid(2, 3, 32), Grid(16, 24, 4)]


@pytest.mark.parametrize(
    ("strides", "layers"),
    [
        pytest.param(STRIDES, {8: "C3_p3", 16: "C3_n3", 32: "C3_n4"}, id="three"),
        pytest.param(FINE_STRIDES, {8: "C3_p3", 16: "C3_n3", 32: "C3_n4", 4: "C3_p2"}, id="four"),
    ],
)
def test_level_layers_give_what_the_head_reads(strides: tuple[int, ...], layers: dict[int, str]) -> None:
    model = build_yolox(2, *NANO, depthwise=True, strides=strides).eval()
    assert list(level_layers(model)) == list(model.head.strides)
    outputs: dict[int, Tensor] = {}
    for stride, layer in level_layers(model).items():
        assert layer is model.backbone.get_submodule(layers[stride])
        layer.register_forward_hook(lambda *call, stride=stride: outputs.update({stride: call[2]}))
    with torch.no_grad():
        features = model.backbone(IMAGES)
    assert all(map_ is outputs[stride] for map_, stride in zip(features, model.head.strides, strict=True))


def test_other_strides_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(8, 16, 32\) or \(4, 8, 16, 32\), not \(2, 4\)"):
        build_yolox(2, *NANO, strides=(2, 4))
