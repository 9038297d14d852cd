"""GSSAM, against its equations written out in loops."""

import math

import pytest
import torch
from torch import Tensor, nn

from yolox_gssam.attention import GSSAM
from yolox_gssam.common.errors import UserError

SIZES_HW = [(1, 1), (7, 5), (33, 17), (2, 40)]
REDUCTIONS = ["mean", "sum"]


def contrast_in_loops(c: list[list[float]], pool_size: int, reduction: str) -> list[float]:
    """Eq. 3 for one map given as rows: a number for each pixel, row by row."""
    height, width = len(c), len(c[0])
    blocks = [
        [c[i][j] for i in range(y, min(y + pool_size, height)) for j in range(x, min(x + pool_size, width))]
        for y in range(0, height, pool_size)
        for x in range(0, width, pool_size)
    ]
    points = [max(block) for block in blocks]
    sums = [sum(abs(value - point) for point in points) for row in c for value in row]
    return sums if reduction == "sum" else [total / len(points) for total in sums]


def random_images(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size_hw", SIZES_HW)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("norm", ["sigmoid", "standardize"])
@pytest.mark.parametrize("pool_size", [1, 3, 4])
def test_map_follows_the_equations(size_hw: tuple[int, int], reduction: str, norm: str, pool_size: int) -> None:
    module = GSSAM(3, pool_size, 2, norm=norm, reduction=reduction).double().eval()
    images = random_images(2, 3, *size_hw).double()
    maps = module.attention_map(images)
    for image, attention in zip(images, maps, strict=True):
        raw = contrast_in_loops(module.embedding(image[None])[0, 0].tolist(), pool_size, reduction)
        if norm == "sigmoid":
            expected = [1 / (1 + math.exp(-value)) for value in raw]
        else:
            span = max(raw) - min(raw)
            expected = [(value - min(raw)) / span if span else 1 for value in raw]
        assert attention.shape == (1, *size_hw)
        assert attention.flatten().tolist() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_shows_and_stops_nothing(reduction: str, value: float) -> None:
    module = GSSAM(3, 4, 2, reduction=reduction).eval()
    images = random_images(2, 3, 9, 7)
    images[1] = value
    maps = module.attention_map(images)
    assert maps[0].isfinite().all()
    assert not maps[1].isfinite().any()


@pytest.mark.parametrize("norm", ["sigmoid", "standardize"])
def test_residual_adds_the_input(norm: str) -> None:
    module = GSSAM(4, 4, 2, norm=norm).eval()
    images = random_images(2, 4, 9, 7)
    attended = module(images)
    torch.testing.assert_close(attended, images * module.attention_map(images))
    module.residual = True
    torch.testing.assert_close(module(images), images + attended)


@pytest.mark.parametrize("embedding", ["pointwise", "dual"])
@pytest.mark.parametrize("size_hw", SIZES_HW)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_trains_at_any_size(size_hw: tuple[int, int], embedding: str, memory_format: torch.memory_format) -> None:
    module = GSSAM(4, 4, 2, residual=True, embedding=embedding)
    module.to(memory_format=memory_format).train()
    images = random_images(1, 4, *size_hw).to(memory_format=memory_format).requires_grad_()
    attended = module(images)
    assert attended.shape == images.shape
    assert attended.is_contiguous(memory_format=memory_format)
    attended.square().sum().backward()
    assert images.grad.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in module.parameters())


@pytest.mark.parametrize("norm", ["sigmoid", "standardize"])
def test_every_convolution_learns(norm: str) -> None:
    module = GSSAM(4, 4, 2, norm=norm)
    module(random_images(2, 4, 16, 16)).square().sum().backward()
    gradients = [layer.weight.grad for layer in module.embedding if isinstance(layer, nn.Conv2d)]
    assert len(gradients) == 3
    assert all(gradient.abs().max() > 1e-3 for gradient in gradients)


