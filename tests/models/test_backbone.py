"""The backbone with attention, against stock CSPDarknet."""

import pytest
import torch
from torch import Tensor, nn
from yolox.models.darknet import CSPDarknet

from yolox_gssam.models.backbone import STAGES, AttentionCSPDarknet, stage_channels


class Scale(nn.Module):
    """An attention whose effect is known: it multiplies by a constant."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


@pytest.fixture
def darknet() -> CSPDarknet:
    torch.manual_seed(0)
    return CSPDarknet(0.33, 0.25, out_features=STAGES, depthwise=True).eval()


@pytest.fixture
def images() -> Tensor:
    return torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(1)) * 255


def test_without_attention_equals_stock(darknet: CSPDarknet, images: Tensor) -> None:
    expected = darknet(images)
    got = AttentionCSPDarknet(darknet, nn.ModuleDict(), position=1)(images)
    assert list(got) == list(STAGES)
    for stage in STAGES:
        assert torch.equal(got[stage], expected[stage])


def test_parameter_names_are_those_of_yolox(darknet: CSPDarknet) -> None:
    stock = set(darknet.state_dict())
    assert set(AttentionCSPDarknet(darknet, nn.ModuleDict(), position=1).state_dict()) == stock


def test_position_1_gives_the_attended_map_to_neck_and_next_stage(darknet: CSPDarknet, images: Tensor) -> None:
    plain = darknet(images)
    backbone = AttentionCSPDarknet(darknet, nn.ModuleDict({"dark3": Scale(2.0)}), position=1)
    got = backbone(images)
    torch.testing.assert_close(got["dark3"], 2 * plain["dark3"])
    torch.testing.assert_close(got["dark4"], darknet.dark4(2 * plain["dark3"]))


def test_position_2_gives_the_plain_map_to_the_neck_only(darknet: CSPDarknet, images: Tensor) -> None:
    plain = darknet(images)
    backbone = AttentionCSPDarknet(darknet, nn.ModuleDict({"dark3": Scale(2.0)}), position=2)
    got = backbone(images)
    assert torch.equal(got["dark3"], plain["dark3"])
    torch.testing.assert_close(got["dark4"], darknet.dark4(2 * plain["dark3"]))


def test_position_2_after_dark5_is_refused(darknet: CSPDarknet) -> None:
    with pytest.raises(ValueError, match="dark5"):
        AttentionCSPDarknet(darknet, nn.ModuleDict({"dark5": Scale(2.0)}), position=2)


def test_unknown_position_is_refused(darknet: CSPDarknet) -> None:
    with pytest.raises(ValueError, match="1 or 2, not 3"):
        AttentionCSPDarknet(darknet, nn.ModuleDict(), position=3)


@pytest.mark.parametrize("width", [pytest.param(w, id=f"width-{w}") for w in (0.25, 0.375, 0.5, 0.75, 1.0, 1.25)])
def test_stage_channels_are_those_of_the_network(width: float) -> None:
    darknet = CSPDarknet(0.33, width, out_features=STAGES, depthwise=True).eval()
    with torch.no_grad():
        outputs = darknet(torch.zeros(1, 3, 32, 32))
    assert tuple(outputs[stage].shape[1] for stage in STAGES) == stage_channels(width)
