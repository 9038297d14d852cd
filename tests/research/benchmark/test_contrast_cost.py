"""The rivals of the global contrast, and the report of both."""

import json
from pathlib import Path

import pytest
import torch

from yolox_gssam.evaluation.timing import Milliseconds
from yolox_gssam.research.benchmark import contrast_cost
from yolox_gssam.research.benchmark.compare import Ratio
from yolox_gssam.research.benchmark.contrast_cost import (
    MODES,
    VARIANTS,
    ContrastCost,
    measure_contrast,
    run,
    targets,
)
from yolox_gssam.research.benchmark.cost_report import CostSettings

CPU = torch.device("cpu")


@pytest.mark.parametrize("mode", MODES)
def test_all_variants_compute_the_same(mode: str) -> None:
    generator = torch.Generator().manual_seed(0)
    values, samples, weights = (torch.randn(2, count, generator=generator).requires_grad_() for count in (50, 7, 50))
    results = [run(variant, mode, values, samples, weights.detach()) for variant in VARIANTS]
    assert len(results[0]) == (1 if mode == "forward" else 3)
    for other in results[1:]:
        torch.testing.assert_close(other, results[0], rtol=1e-4, atol=1e-5)


def test_sizes_are_measured_and_rivals_that_would_not_fit_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Enough for 8 or 16 bytes for each of 10 x 4 differences, not for each of 1000 x 4.
    monkeypatch.setattr(contrast_cost, "free_bytes", lambda device: 20_000)
    report = measure_contrast([CPU], (10, 1000), (4,), CostSettings(rounds=4, quick=True))
    cells = {(cell.mode, cell.variant, cell.values): cell for cell in report.cells}
    assert len(cells) == len(MODES) * len(VARIANTS) * 2
    for (_, variant, values), cell in cells.items():
        measured = values == 10 or variant == "global_contrast"
        assert (cell.left_out is None) == (cell.time is not None) == measured
        if variant == "global_contrast":
            assert cell.ratio == Ratio(1, 1, 1)
    table = report.table()
    assert "quick" in table.splitlines()[0]
    assert "needs 0.0 GiB" in table
    assert "102,400" not in table
    content = json.loads(report.write(tmp_path).read_text())
    assert content["settings"]["quick"] is True
    assert len(content["cells"]) == len(cells)


@pytest.mark.parametrize(("ratio", "word"), [(39.9, "missed"), (40.0, "reached")])
def test_the_target_is_judged_at_a_stage_on_the_cpu(ratio: float, word: str) -> None:
    time = Milliseconds(1, 1, 1, 1)
    cells = [
        ContrastCost(device, "forward", variant, values, 400, None, time, Ratio(ratio, ratio, ratio))
        for device in ("cpu", "cuda")
        for variant in VARIANTS
        for values in (400, 102_400)
    ]
    lines = [line for line in targets(cells) if word in line]
    assert len(lines) == 1
    assert lines[0].startswith("M = 102,400, N = 400, CPU, forward: ")
    assert "at least 40 times" in lines[0]
