"""BatchNorm for maps as small as one value, against torch's."""

import pytest
import torch
from torch import nn

from yolox_gssam.attention.normalization import BatchNorm


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(2, 3, 1, 1), (1, 3, 2, 1), (1, 1, 2, 2)])
def test_equals_torch_where_torch_can(shape: tuple[int, ...], training: bool) -> None:
    ours, theirs = BatchNorm(shape[1]).train(training), nn.BatchNorm2d(shape[1]).train(training)
    images = torch.randn(shape)
    assert torch.equal(ours(images), theirs(images))
    assert torch.equal(ours.running_mean, theirs.running_mean)
    assert ours.num_batches_tracked == theirs.num_batches_tracked


def test_a_single_value_a_channel_is_normalised_by_the_running_statistics() -> None:
    module = BatchNorm(3).train()
    module.running_mean.copy_(torch.tensor([1.0, 2.0, 3.0]))
    module.running_var.fill_(4.0)
    values = module(torch.tensor([3.0, 0.0, 3.0]).view(1, 3, 1, 1))
    torch.testing.assert_close(values.flatten(), torch.tensor([1.0, -1.0, 0.0]), rtol=1e-5, atol=1e-5)
    assert module.num_batches_tracked == 0
