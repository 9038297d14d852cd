"""The contrast of contrast.py as a graph of plain operations, for ONNX, OpenVINO, TensorRT and TorchScript.

None of these formats has a binary search (OpenVINO's takes 20 s for an image). Here it is unrolled: log2(N) steps of
one gather and one comparison each, without a branch and without a tensor of M x N.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

COARSE_STEPS = 4
"""Steps of the search, of 15 comparisons in all, that are taken without a gather."""


def exported_contrast(values: Tensor, samples: Tensor, max_samples: int) -> Tensor:
    """Sums |values_i - samples_j| over j, as `global_contrast` does, with the same accuracy; float32, no gradients.

    Args:
        values: (B, M).
        samples: (B, N), finite. N may vary from call to call of the exported graph.
        max_samples: the largest N that the graph will be given; sets the number of steps.

    Returns:
        (B, M).
    """
    values, samples = values.float(), samples.float()
    N = samples.shape[1]
    ordered = samples.sort(dim=1).values
    below = _count_below(values, ordered, max_samples)
    gaps = ordered[:, 1:] - ordered[:, :-1]
    beyond = torch.arange(1, N, device=values.device).float()
    contrasts = F.pad((gaps * beyond).cumsum(1), (1, 0)) + F.pad((gaps.flip(1) * beyond).cumsum(1), (1, 0)).flip(1)
    # Of the two samples around a value, the one on the median's side: see contrast.py. Chosen for each of the N + 1
    # places that a value can have, not for each value.
    places = torch.arange(N + 1, device=values.device)
    nearest = torch.where(2 * places < N, places, places - 1)
    contrasts, ordered = contrasts.index_select(1, nearest), ordered.index_select(1, nearest)
    slopes = 2 * below.float() - N
    return _take_columns(contrasts, below) + slopes * (values - _take_columns(ordered, below))


def _count_below(values: Tensor, ordered: Tensor, max_samples: int) -> Tensor:
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


def _take_columns(table: Tensor, columns: Tensor) -> Tensor:
    """table.gather(1, columns) for (B, N) and (B, M)."""
    rows = torch.arange(table.shape[0], device=table.device, dtype=columns.dtype).unsqueeze(1)
    return _take(table.reshape(-1), rows * table.shape[1] + columns)


def _take(table: Tensor, index: Tensor) -> Tensor:
    """table[index] for a list and an index of any shape; the exporters know this as one gather."""
    return F.embedding(index, table.unsqueeze(1)).squeeze(-1)
