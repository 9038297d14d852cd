"""Modules at the stages of the backbone: sizes counted by hand, and the report."""

import json
import sys
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from torch import nn

from yolox_gssam.attention import NonLocal
from yolox_gssam.common.errors import UserError
from yolox_gssam.models import STAGES
from yolox_gssam.research.benchmark.attention_cost import (
    MODES,
    count_gflops,
    measure_attention,
    prepare_call,
)
from yolox_gssam.research.benchmark.cost_report import CostSettings
from yolox_gssam.research.benchmark.variants import parse_variants

CPU = torch.device("cpu")
SMALL = ["width", "0.25", "input_size", "(64,96)"]


def test_operations_of_one_convolution() -> None:
    # 8 maps of 32 x 48, each value from 3 maps of 3 x 3; two operations a multiply-add.
    assert count_gflops(nn.Conv2d(3, 8, 3, padding=1), torch.zeros(1, 3, 32, 48)) == 2 * 8 * 32 * 48 * 27 / 1e9


def test_operations_of_a_matrix_product_within_attention() -> None:
    # 4 channels inside, 64 pixels, 16 keys: theta and W at each pixel, phi and g at each key, similarities and mixture.
    convolutions = 2 * (64 + 64 + 16 + 16) * 8 * 4
    products = 2 * 2 * 64 * 16 * 4
    module = NonLocal(8, pool_size=2).eval()
    assert count_gflops(module, torch.zeros(1, 8, 8, 8)) == (convolutions + products) / 1e9


def test_what_is_called_is_what_the_exp_file_runs() -> None:
    (variant,) = parse_variants([str(ROOT / "exps" / "nonlocal_p1.py")], SMALL, ())
    inference = prepare_call(variant, "dark2", "inference", "cpu", 0)()
    assert inference.shape == (1, 32, 16, 24)
    assert not inference.requires_grad
    result, *gradients = prepare_call(variant, "dark2", "training", "cpu", 0)()
    # The maps' gradient, then those of a weight and an offset for each of four convolutions and the BatchNorm.
    assert [gradient.shape for gradient in gradients[:1]] == [result.shape]
    assert len(gradients) == 1 + 2 * 5


def test_report(tmp_path: Path) -> None:
    texts = [f"{name}={ROOT / 'exps' / name}_p1.py" for name in ("coordinate", "gssam_sig")]
    settings = CostSettings(rounds=3, seconds=0.01, quick=True)
    report = measure_attention(parse_variants(texts, SMALL, ()), [CPU], settings)
    assert [(cell.stage, cell.variant) for cell in report.cells] == [
        (stage, variant) for stage in STAGES for variant in ("coordinate", "gssam_sig")
    ]
    for index, cell in enumerate(report.cells):
        stride, channels = 2 ** (index // 2 + 1), 16 * 2 ** (index // 2)
        assert cell.maps == (channels, 64 // stride, 96 // stride)
        assert all(0 < cell.time[mode].minimum <= cell.time[mode].p95 for mode in MODES)
        if sys.platform.startswith("linux"):
            assert all(cell.memory_bytes[mode] is not None for mode in MODES)
        if cell.variant == "coordinate":
            # 16 to 256 channels, 8 hidden: one convolution in, two out, and the BatchNorm.
            assert cell.parameters == 8 * (channels + 1) + 2 * channels * (8 + 1) + 2 * 8
    table = report.table()
    assert "quick" in table.splitlines()[0]
    assert all(f"cpu, {stage}" in table for stage in STAGES)
    assert len(json.loads(report.write(tmp_path).read_text())["cells"]) == 10


@pytest.mark.parametrize("text", ["stock", str(ROOT / "exps" / "origin.py")])
def test_a_variant_without_attention(text: str) -> None:
    with pytest.raises(UserError, match="has no attention; give an exp file that has one"):
        measure_attention(parse_variants([text], [], ()), [CPU], CostSettings())
