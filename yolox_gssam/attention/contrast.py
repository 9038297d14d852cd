"""Eq. 3 of the GSSAM paper (see gssam.py): how far each value lies from all samples together.

As printed it is `broadcast_contrast`, three lines, and a table of M x N differences: its cost, as the paper says.
`global_contrast` gives the same numbers in O(M + N) memory. It chooses its way by itself:

- few pairs: broadcast, which takes less time than the many operations of the others;
- many: the samples are sorted once and each value looks up its place among them (`_SortedContrast`);
- while a graph is traced for export: a search unrolled into plain operations (exported_contrast.py).
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from yolox_gssam.attention.exported_contrast import exported_contrast

FEW_PAIRS = 2**18
"""So many pairs of a value and a sample are broadcast where gradients are wanted, and four times as many without.

On one thread of an AMD EPYC the two ways took the same time, forward and backward, at about 350,000 pairs, and forward
alone at about 1,400,000. The table has at most 4 MiB in float32."""
FEW_PAIRS_ON_CUDA = 2**22
"""On CUDA, where pairs cost memory rather than time: 50 MB at most. An H200 takes 0.3 ms for 6,400 x 400 pairs, forward
and backward, and 1.4 ms to sort and look up; at 102,400 x 400 still 0.7 and 1.6 ms, but 490 and 2.5 MB."""
FEW_KEYS = 8192
"""Fewer keys than these are looked up one by one."""


def broadcast_contrast(values: Tensor, samples: Tensor) -> Tensor:
    """Eq. 3 as printed: (B, M) and (B, N) -> (B, M), the sum of |values_i - samples_j| over j."""
    differences = values.unsqueeze(2) - samples.unsqueeze(1)  # (B, M, N)
    return differences.abs_().sum(dim=2)


def global_contrast(values: Tensor, samples: Tensor, largest: tuple[int, int] | None = None) -> Tensor:
    """The same sum, in O((M + N) log N) time and O(M + N) memory, plus at most 4 MiB.

    In float32 the peak beyond `FEW_PAIRS`, results and gradients included, is 24 bytes a value where M is far above N,
    about 40 an element at M = N, 68 a sample where N is far above M. Few pairs are broadcast; the shapes, and whether
    gradients are wanted, alone say which way is taken.

    How: f(v) = sum_j |v - s_j| is a chain of straight lines with a bend at each sample. One binary search gives the
    line that a value lies on; then f(v) = f(s) + slope * (v - s), where s is the sample at that line's end on the
    median's side and slope = #(samples below v) - #(samples above v).

    Why it is exact: slope and v - s have the same sign, and f(s) is a sum of gaps between neighbouring samples with
    counts as weights. No term is negative, so nothing cancels, wherever the values lie: the relative error is a few
    roundings of the result's own dtype (below 3e-7 in float32). The gradient's slope is a count, without any error.

    Args:
        values: (B, M) of any floating dtype; B and M may be 0.
        samples: (B, N), N >= 1.
        largest: the largest M and N that a graph of variable size will be given; None: those that it is traced with.
            Without effect where nothing is traced.

    Returns:
        (B, M) in float64 if an argument is, otherwise in float32: a sum of half precision differences may leave the
        range of float16. NaN for a NaN value, and for a whole row with a NaN sample. Gradients reach both arguments,
        with sign(0) = 0 at ties as in `torch.abs`; there is no second derivative.

    Raises:
        ValueError: other shapes, or dtypes that are not floating.
    """
    if torch.jit.is_tracing():
        most_values, most_samples = largest or (int(values.shape[1]), int(samples.shape[1]))
        values, samples = values.float(), samples.float()
        if are_few_pairs(most_values, most_samples):
            return broadcast_contrast(values, samples)
        return exported_contrast(values, samples, most_samples)
    if values.ndim != 2 or samples.ndim != 2 or values.shape[0] != samples.shape[0] or samples.shape[1] == 0:
        raise ValueError(
            "values and samples must be (B, M) and (B, N) with N >= 1, not"
            f" {tuple(values.shape)} and {tuple(samples.shape)}; flatten each image to one row"
        )
    if not (values.is_floating_point() and samples.is_floating_point()):
        raise ValueError(f"values and samples must be floating, not {values.dtype} and {samples.dtype}; convert them")
    dtype = torch.float64 if torch.float64 in (values.dtype, samples.dtype) else torch.float32
    values, samples = values.to(dtype).contiguous(), samples.to(dtype).contiguous()
    with_gradients = torch.is_grad_enabled() and (values.requires_grad or samples.requires_grad)
    on_cuda = values.device.type == "cuda"
    is_few = are_few_pairs(values.numel(), samples.shape[1], with_gradients, on_cuda)
    contrast: Tensor = (_BroadcastContrast if is_few else _SortedContrast).apply(values, samples)
    return contrast


def are_few_pairs(values: int, samples: int, with_gradients: bool = False, on_cuda: bool = False) -> bool:
    """Whether so many values, each with so many samples, are compared faster pair by pair."""
    if on_cuda:
        return values * samples <= FEW_PAIRS_ON_CUDA
    return values * samples <= (FEW_PAIRS if with_gradients else 4 * FEW_PAIRS)


class _BroadcastContrast(torch.autograd.Function):
    """Keeps no table for the backward pass, which needs signs and not differences."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, samples: Tensor) -> Tensor:
        ctx.save_for_backward(values, samples)
        return broadcast_contrast(values, samples)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None]:
        values, samples = ctx.saved_tensors
        signs = (values.unsqueeze(2) - samples.unsqueeze(1)).sign_()
        grad_values = grad * signs.sum(dim=2)
        # Not a matrix product, which a GPU may round to ten bits.
        return grad_values, signs.mul_(grad.unsqueeze(2)).sum(dim=1).neg_() if ctx.needs_input_grad[1] else None


