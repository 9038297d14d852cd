import numpy as np
import pytest
import torch
from torch import nn

from yolox_gssam.attention import GSSAM
from yolox_gssam.research.pictures.steps import gssam_steps, points_on_image, steps_picture

SIZES = [pytest.param((12, 16), id="whole-blocks"), pytest.param((11, 13), id="cut-blocks")]


@pytest.mark.parametrize("size_hw", SIZES)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_steps_are_those_of_the_equations(size_hw: tuple[int, int], reduction: str) -> None:
    torch.manual_seed(0)
    model = nn.ModuleDict({"stem": GSSAM(3, 4, 2, reduction=reduction)}).eval()
    image = torch.rand(1, 3, *size_hw)
    (steps,) = gssam_steps(nn.Sequential(model["stem"]), image).values()

    with torch.no_grad():
        compared = model["stem"].embedding(image)[0, 0].numpy()
    np.testing.assert_allclose(steps.embedding, compared, atol=1e-6)
    blocks = [(top, left) for top in range(0, size_hw[0], 4) for left in range(0, size_hw[1], 4)]
    assert len(steps.base_points_xy) == len(blocks)
    for (x, y), (top, left) in zip(steps.base_points_xy, blocks, strict=True):
        assert top <= y < top + 4
        assert left <= x < left + 4
        assert compared[y, x] == pytest.approx(compared[top : top + 4, left : left + 4].max(), abs=1e-6)

    values = compared[steps.base_points_xy[:, 1], steps.base_points_xy[:, 0]]
    distances = np.abs(compared[:, :, None] - values)  # (h, w, N), as the paper broadcasts
    expected = distances.mean(axis=2) if reduction == "mean" else distances.sum(axis=2)
    np.testing.assert_allclose(steps.contrast, expected, rtol=1e-5)
    np.testing.assert_allclose(steps.attention, 1 / (1 + np.exp(-expected)), rtol=1e-5)


def test_every_stage_is_told_by_its_name_and_hooks_are_gone(gssam_detector: nn.Module) -> None:
    steps = gssam_steps(gssam_detector, torch.rand(1, 3, 64, 96) * 255)
    assert list(steps) == ["stem", "dark2", "dark3", "dark4", "dark5"]
    assert [of_stage.attention.shape for of_stage in steps.values()] == [
        (64 // stride, 96 // stride) for stride in (2, 4, 8, 16, 32)
    ]
    assert not any(module._forward_pre_hooks for module in gssam_detector.modules())


def test_a_network_without_gssam_has_no_steps() -> None:
    assert gssam_steps(nn.Conv2d(3, 3, 1), torch.rand(1, 3, 8, 8)) == {}


def test_points_lie_at_the_centres_of_their_cells() -> None:
    model = nn.Sequential(GSSAM(1, 1, 0)).eval()  # every pixel is a base point
    (steps,) = gssam_steps(model, torch.rand(1, 1, 4, 4)).values()
    # An input of 32 x 32 in cells of 8; the image, 32 wide and 16 high, fills its upper half, scaled by 1/2.
    points = points_on_image(steps, (32, 64), (32, 32))
    np.testing.assert_allclose(points, [(x, y) for y in (8, 24) for x in (8, 24, 40, 56)])


@pytest.mark.parametrize("box", [None, np.array([10, 10, 20, 20], np.float32)], ids=["no-box", "box"])
def test_the_picture_has_a_row_a_stage(gssam_detector: nn.Module, box: np.ndarray | None) -> None:
    steps = gssam_steps(gssam_detector, torch.rand(1, 3, 64, 96) * 255)
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    picture = steps_picture(steps, image, (64, 96), box, "heading")
    columns = 4 if box is None else 5
    assert columns * 400 <= picture.shape[1] < columns * 410
    assert picture.shape[0] > 5 * 267  # panels of 400 x 267
