"""The contrast of contrast.py as a graph of plain operations, for ONNX, OpenVINO, TensorRT and TorchScript.

None of these formats has a binary search (OpenVINO's takes 20 s for an image). Here it is unrolled: log2(N) steps of
one gather and one comparison each, without a branch and without a tensor of M x N. Few pairs are broadcast here, too.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from yolox_gssam.attention.contrast import are_few_pairs

LOG_OF_NOTHING = -1e30
"""For the log of 0; an infinity less itself would not be a number."""
COARSE_STEPS = 4
"""Steps of the search, of 15 comparisons in all, that are taken without a gather."""


def exported_contrast(values: Tensor, samples: Tensor, max_samples: int, max_values: int | None = None) -> Tensor:
    """Sums |values_i - samples_j| over j, as `global_contrast` does, with the same accuracy; float32, no gradients.

    Args:
        values: (B, M).
        samples: (B, N), finite. N may vary from call to call of the exported graph.
        max_samples: the largest N that the graph will be given; sets the number of steps.
        max_values: the largest M; with `max_samples` it says whether the pairs of an image are so few that the graph
            broadcasts them. None: it does not.

    Returns:
        (B, M).
    """
    values, samples = values.float(), samples.float()
    if max_values is not None and are_few_pairs(max_values, max_samples):
        return (values.unsqueeze(2) - samples.unsqueeze(1)).abs().sum(dim=2)
    N = samples.shape[1]
    ordered = samples.sort(dim=1).values
    below = count_below(values, ordered, max_samples)
    gaps = ordered[:, 1:] - ordered[:, :-1]
    beyond = torch.arange(1, N, device=values.device).float()
    contrasts = F.pad((gaps * beyond).cumsum(1), (1, 0)) + F.pad((gaps.flip(1) * beyond).cumsum(1), (1, 0)).flip(1)
    # Of the two samples around a value, the one on the median's side: see contrast.py. Chosen for each of the N + 1
    # places that a value can have, not for each value.
    places = torch.arange(N + 1, device=values.device)
    nearest = torch.where(2 * places < N, places, places - 1)
    contrasts, ordered = contrasts.index_select(1, nearest), ordered.index_select(1, nearest)
    slopes = 2 * below.float() - N
    return take_columns(contrasts, below) + slopes * (values - take_columns(ordered, below))


def count_below(values: Tensor, ordered: Tensor, max_samples: int) -> Tensor:
    """How many of (B, N) ascending samples are smaller than each of (B, M) values: (B, M) int32."""
    B, N = ordered.shape
    steps = max_samples.bit_length()
    # The search looks up to 2**steps - 1 places far; behind the samples nothing is small enough.
    size = 2**steps
    keys = F.pad(ordered, (0, size - N), value=float("inf"))
    # Its first steps at once: to compare with a number takes a tenth of the time of a gather.
    fine = max(steps - COARSE_STEPS, 0)
    passed = torch.zeros_like(values)
    for pivot in range(2**fine - 1, size - 1, 2**fine):
        passed = passed + (keys[:, pivot : pivot + 1] < values).float()
    # All images search in one list, one part of it each: a gather from a list is the fastest there is.
    image = torch.arange(B, device=values.device, dtype=torch.int32).unsqueeze(1)
    place = image * size + passed.to(torch.int32) * 2**fine
    keys = keys.reshape(-1)
    for step in (2**exponent for exponent in reversed(range(fine))):
        place = place + (_take(keys, place + (step - 1)) < values).to(torch.int32) * step
    return place - image * size


def take_columns(table: Tensor, columns: Tensor) -> Tensor:
    """table.gather(1, columns) for (B, N) and (B, M)."""
    rows = torch.arange(table.shape[0], device=table.device, dtype=columns.dtype).unsqueeze(1)
    return _take(table.reshape(-1), rows * table.shape[1] + columns)


def log_running_sums(x: Tensor, max_samples: int) -> Tensor:
    """x.logcumsumexp(1) for (B, N) and N up to `max_samples`: each step doubles how many neighbours a sum has."""
    for step in (2**exponent for exponent in range(max_samples.bit_length())):
        x = log_sum(x, F.pad(x, (step, 0), value=LOG_OF_NOTHING)[:, :-step])
    return x


def log_sum(a: Tensor, b: Tensor) -> Tensor:
    """torch.logaddexp, which not every format has."""
    return torch.maximum(a, b) + torch.log1p(torch.exp(-(a - b).abs()))


def _take(table: Tensor, index: Tensor) -> Tensor:
    """table[index] for a list and an index of any shape; the exporters know this as one gather."""
    return F.embedding(index, table.unsqueeze(1)).squeeze(-1)
