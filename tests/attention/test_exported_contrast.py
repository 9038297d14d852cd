"""The contrast as a graph of plain operations, against float64 broadcasting."""

import pytest
import torch
from torch import Tensor

from yolox_gssam.attention import GSSAM
from yolox_gssam.attention.exported_contrast import exported_contrast


def broadcast(values: Tensor, samples: Tensor) -> Tensor:
    return (values.double().unsqueeze(2) - samples.double().unsqueeze(1)).abs().sum(dim=2)


@pytest.mark.parametrize("max_samples", [None, 4095], ids=["as-many", "many-more"])
@pytest.mark.parametrize(
    ("batch", "pixels", "points"), [(1, 1000, 400), (3, 50, 7), (2, 10, 1), (2, 64, 64), (1, 5, 256)]
)
def test_equals_the_broadcast(batch: int, pixels: int, points: int, max_samples: int | None) -> None:
    torch.manual_seed(points)
    values, samples = 3 * torch.randn(batch, pixels), torch.randn(batch, points) + 5
    values[:, : min(pixels, points) // 2] = samples[:, : min(pixels, points) // 2]  # ties
    contrast = exported_contrast(values, samples, max_samples or points)
    assert contrast.dtype == torch.float32
    torch.testing.assert_close(contrast.double(), broadcast(values, samples), rtol=1e-6, atol=1e-6)


def test_far_away_values_lose_nothing() -> None:
    """No sum of large numbers is taken off another."""
    values = torch.tensor([[1e6, 1e6 + 1, -1e6]])
    samples = 1e6 + torch.rand(1, 100)
    torch.testing.assert_close(
        exported_contrast(values, samples, 100).double(), broadcast(values, samples), rtol=1e-6, atol=0
    )


@pytest.mark.parametrize("size", [(32, 64), (64, 64), (96, 32)])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("largest_hw", [(80, 80), (800, 800)], ids=["few-pairs", "many-pairs"])
def test_one_trace_holds_for_other_sizes(size: tuple[int, int], reduction: str, largest_hw: tuple[int, int]) -> None:
    torch.manual_seed(0)
    module = GSSAM(3, pool_size=8, num_convs=4, reduction=reduction).eval()
    module.largest_hw = largest_hw
    with torch.no_grad():
        trace = torch.jit.trace(module, (torch.rand(1, 3, 48, 80),), check_trace=False)
        images = torch.rand(2, 3, *size)
        torch.testing.assert_close(trace(images), module(images), rtol=1e-5, atol=1e-6)


def largest_tensor(module: GSSAM, size: tuple[int, int]) -> int:
    """Elements of the largest tensor in the module's graph."""
    with torch.no_grad():
        graph = torch.jit.trace(module, (torch.rand(1, 3, *size),), check_trace=False).inlined_graph
    sizes = [value.type().sizes() for node in graph.nodes() for value in node.outputs() if value.isCompleteTensor()]
    return max(torch.Size(size).numel() for size in sizes if size is not None)


def test_nothing_in_the_graph_is_of_many_pixels_times_base_points() -> None:
    module = GSSAM(3, pool_size=2, num_convs=1).eval()
    assert largest_tensor(module, (40, 40)) == 1600 * 400
    assert largest_tensor(module, (48, 48)) == 3 * 48 * 48
    # What counts is the largest map that the graph will be given.
    module.largest_hw = 100, 100
    assert largest_tensor(module, (40, 40)) == 3 * 40 * 40
