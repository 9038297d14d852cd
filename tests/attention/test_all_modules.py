"""What every attention module does: same shape, any size, half precision, gradients, one trace for all sizes."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from yolox_gssam.attention import attention_names, build_attention

CHANNELS = 8
MODULES: dict[str, tuple[str, dict[str, Any]]] = {
    "bam": ("bam", {"reduction": 4}),
    "cbam": ("cbam", {"reduction": 4}),
    "conv": ("conv", {"num_convs": 2, "residual": True}),
    "conv-dual": ("conv", {"num_convs": 2, "embedding": "dual"}),
    "coordinate": ("coordinate", {}),
    "ema_attention": ("ema_attention", {"groups": 4}),
    "ema_attention-one-channel-a-group": ("ema_attention", {"groups": 8}),
    "gam": ("gam", {}),
    "gam-grouped": ("gam", {"groups": 2, "padding": "replicate"}),
    "gam-without-sigmoid": ("gam", {"channel_sigmoid": False}),
    "gssam": ("gssam", {"pool_size": 4, "num_convs": 2}),
    "nonlocal": ("nonlocal", {}),
    "nonlocal-pooled": ("nonlocal", {"pool_size": 4}),
    "se": ("se", {"reduction": 4}),
}
WITHOUT_MAP = {"nonlocal", "se"}
# Those that may give more than the input, and an input whose output float16 holds; others get 10,000.
ENLARGING = {"bam": 1e3, "conv": 1e3, "gam-without-sigmoid": 100, "nonlocal": 1e4, "nonlocal-pooled": 1e4}


def make(name: str) -> nn.Module:
    """A module whose BatchNorms scale at random: a fresh non-local block scales by 0 and changes nothing."""
    kind, options = MODULES[name]
    module = build_attention(kind, CHANNELS, **options)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.weight.data.uniform_(0.5, 1.5)
            layer.bias.data.normal_(0, 0.1)
    return module


def random_images(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def test_all_modules_are_here() -> None:
    assert {kind for kind, _ in MODULES.values()} == set(attention_names())


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size_hw", [(1, 1), (1, 6), (7, 5), (33, 17)])
def test_trains_at_any_size(name: str, size_hw: tuple[int, int], memory_format: torch.memory_format) -> None:
    module = make(name).to(memory_format=memory_format).train()
    for batch in (1, 2):
        images = random_images(batch, CHANNELS, *size_hw).to(memory_format=memory_format).requires_grad_()
        before = images.detach().clone()
        attended = module(images)
        assert attended.shape == images.shape
        assert attended.is_contiguous(memory_format=memory_format)
        attended.square().sum().backward()
        assert images.grad.isfinite().all()
        assert all(parameter.grad.isfinite().all() for parameter in module.parameters())
        assert torch.equal(images, before)


@pytest.mark.parametrize("name", MODULES)
def test_every_parameter_learns(name: str) -> None:
    """But offsets that a later step takes away: a BatchNorm, a softmax, a contrast."""
    module = make(name).train()
    module(random_images(2, CHANNELS, 16, 16)).square().sum().backward()
    still = [part for part, parameter in module.named_parameters() if parameter.grad.abs().max() < 1e-4]
    assert all(part.endswith("bias") for part in still), still


@pytest.mark.parametrize("autocast", [False, True], ids=["half", "autocast"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", MODULES)
def test_half_precision(name: str, dtype: torch.dtype, autocast: bool) -> None:
    module, images = make(name), ENLARGING.get(name, 1e4) * random_images(1, CHANNELS, 9, 9)
    if not autocast:
        module, images = module.to(dtype), images.to(dtype)
    images.requires_grad_()
    with torch.autocast("cpu", dtype=dtype, enabled=autocast):
        attended = module(images)
    assert attended.dtype == images.dtype
    assert attended.isfinite().all()
    if name not in ENLARGING:
        assert (attended.abs() <= images.abs()).all()
    attended.float().mean().backward()
    assert images.grad.isfinite().all()


@pytest.mark.parametrize("name", MODULES)
def test_gradients_in_double(name: str) -> None:
    module = make(name).double().train()
    assert torch.autograd.gradcheck(module, random_images(2, CHANNELS, 5, 3).double().requires_grad_())


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_map(name: str, dtype: torch.dtype) -> None:
    module = make(name).to(dtype).eval()
    assert hasattr(module, "attention_map") == (MODULES[name][0] not in WITHOUT_MAP)
    if hasattr(module, "attention_map"):
        attention = module.attention_map(random_images(2, CHANNELS, 7, 5).to(dtype))
        assert attention.shape == (2, 1, 7, 5)
        assert attention.dtype == dtype
        assert attention.min() >= 0
        assert attention.max() <= 1


@pytest.mark.parametrize("name", MODULES)
def test_images_of_a_batch_do_not_see_one_another(name: str) -> None:
    module = make(name).double().eval()
    images = random_images(3, CHANNELS, 9, 7).double()
    alone = torch.cat([module(image[None]) for image in images])
    torch.testing.assert_close(module(images), alone, rtol=1e-10, atol=1e-12)


# GSSAM: test_exported_contrast.py. The strips of the convolutions of one channel hold for the sizes of a network only.
@pytest.mark.parametrize("name", [name for name in MODULES if MODULES[name][0] not in ("conv", "gssam")])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::torch.jit.TracerWarning")
def test_one_trace_holds_for_other_sizes(name: str) -> None:
    module = make(name).eval()
    with torch.no_grad(), torch.jit.optimized_execution(False):
        trace = torch.jit.trace(module, (torch.rand(1, CHANNELS, 48, 80),), check_trace=False)
        for size_hw in ((1, 1), (32, 64), (95, 31)):
            images = random_images(2, CHANNELS, *size_hw)
            torch.testing.assert_close(trace(images), module(images), rtol=1e-5, atol=1e-6)