class _SortedContrast(torch.autograd.Function):
    """Works with rank(x) = #(samples < x) + #(samples <= x), from 0 to 2N: the slope at x is rank(x) - N, at ties too,
    and sign(v - s) = sign(rank(v) - rank(s)) for every sample s."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, samples: Tensor) -> Tensor:
        ordered = samples.sort(dim=1).values
        keys = _sortable(ordered)
        # Among integers key <= x is key - 1 < x, so one search in both lists together gives the rank.
        bends = torch.cat((keys - 1, keys), dim=1).sort(dim=1).values
        ranks = _search(bends, _sortable(values))
        slopes = ranks.to(values.dtype).sub_(samples.shape[1])
        sample_ranks = torch.searchsorted(bends, _sortable(samples)) if ctx.needs_input_grad[1] else None
        ctx.save_for_backward(ranks, slopes, sample_ranks)

        shortfalls = _by_rank(ordered).gather(1, ranks).sub_(values)  # s - v
        return _by_rank(_contrast_of_sorted(ordered)).gather(1, ranks).addcmul_(shortfalls, slopes, value=-1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None]:
        ranks, slopes, sample_ranks = ctx.saved_tensors
        if sample_ranks is None:
            return grad * slopes, None
        # For each sample: the sum of grad over the values of lower rank, less the sum over those of higher rank.
        sums = grad.new_zeros(len(grad), 2 * sample_ranks.shape[1] + 1, dtype=_sum_dtype(grad))
        sums = sums.scatter_add_(1, ranks, grad.to(sums.dtype)).cumsum(dim=1)
        grad_samples = sums.gather(1, sample_ranks - 1) - (sums[:, -1:] - sums.gather(1, sample_ranks))
        return grad * slopes, grad_samples.to(grad.dtype)


def _sortable(x: Tensor) -> Tensor:
    """Integers in the order of `x`, equal where `x` is equal; a search among them is faster than among floats."""
    bits = (x + 0.0).view(torch.int64 if x.dtype == torch.float64 else torch.int32)  # -0.0 + 0.0 is 0.0
    info = torch.iinfo(bits.dtype)
    # A float holds sign and magnitude: the bits of the negative ones grow the wrong way, so all but the sign turn.
    return bits.bitwise_xor_((bits >> (info.bits - 1)).bitwise_and_(info.max))


def _search(ordered: Tensor, keys: Tensor) -> Tensor:
    """As torch.searchsorted: for (B, n) ascending integers and (B, M) keys, (B, M) int64, how many are below each key.

    torch's own search branches at each step, and a CPU guesses every other branch wrong: 50 ns a key. Here all keys
    halve their range together, a comparison and an addition a step, without branches: 10 ns a key. Each step is three
    operations, which few keys are not worth; a GPU does better with the one kernel.
    """
    if keys.device.type != "cpu" or keys.numel() < FEW_KEYS:
        return torch.searchsorted(ordered, keys)
    B, n = ordered.shape
    step = 2 ** (n.bit_length() - 1)
    # Rows of 2 * step, so that all take the same steps; no key is above the padding.
    table = ordered.new_full((B, 2 * step), torch.iinfo(keys.dtype).max)
    table[:, :n] = ordered
    table = table.view(-1)
    starts = torch.arange(0, len(table), 2 * step, dtype=torch.int32)[:, None]  # (B, 1)
    places = starts.repeat(1, keys.shape[1]).view(-1)
    keys = keys.view(-1)
    below = torch.empty_like(keys)
    while step:
        # Where the element that ends the next `step` of them is below the key, so are they all.
        torch.index_select(table[step - 1 :], 0, places, out=below)
        torch.lt(below, keys, out=below)
        places.add_(below, alpha=step)
        step //= 2
    return places.view(B, -1).sub_(starts).long()


def _contrast_of_sorted(ordered: Tensor) -> Tensor:
    """(B, N) ascending samples -> (B, N), their own contrast: each gap on the way counts once per sample beyond it."""
    gaps = ordered.diff(dim=1)
    beyond = torch.arange(1, ordered.shape[1], device=ordered.device)

    def from_one_side(gaps: Tensor) -> Tensor:
        return F.pad((gaps * beyond).cumsum(dim=1, dtype=_sum_dtype(gaps)), (1, 0))

    return (from_one_side(gaps) + from_one_side(gaps.flip(1)).flip(1)).to(ordered.dtype)


def _by_rank(per_sample: Tensor) -> Tensor:
    """(B, N), a number for each sorted sample -> (B, 2N + 1): for each rank, that of its line's end near the median."""
    N = per_sample.shape[1]
    twice = per_sample.repeat_interleave(2, dim=1)
    return torch.cat((twice[:, : N + 1], twice[:, N:]), dim=1)


def _sum_dtype(x: Tensor) -> torch.dtype:
    """Running sums are kept in float64, which MPS lacks; without cancellation float32 serves there too."""
    return torch.float32 if x.device.type == "mps" else torch.float64
