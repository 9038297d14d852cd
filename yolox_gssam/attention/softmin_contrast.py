"""How far each value lies from the nearest samples, as a soft minimum: an option of GSSAM that its paper has not."""

import torch
import torch.nn.functional as F
from torch import Tensor

from yolox_gssam.attention.exported_contrast import (
    LOG_OF_NOTHING,
    count_below,
    log_running_sums,
    log_sum,
    take_columns,
)

_EPS = 1e-6  # far under the variance of an embedding that says anything


def softmin_contrast(values: Tensor, samples: Tensor) -> Tensor:
    """-log of the mean over j of exp(-|values_i - samples_j| / h), with h = N ** (-1 / 5) * deviation of the values.

    Around 0 where most samples are alike the value, log N at a sample that no other comes near, more beyond: up to a
    constant, minus the log of a kernel density estimate of the samples. The power of N is that of Scott's width (D. W.
    Scott, Multivariate Density Estimation, 1992); in deviations, the range of the embedding does not matter.

    How, in O((M + N) log N): among sorted samples the sum falls into exp(s_j - v) below the value and exp(v - s_j)
    above it; of either, the logarithm of the running sum is known.

    Args:
        values: (B, M) floating, M >= 1.
        samples: (B, N), N >= 1.

    Returns:
        (B, M), at least float32, with gradients to both arguments.
    """
    values, ordered = _normalised(values, samples)
    # The log of the sum over the k smallest samples, and over all the others: (B, N + 1), by k.
    below = F.pad(ordered.logcumsumexp(dim=1), (1, 0), value=-torch.inf)
    above = F.pad((-ordered).flip(1).logcumsumexp(dim=1), (1, 0), value=-torch.inf).flip(1)
    smaller = torch.searchsorted(ordered, values)
    sums = torch.logaddexp(below.gather(1, smaller) - values, above.gather(1, smaller) + values)
    return _log_count(ordered) - sums


def exported_softmin_contrast(values: Tensor, samples: Tensor, max_samples: int) -> Tensor:
    """The same as a graph of plain operations, see `exported_contrast`; float32, no gradients.

    Args:
        max_samples: the largest N that the graph will be given.
    """
    values, ordered = _normalised(values.float(), samples.float())
    below = F.pad(log_running_sums(ordered, max_samples), (1, 0), value=LOG_OF_NOTHING)
    above = F.pad(log_running_sums((-ordered).flip(1), max_samples), (1, 0), value=LOG_OF_NOTHING).flip(1)
    smaller = count_below(values, ordered, max_samples)
    sums = log_sum(take_columns(below, smaller) - values, take_columns(above, smaller) + values)
    return _log_count(ordered) - sums


def _normalised(values: Tensor, samples: Tensor) -> tuple[Tensor, Tensor]:
    """Both in units of h, the samples sorted."""
    dtype = torch.float64 if torch.float64 in (values.dtype, samples.dtype) else torch.float32
    values, samples = values.to(dtype), samples.to(dtype)
    # Only differences count; around 0 they keep the most digits.
    centre = values.mean(dim=1, keepdim=True)
    values, samples = values - centre, samples - centre
    variance = values.square().mean(dim=1, keepdim=True)
    width = (variance + _EPS).sqrt() * torch.exp(-0.2 * _log_count(samples))
    return values / width, (samples / width).sort(dim=1).values


def _log_count(samples: Tensor) -> Tensor:
    """log N for (B, N), (B, 1); a tensor, so that an exported graph of variable size counts anew."""
    return torch.ones_like(samples).sum(dim=1, keepdim=True).log()
