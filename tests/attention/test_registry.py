"""The names of the attention modules, and a user's own."""

import pytest
import torch
from torch import Tensor, nn

from yolox_gssam.attention import GSSAM, ConvAttention, attention_names, build_attention, register_attention
from yolox_gssam.common.errors import UserError

NAMES = ("bam", "cbam", "conv", "coordinate", "ema_attention", "gam", "gssam", "nonlocal", "se")


def make_own(qualified_name: str) -> type[nn.Module]:
    """A class as an exp file would define it, new at each call."""

    class Own(nn.Module):
        def __init__(self, channels: int, gain: float = 1.0) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.full((channels, 1, 1), gain))

        def forward(self, x: Tensor) -> Tensor:
            return x * self.scale

    Own.__qualname__ = qualified_name
    return Own


def test_names() -> None:
    assert attention_names() == NAMES


def test_builds_with_its_options() -> None:
    gssam = build_attention("gssam", 8, pool_size=4, num_convs=2, norm="standardize", residual=True)
    assert isinstance(gssam, GSSAM)
    assert (gssam.pool_size, gssam.norm, gssam.residual) == (4, "standardize", True)
    assert isinstance(build_attention("conv", 8, num_convs=2), ConvAttention)


def test_a_users_own() -> None:
    register_attention("own")(make_own("Own"))
    assert attention_names() == (*NAMES[:-1], "own", NAMES[-1])
    images = torch.ones(1, 3, 2, 2)
    assert torch.equal(build_attention("own", 3, gain=2.0)(images), 2 * images)


def test_a_second_import_of_the_same_class_replaces_the_first() -> None:
    register_attention("own")(make_own("Own"))
    again = register_attention("own")(make_own("Own"))
    assert type(build_attention("own", 3)) is again


def test_a_name_that_is_taken() -> None:
    with pytest.raises(UserError, match=r"'gssam' is taken by yolox_gssam\.attention\.gssam\.GSSAM; register .*\.Own"):
        register_attention("gssam")(make_own("Own"))
    assert isinstance(build_attention("gssam", 8, pool_size=1, num_convs=0), GSSAM)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        pytest.param("gsam", {}, "unknown attention 'gsam'; known: bam, .*, se; add your own", id="unknown-name"),
        pytest.param(
            "gssam",
            {"pool_size": 4, "num_convs": 2, "residul": True},
            "'gssam': got an unexpected .*'residul'; its options: pool_size, num_convs, norm, residual",
            id="misspelt-option",
        ),
        pytest.param(
            "conv", {}, "'conv': missing .*'num_convs'; its options: num_convs, residual", id="missing-option"
        ),
        pytest.param("conv", {"num_convs": -1}, "num_convs at least 0", id="the-modules-own-error"),
    ],
)
def test_bad_requests(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_attention(name, 8, **options)
