"""The global contrast, against a broadcast in float64."""

import json
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from yolox_gssam.attention import contrast as contrast_module
from yolox_gssam.attention import global_contrast

HALF_TYPES = [torch.float16, torch.bfloat16]


@pytest.fixture(autouse=True, params=["by size", "sorted"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every test twice: as it is, which broadcasts few pairs, and with all of them sorted."""
    if request.param == "sorted":
        monkeypatch.setattr(contrast_module, "FEW_PAIRS", 0)
    return str(request.param)


def broadcast(values: Tensor, samples: Tensor) -> Tensor:
    """The definition, (B, M, N) in memory."""
    return (values[:, :, None] - samples[:, None]).abs().sum(-1)


def relative_error(values: Tensor, samples: Tensor) -> float:
    """The largest against the definition in float64; an absolute one where the truth is 0."""
    truth = torch.cat([broadcast(part, samples.double()) for part in values.double().split(10_000, dim=1)], dim=1)
    error = (global_contrast(values, samples) - truth).abs()
    return float((error / truth.where(truth > 0, 1)).max())


def neighbours(samples: Tensor) -> Tensor:
    """Each sample, and the two float32 numbers next to it."""
    above = torch.nextafter(samples, torch.full_like(samples, torch.inf))
    below = torch.nextafter(samples, torch.full_like(samples, -torch.inf))
    return torch.cat((below, samples, above), dim=1)


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def powers_of_ten(*shape: int, seed: int = 0) -> Tensor:
    """Both signs, 1e-30 to 1e30."""
    return randn(*shape, seed=seed).sign() * 10 ** (15 * randn(*shape, seed=seed + 1)).clamp(-30, 30)


@pytest.mark.parametrize(
    ("values", "samples"),
    [
        pytest.param(randn(1, 102_400), randn(1, 400, seed=1), id="a-stage-at-640"),
        pytest.param(1e3 + randn(1, 102_400), 1e3 + randn(1, 400, seed=1), id="offset"),
        pytest.param(randn(3, 50), randn(3, 400, seed=1), id="fewer-values-than-samples"),
        pytest.param(randn(3, 50), randn(3, 1, seed=1), id="one-sample"),
        pytest.param(randn(3, 1), randn(3, 40, seed=1), id="one-value"),
        pytest.param(randn(3, 50), torch.ones(3, 40), id="equal-samples"),
        pytest.param(torch.ones(3, 50), torch.ones(3, 40), id="all-equal"),
        pytest.param(randn(3, 500).round(), randn(3, 90, seed=1).round(), id="many-ties"),
        pytest.param(torch.tensor([[-0.0, 0.0, 1.0]]), torch.tensor([[0.0, -0.0, -1.0]]), id="two-zeros"),
        pytest.param(neighbours(1e3 + randn(9, 1)), 1e3 + randn(9, 1), id="one-sample-next-to-the-value"),
        pytest.param(neighbours(1e3 + randn(9, 2)), 1e3 + randn(9, 2), id="two-samples-next-to-the-value"),
        pytest.param(1e30 * randn(1, 500), 1e30 * randn(1, 40, seed=1), id="huge"),
        pytest.param(1e-40 * randn(1, 500), 1e-40 * randn(1, 40, seed=1), id="subnormal"),
        pytest.param(powers_of_ten(2, 500), powers_of_ten(2, 40, seed=2), id="mixed-scales"),
        pytest.param(randn(1, 500), torch.cat((randn(1, 40), torch.tensor([[1e6, -1e6]])), dim=1), id="far-samples"),
    ],
)
def test_equals_the_broadcast(values: Tensor, samples: Tensor) -> None:
    assert relative_error(values, samples) <= 1e-6


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 8, 9, 31, 32, 33, 1600])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_many_values_in_several_rows(count: int, dtype: torch.dtype) -> None:
    samples = randn(3, count, seed=1).to(dtype)
    ties_and_more = torch.cat((samples, neighbours(samples), randn(3, 4000).to(dtype)), dim=1)
    assert relative_error(ties_and_more, samples) <= 1e-6
    few = [global_contrast(part, samples) for part in ties_and_more.split(500, dim=1)]
    assert torch.equal(global_contrast(ties_and_more, samples), torch.cat(few, dim=1))


def test_many_seeds_near_ties() -> None:
    for seed in range(200):
        samples = (1 + randn(4, 1 + seed % 5, seed=seed)) * 10.0 ** (seed % 60 - 30)
        assert relative_error(neighbours(samples), samples) <= 1e-6


@pytest.mark.parametrize(
    ("values", "samples"),
    [
        pytest.param([[0.3, -1.2, 2.0, 0.9]], [[0.5, -0.4, 1.1]], id="no-ties"),
        pytest.param([[0.0, -0.0, 1.0, 0.5, 2.0, 7.0]], [[0.0, 1.0, 1.0, 2.0]], id="ties"),
        pytest.param([[1.0, 1.0], [2.0, 3.0]], [[1.0, 1.0, 1.0], [3.0, 2.0, 3.0]], id="equal-samples"),
        pytest.param([[1.0]], [[1.0]], id="one-of-each-tied"),
        pytest.param([[5.0, -3.0]], [[1.0]], id="one-sample"),
    ],
)
def test_gradients(values: list[list[float]], samples: list[list[float]]) -> None:
    arguments = [torch.tensor(rows, dtype=torch.float64, requires_grad=True) for rows in (values, samples)]
    assert torch.autograd.gradcheck(global_contrast, arguments)
    assert torch.autograd.gradcheck(broadcast, arguments), "the reference agrees on ties"


@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_gradients_of_a_stage_equal_the_broadcasts(offset: float) -> None:
    values, samples, weights = offset + randn(2, 6400), offset + randn(2, 400, seed=1), randn(2, 6400, seed=2)
    values[:, :400] = samples
    ours = torch.autograd.grad(
        global_contrast(values.requires_grad_(), samples.requires_grad_()), [values, samples], weights
    )
    wide = [values.detach().double().requires_grad_(), samples.detach().double().requires_grad_()]
    truth = torch.autograd.grad(broadcast(*wide), wide, weights.double())
    for gradient, expected in zip(ours, truth, strict=True):
        torch.testing.assert_close(gradient, expected.float(), rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("dtype", HALF_TYPES)
def test_half_types_are_computed_in_float32(dtype: torch.dtype) -> None:
    values = (1e4 * randn(1, 200)).to(dtype).requires_grad_()
    samples = (1e4 * randn(1, 400, seed=1)).to(dtype).requires_grad_()
    contrast = global_contrast(values, samples)
    assert contrast.dtype == torch.float32
    assert contrast.max() > torch.finfo(torch.float16).max
    torch.testing.assert_close(contrast, broadcast(values.double(), samples.double()).float(), rtol=1e-6, atol=0)
    contrast.mean().backward()
    assert values.grad.dtype == samples.grad.dtype == dtype


def test_float64_stays_float64() -> None:
    values, samples = 1e3 + randn(1, 500).double(), randn(1, 40, seed=1)
    contrast = global_contrast(values, samples)
    torch.testing.assert_close(contrast, broadcast(values, samples.double()), rtol=1e-14, atol=0)


def test_autocast_changes_nothing() -> None:
    values, samples = 1e3 + randn(1, 500), 1e3 + randn(1, 40, seed=1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(global_contrast(values, samples), broadcast(values.double(), samples.double()).float())


def test_any_strides_and_arguments_stay_as_they_are() -> None:
    values, samples = randn(50, 3).T, randn(1, 40, seed=1).expand(3, -1)
    before = values.clone(), samples.clone()
    assert relative_error(values, samples) <= 1e-6
    assert torch.equal(values, before[0])
    assert torch.equal(samples, before[1])


@pytest.mark.parametrize("shape", [(0, 5), (2, 0), (0, 0)])
def test_empty(shape: tuple[int, int]) -> None:
    values, samples = torch.zeros(shape, requires_grad=True), torch.zeros(shape[0], 3, requires_grad=True)
    contrast = global_contrast(values, samples)
    contrast.sum().backward()
    assert contrast.shape == values.grad.shape == shape
    assert torch.equal(samples.grad, torch.zeros(shape[0], 3))


@pytest.mark.parametrize("times", [1, 1000])
def test_nan_stays_in_its_row_and_infinity_is_far(times: int) -> None:
    values = torch.tensor([[0.0, torch.nan, torch.inf, -torch.inf], [0.0, 1.0, 2.0, 3.0], [0.0, 1.0, 2.0, 3.0]])
    values = values.repeat(1, times)
    samples = torch.tensor([[1.0, 2.0], [torch.nan, 0.0], [1.0, 2.0]])
    expected = torch.tensor([[3.0, torch.nan, torch.inf, torch.inf], [torch.nan] * 4, [3.0, 1.0, 1.0, 3.0]])
    expected = expected.repeat(1, times)
    torch.testing.assert_close(global_contrast(values, samples), expected, equal_nan=True)


@pytest.mark.parametrize(
    ("values", "samples", "message"),
    [
        pytest.param(randn(2, 3), randn(2, 0), r"N >= 1, not \(2, 3\) and \(2, 0\)", id="no-sample"),
        pytest.param(randn(2, 3), randn(1, 3), r"\(2, 3\) and \(1, 3\)", id="other-batch"),
        pytest.param(randn(3), randn(2, 3), "flatten each image", id="not-a-matrix"),
        pytest.param(torch.ones(2, 3, dtype=torch.int64), randn(2, 3), "floating, not torch.int64", id="integers"),
    ],
)
def test_bad_arguments(values: Tensor, samples: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        global_contrast(values, samples)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_cuda_equals_the_broadcast() -> None:
    values, samples = (1e3 + randn(4, 6400)).cuda(), (1e3 + randn(4, 400, seed=1)).cuda()
    assert relative_error(values, samples) <= 1e-6
    arguments = [randn(2, 9).double().cuda().requires_grad_(), randn(2, 4, seed=1).double().cuda().requires_grad_()]
    assert torch.autograd.gradcheck(global_contrast, arguments)


# What it costs, at B = 1, M = 102,400 (a 320 x 320 map), N = 400.

Contrast = Callable[[Tensor, Tensor], Tensor]


@pytest.fixture
def stage() -> Iterator[tuple[Tensor, Tensor]]:
    """Values and samples; one thread, so that other processes do not hold up half of an operation."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield randn(1, 102_400).requires_grad_(), randn(1, 400, seed=1).requires_grad_()
    torch.set_num_threads(threads)


def forward(contrast: Contrast, values: Tensor, samples: Tensor) -> Tensor:
    with torch.no_grad():
        return contrast(values, samples)


def forward_backward(contrast: Contrast, values: Tensor, samples: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(contrast(values, samples), [values, samples], torch.ones_like(values))


def median_speedup(run: Callable[..., object], stage: tuple[Tensor, Tensor]) -> float:
    """Time of the broadcast over ours: medians, the two in turn."""
    seconds: dict[Contrast, list[float]] = {broadcast: [], global_contrast: []}
    for _ in range(4):
        for contrast in (broadcast, global_contrast, global_contrast, global_contrast):
            start = time.perf_counter()
            run(contrast, *stage)
            seconds[contrast].append(time.perf_counter() - start)
    return statistics.median(seconds[broadcast]) / statistics.median(seconds[global_contrast])


@pytest.mark.alone
@pytest.mark.parametrize(
    ("run", "at_least"),
    [pytest.param(forward, 40, id="forward"), pytest.param(forward_backward, 100, id="and-backward")],
)
def test_faster_than_the_broadcast(run: Callable[..., object], at_least: float, stage: tuple[Tensor, Tensor]) -> None:
    run(global_contrast, *stage)
    speedups: list[float] = []
    # A busy machine can spoil one measurement, a slow implementation spoils all of them.
    while len(speedups) < 4 and max(speedups, default=0.0) < at_least:
        speedups.append(median_speedup(run, stage))
    assert max(speedups) >= at_least, speedups


def peak_bytes(run: Callable[..., object], trace: Path, *arguments: object) -> int:
    """The most that torch's CPU allocator held at once during `run`, over what it held before; results included.

    The profiler notes every allocation, also those inside an operation, and every release.
    """
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        results = run(*arguments)
    profiler.export_chrome_trace(str(trace))
    del results
    events = [event for event in json.loads(trace.read_text())["traceEvents"] if event.get("name") == "[memory]"]
    held = peak = 0
    for event in sorted(events, key=lambda event: event["ts"]):
        held += event["args"]["Bytes"]
        peak = max(peak, held)
    return peak


@pytest.mark.parametrize("run", [forward, forward_backward])
@pytest.mark.parametrize("shape", [(1, 102_400), (4, 25_600), (2, 400)])
def test_peak_memory(run: Callable[..., object], shape: tuple[int, int], way: str, tmp_path: Path) -> None:
    values, samples = randn(*shape).requires_grad_(), randn(shape[0], 400, seed=1).requires_grad_()
    elements = values.numel() + samples.numel()
    table = 0 if way == "sorted" else 2**22
    assert peak_bytes(run, tmp_path / "trace.json", global_contrast, values, samples) <= 40 * elements + table


def test_few_pairs_are_broadcast_and_many_are_not(tmp_path: Path, way: str) -> None:
    """Seen by the memory they take: 4 bytes a pair, of a million pairs without gradients, of a quarter with them."""
    if way == "sorted":
        pytest.skip("all pairs are many")
    for run, most in ((forward, 2**20), (forward_backward, 2**18)):
        for count, is_table in ((most // 256, True), (most // 256 + 1, False)):
            values, samples = randn(1, count).requires_grad_(), randn(1, 256, seed=1).requires_grad_()
            peak = peak_bytes(run, tmp_path / "trace.json", global_contrast, values, samples)
            assert (peak >= 4 * 256 * count) == is_table


@pytest.mark.parametrize("count", [2**10, 2**10 + 1])
def test_both_ways_give_the_same_at_their_border(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    values, samples, weights = randn(1, count), randn(1, 256, seed=1), randn(1, count, seed=2)
    values[:, :256] = samples

    def results() -> tuple[Tensor, ...]:
        arguments = [values.clone().requires_grad_(), samples.clone().requires_grad_()]
        found = global_contrast(*arguments)
        return (found.detach(), *torch.autograd.grad(found, arguments, weights))

    ours = results()
    monkeypatch.setattr(contrast_module, "FEW_PAIRS", 0)
    for one, other in zip(ours, results(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-4)


def test_peak_memory_of_the_broadcast_is_seen(tmp_path: Path) -> None:
    assert peak_bytes(forward, tmp_path / "trace.json", broadcast, randn(2, 300), randn(2, 400)) >= 4 * 2 * 300 * 400
