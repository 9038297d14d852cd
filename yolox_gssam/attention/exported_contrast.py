"""The contrast of contrast.py as a graph of plain operations, for ONNX, OpenVINO, TensorRT and TorchScript.

None of these formats has a binary search (OpenVINO's takes 20 s for an image). Here it is unrolled: log2(N) steps of
one gather and one comparison each, without a branch and without a tensor of M x N.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


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
    B, N = samples.shape
    ordered = samples.sort(dim=1).values
    steps = max_samples.bit_length()
    # The search looks up to 2**steps - 1 places far; behind the samples nothing is small enough.
    size = 2**steps
    keys = F.pad(ordered, (0, size - N), value=float("inf")).reshape(-1)
    # All images search in one list, one part of it each: a gather from a list is the fastest there is.
    image = torch.arange(B, device=values.device).unsqueeze(1)
    place = image * size + torch.zeros_like(values, dtype=torch.int64)
    for step in (2**exponent for exponent in reversed(range(steps))):
        place = torch.where(_take(keys, place + (step - 1)) < values, place + step, place)
    below = place - image * size  # how many samples are smaller

    gaps = ordered[:, 1:] - ordered[:, :-1]
    beyond = torch.arange(1, N, device=values.device).float()
    contrasts = F.pad((gaps * beyond).cumsum(1), (1, 0)) + F.pad((gaps.flip(1) * beyond).cumsum(1), (1, 0)).flip(1)
    # Of the two samples around a value, the one on the median's side: see contrast.py.
    nearest = torch.where(2 * below < N, below, below - 1) + image * N
    slopes = 2 * below - N
    return _take(contrasts.reshape(-1), nearest) + slopes.float() * (values - _take(ordered.reshape(-1), nearest))


def _take(table: Tensor, index: Tensor) -> Tensor:
    """table[index] for a list and an index of any shape; the exporters know this as one gather."""
    return F.embedding(index, table.unsqueeze(1)).squeeze(-1)
