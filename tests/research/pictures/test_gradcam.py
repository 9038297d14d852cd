import sys

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from yolox_gssam.common.errors import UserError
from yolox_gssam.research.pictures.gradcam import grad_cam


class Linear(nn.Module):
    """One number: the mean over the pixels of channel 0 less channel 1."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 3, 1, bias=False)
        nn.init.eye_(self.features.weight.data[:, :, 0, 0])

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x).mean(dim=(2, 3))
        return x[:, :1] - x[:, 1:2]


@pytest.fixture
def image() -> Tensor:
    return torch.tensor([[[4.0, 2], [1, 0]], [[0, 0], [3, 0]], [[9, 9], [9, 9]]])[None]


@pytest.mark.parametrize(
    ("sign", "expected"),
    # Weights 1/4, -1/4 and 0: (4, 2, -2, 0) / 4 without the negative, brought to [0, 1].
    [pytest.param(1, [[1, 0.5], [0, 0]], id="for"), pytest.param(-1, [[0, 0], [1, 0]], id="against")],
)
def test_a_linear_network_by_hand(image: Tensor, sign: int, expected: list[list[float]]) -> None:
    model = Linear().eval()
    cam = grad_cam(model, model.features, image, lambda output: sign * output[0])
    assert cam.dtype == np.float32
    np.testing.assert_allclose(cam, expected, atol=1e-5)


def test_nothing_speaks_for_it(image: Tensor) -> None:
    model = Linear().eval()
    cam = grad_cam(model, model.features, image.flip(1)[:, [1, 1, 0]], lambda output: output[0])
    assert (cam == 0).all()


def test_the_network_is_left_as_it_was(image: Tensor) -> None:
    model = Linear().eval()
    grad_cam(model, model.features, image, lambda output: output[0])
    assert not model.features._forward_hooks
    assert model.features.weight.grad is None


def test_a_missing_package_is_named(image: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pytorch_grad_cam", None)
    model = Linear()
    with pytest.raises(UserError, match=r"pip install 'yolox-gssam\[pictures\]'"):
        grad_cam(model, model.features, image, lambda output: output[0])