@pytest.mark.parametrize("norm", ["sigmoid", "standardize"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_gradients_in_double(norm: str, reduction: str) -> None:
    module = GSSAM(2, 2, 1, residual=True, norm=norm, reduction=reduction).double().train()
    assert torch.autograd.gradcheck(module, random_images(2, 2, 5, 3).double().requires_grad_())


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("norm", "expected"), [("sigmoid", 0.5), ("standardize", 1.0)])
@pytest.mark.parametrize("value", [0.0, 1e3])
def test_constant_map(norm: str, expected: float, reduction: str, value: float) -> None:
    module = GSSAM(4, 1, 0, norm=norm, reduction=reduction)
    images = torch.full((2, 4, 6, 6), value, requires_grad=True)
    attended = module(images)
    assert torch.equal(attended, images * expected)
    attended.sum().backward()
    assert images.grad.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in module.parameters())


def test_min_max_is_per_image_over_the_whole_map() -> None:
    module = GSSAM(4, 4, 2, norm="standardize").eval()
    images = random_images(3, 4, 9, 7) * torch.tensor([1.0, 10.0, 1e-3]).view(3, 1, 1, 1)
    maps = module.attention_map(images)
    assert torch.equal(maps.amin(dim=(1, 2, 3)), torch.zeros(3))
    assert torch.equal(maps.amax(dim=(1, 2, 3)), torch.ones(3))
    torch.testing.assert_close(maps, torch.cat([module.attention_map(image[None]) for image in images]))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("norm", ["sigmoid", "standardize"])
@pytest.mark.parametrize("autocast", [False, True], ids=["half", "autocast"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_does_not_overflow(dtype: torch.dtype, autocast: bool, norm: str, reduction: str) -> None:
    module = GSSAM(16, 3, 1, norm=norm, reduction=reduction)
    images = (1e4 * random_images(1, 16, 33, 33)).requires_grad_()
    if not autocast:
        module, images = module.to(dtype), images.detach().to(dtype).requires_grad_()
    with torch.autocast("cpu", dtype=dtype, enabled=autocast):
        attention, attended = module.attention_map(images), module(images)
    assert attention.dtype == attended.dtype == images.dtype
    assert attention.min() >= 0
    assert attention.max() <= 1
    attended.float().mean().backward()
    assert images.grad.isfinite().all()


@pytest.mark.parametrize(
    ("pool_size", "num_convs", "embedding", "message"),
    [
        pytest.param(16, 3, "pointwise", "pool_size 16 .* field 7 of num_convs 3 .* at least 8 or", id="far-too-small"),
        pytest.param(4, 1, "pointwise", "pool_size 4 .* field 3 of num_convs 1 .* at least 2 or", id="one-too-small"),
        pytest.param(6, 1, "dual", "pool_size 6 .* field 5 of num_convs 1 .* at least 2 or", id="dual"),
    ],
)
def test_receptive_field_below_the_pool(pool_size: int, num_convs: int, embedding: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GSSAM(8, pool_size, num_convs, embedding=embedding)


@pytest.mark.parametrize(
    ("pool_size", "num_convs", "embedding"), [(1, 0, "pointwise"), (3, 1, "pointwise"), (5, 1, "dual"), (1, 0, "dual")]
)
def test_receptive_field_of_just_the_pool(pool_size: int, num_convs: int, embedding: str) -> None:
    assert GSSAM(8, pool_size, num_convs, embedding=embedding).embedding.receptive_field == pool_size


def test_dual_reads_single_pixels_where_the_pool_is_one() -> None:
    kernels = [
        module.kernel_size for module in GSSAM(8, 1, 0, embedding="dual").modules() if isinstance(module, nn.Conv2d)
    ]
    assert kernels == [(1, 1), (1, 1)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"norm": "softmax"}, "norm must be one of sigmoid, standardize, not 'softmax'", id="norm"),
        pytest.param({"reduction": "max"}, "reduction must be one of mean, sum, not 'max'", id="reduction"),
        pytest.param({"pool_size": 0}, "pool_size must be at least 1 pixel, not 0", id="pool_size"),
    ],
)
def test_bad_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        GSSAM(**{"channels": 8, "pool_size": 4, "num_convs": 2, **options})
