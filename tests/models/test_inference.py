"""The network as it is run, against YOLOX's own forward pass."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from yolox.models import YOLOX

from yolox_gssam.experiment import GSSAM_STAGES
from yolox_gssam.models import add_attention, build_yolox
from yolox_gssam.models.inference import InferenceYOLOX, choose_candidates

CLASSES = 3


def make_network(depthwise: bool = False, **attention: Any) -> YOLOX:
    """A narrow network in float64 whose BatchNorms have lived, and whose scores vary."""
    torch.manual_seed(0)
    model = build_yolox(CLASSES, 0.33, 0.125, depthwise=depthwise)
    if attention:
        model = add_attention(model, attention.pop("name"), attention.pop("position"), attention)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.1)
    model.train()
    model.backbone(torch.rand(4, 3, 96, 128) * 255)
    for convs in (model.head.obj_preds, model.head.cls_preds):
        for conv in convs:
            conv.weight.data.normal_(0, 1)
            conv.bias.data.zero_()
    return model.eval().double()


NETWORKS = {
    "plain": {},
    "depthwise": {"depthwise": True},
    "gssam-p1": {"name": "gssam", "position": 1, **GSSAM_STAGES, "residual": True},
    "gssam-p2-std-dual": {
        "name": "gssam",
        "position": 2,
        **GSSAM_STAGES,
        "norm": "standardize",
        "embedding": "dual",
        "reduction": "sum",
    },
    "conv": {"name": "conv", "position": 1, "num_convs": 2},
}


@pytest.fixture(params=NETWORKS.values(), ids=NETWORKS.keys())
def model(request: pytest.FixtureRequest) -> YOLOX:
    return make_network(**request.param)


@pytest.fixture
def images() -> Tensor:
    return torch.randint(0, 256, (2, 96, 160, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def stock_outputs(model: YOLOX, images: Tensor) -> Tensor:
    with torch.no_grad():
        return model(images.permute(0, 3, 1, 2).double())


def sorted_rows(candidates: Tensor) -> Tensor:
    """In one order, whatever the order of levels and images."""
    keys = [(row[0], *row[1:3]) for row in candidates.double().numpy().round(4).tolist()]
    return candidates[sorted(range(len(keys)), key=keys.__getitem__)]


def test_every_anchor_is_that_of_yolox(model: YOLOX, images: Tensor) -> None:
    outputs = InferenceYOLOX(model).dense(images)
    # What is compared is float32 from the head's last convolutions on.
    torch.testing.assert_close(outputs.double(), stock_outputs(model, images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("lazy", [True, False], ids=["lazy", "everywhere"])
@pytest.mark.parametrize("share", [0.001, 0.02, 0.15, 1.0])
def test_candidates_are_the_anchors_that_reach_the_threshold(
    model: YOLOX, images: Tensor, lazy: bool, share: float
) -> None:
    outputs = stock_outputs(model, images)
    objectness = outputs[..., 4].flatten().sort(descending=True).values
    last = max(1, int(share * len(objectness)))
    # Between two anchors, so that rounding decides nothing.
    threshold = float(objectness[last - 1 : last + 1].mean()) if last < len(objectness) else 0.0
    expected = choose_candidates(outputs, threshold)

    candidates = InferenceYOLOX(model, lazy_classes=lazy)(images, torch.tensor(threshold))

    assert candidates.dtype == torch.float32
    assert len(expected) == last
    assert candidates.shape == expected.shape
    torch.testing.assert_close(sorted_rows(candidates).double(), sorted_rows(expected), rtol=1e-4, atol=1e-4)


def test_lazy_classes_at_every_place_of_the_map(images: Tensor) -> None:
    """At the borders, too, where the convolutions see zeros."""
    network = InferenceYOLOX(make_network())
    for level, (side, channels) in enumerate(((8, 32), (16, 64), (32, 128))):
        features = torch.randn(2, channels, 96 // side, 160 // side, dtype=torch.float64)
        x = network.head.stems[level](features)
        B, _, H, W = x.shape
        places = torch.arange(B * H * W)
        at = network._classes_at(level, x, places // (H * W), places % (H * W) // W, places % W)
        everywhere = network._classes(level, x).permute(0, 2, 3, 1).reshape(-1, CLASSES)
        torch.testing.assert_close(at, everywhere, rtol=1e-5, atol=1e-6)


def test_no_candidate(images: Tensor) -> None:
    candidates = InferenceYOLOX(make_network())(images, torch.tensor(1.1))
    assert candidates.shape == (0, 6 + CLASSES)


def test_nothing_is_drawn(model: YOLOX) -> None:
    """A training goes on with the random numbers that it would have had without the validation."""
    before = torch.get_rng_state()
    InferenceYOLOX(model)
    assert torch.equal(before, torch.get_rng_state())


def test_the_model_is_left_as_it_was(images: Tensor) -> None:
    model = make_network(**NETWORKS["gssam-p1"])
    before = copy.deepcopy(model.state_dict())
    InferenceYOLOX(model).half()
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_boxes_of_a_16_bit_network_are_decoded_in_float32(images: Tensor) -> None:
    """At 2,000 pixels, numbers of bfloat16 lie 8 pixels apart."""
    network = InferenceYOLOX(make_network()).bfloat16()
    wide = torch.zeros(1, 32, 2048, 3, dtype=torch.uint8)
    centres = network.dense(wide)[0, :, 0]
    assert centres.dtype == torch.float32
    assert not torch.equal(centres, centres.bfloat16().float())
