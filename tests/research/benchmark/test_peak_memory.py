"""The peak of work whose memory is known."""

import os
import sys
from collections.abc import Callable

import pytest
import torch

from yolox_gssam.common.errors import UserError
from yolox_gssam.research.benchmark.peak_memory import peak_memory

CPU = torch.device("cpu")
MIB = 2**20
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems do not tell the memory")


def hold(before: int, during: int, at_the_end: int) -> Callable[[], object]:
    """Work that holds so many MiB for a moment and returns so many, beside what was there before."""
    there = torch.ones(before * MIB, dtype=torch.uint8)

    def work() -> object:
        passing = torch.ones(during * MIB, dtype=torch.uint8)
        del passing
        return there, torch.ones(at_the_end * MIB, dtype=torch.uint8)

    return work


def fail() -> Callable[[], object]:
    raise ArithmeticError("no sum")


def end() -> Callable[[], object]:
    os._exit(3)


@linux
@pytest.mark.parametrize(
    ("held", "expected"),
    [
        pytest.param((0, 64, 0), 64, id="freed before the end"),
        pytest.param((0, 0, 48), 48, id="result"),
        pytest.param((64, 32, 8), 32, id="what was there does not count"),
    ],
)
def test_the_peak(held: tuple[int, int, int], expected: int) -> None:
    peak = peak_memory(hold, held, CPU)
    assert peak is not None
    # Linux counts pages in batches, for each thread its own: the numbers are right to about 1 MiB.
    assert (expected - 1) * MIB <= peak <= (expected + 4) * MIB


@pytest.mark.parametrize(
    ("work", "message"),
    [pytest.param(fail, "ArithmeticError: no sum", id="raises"), pytest.param(end, "without a word", id="ends")],
)
def test_work_that_fails(work: Callable[..., Callable[[], object]], message: str) -> None:
    with pytest.raises(UserError, match=message):
        peak_memory(work, (), CPU)
