"""Coordinate attention, against its equations written out and the authors' counts."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from yolox_gssam.attention import CoordinateAttention
from yolox_gssam.common.errors import UserError


def test_parameters_added_to_mobilenetv2() -> None:
    """mbv2_ca.py of github.com/houqb/CoordAttention: one module in each block that expands its channels by 6.

    MobileNetV2 has 3.50 million parameters, 3.95 with them (Table 4 of the paper).
    """
    widths = [96] + 2 * [144] + 3 * [192] + 4 * [384] + 3 * [576] + 3 * [960]
    added = sum(p.numel() for width in widths for p in CoordinateAttention(width).parameters())
    assert round((3_504_872 + added) / 1e6, 2) == 3.95


@pytest.mark.parametrize(("channels", "hidden"), [(16, 8), (256, 8), (512, 16)])
def test_hidden_width_is_at_least_eight(channels: int, hidden: int) -> None:
    module = CoordinateAttention(channels)
    assert module.encode[0].out_channels == hidden
    parameters = channels * hidden + hidden + 2 * hidden + 2 * (hidden * channels + channels)
    assert sum(p.numel() for p in module.parameters()) == parameters


def test_follows_the_equations() -> None:
    module = CoordinateAttention(1).eval()
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm2d):
            layer.eps = 0
    module.encode[0].weight.data[0] = 2.0
    module.row.weight.data[0, 0], module.column.weight.data[0, 0] = 1.0, -1.0
    images = torch.tensor([[[[1.0, 2.0, 3.0], [-4.0, 0.5, 0.5]]]])
    # Rows: means 2 and -1; columns: -1.5, 1.25, 1.75. Doubled, then z * relu6(z + 3) / 6.
    rows = torch.tensor([4.0, -2 * 1 / 6]).view(2, 1)
    columns = torch.tensor([0.0, 2.5 * 5.5 / 6, 3.5]).view(1, 3)
    torch.testing.assert_close(module(images), images * rows.sigmoid() * (-columns).sigmoid())


def test_weights_are_a_row_times_a_column() -> None:
    module = CoordinateAttention(16).double().eval()
    images = torch.randn(2, 16, 9, 6, dtype=torch.float64)
    weights = module(images) / images
    ranks = torch.linalg.matrix_rank(weights, rtol=1e-9)
    assert torch.equal(ranks, torch.ones_like(ranks))
    rows, columns = module.row_and_column_maps(images)
    torch.testing.assert_close(weights, rows * columns)
    torch.testing.assert_close(module.attention_map(images), weights.mean(dim=1, keepdim=True))


def test_pixels_within_a_row_may_change_places_for_the_rows() -> None:
    module = CoordinateAttention(16).eval()
    images = torch.randn(2, 16, 9, 6)
    rows, columns = module.row_and_column_maps(images)
    shuffled_rows, shuffled_columns = module.row_and_column_maps(images[..., [3, 0, 5, 1, 4, 2]])
    torch.testing.assert_close(shuffled_rows, rows)
    torch.testing.assert_close(shuffled_columns, columns[..., [3, 0, 5, 1, 4, 2]])


def test_one_batchnorm_counts_rows_and_columns_together() -> None:
    module = CoordinateAttention(4).train()
    module.encode[1].momentum = 1.0
    images = torch.randn(2, 4, 9, 6)
    module(images)
    together = torch.cat((images.mean(3), images.mean(2)), dim=2)
    encoded: Tensor = F.conv1d(together, module.encode[0].weight.flatten(2), module.encode[0].bias)
    torch.testing.assert_close(module.encode[1].running_mean, encoded.mean(dim=(0, 2)))


def test_bad_reduction() -> None:
    with pytest.raises(UserError, match="reduction must be at least 1, not 0"):
        CoordinateAttention(8, reduction=0)
