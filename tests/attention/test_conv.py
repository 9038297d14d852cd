"""The ablation without sampling and comparison."""

import torch

from yolox_gssam.attention import ConvAttention


def test_map_is_the_sigmoid_of_the_weighted_channels() -> None:
    module = ConvAttention(2, 0)
    weight = torch.tensor([0.5, -2.0])
    module.embedding[0].weight.data.copy_(weight.view(1, 2, 1, 1))
    images = torch.tensor([[[[1.0, 2.0]], [[0.25, 3.0]]]])  # two pixels of two channels
    expected = 1 / (1 + torch.exp(-torch.tensor([[[[0.5 - 0.5, 1.0 - 6.0]]]])))
    torch.testing.assert_close(module.attention_map(images), expected)
    torch.testing.assert_close(module(images), images * expected)
    module.residual = True
    torch.testing.assert_close(module(images), images + images * expected)
