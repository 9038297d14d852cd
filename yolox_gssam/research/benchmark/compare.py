"""Variants measured in turn, and what their times say about one another."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

from yolox_gssam.research.benchmark.machine import synchronize

T = TypeVar("T")

RESAMPLES = 2000
SHORTEST, LONGEST = 0.001, 0.5
"""Seconds between which the turns of short calls last, unless a single call takes longer."""


@dataclass(frozen=True)
class Ratio:
    """How many times as fast as the first variant: the median over the rounds, and its 95 % interval."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f} to {self.high:.2f})"


def measure_in_turn(
    variants: Mapping[str, Callable[[int], T]], rounds: range, seed: int, done: Callable[[], object] = lambda: None
) -> dict[str, list[T]]:
    """What every variant, a function of the round's number, returned in each round.

    The order within each round is drawn anew by `seed`: no variant always follows the same one. `done` is called after
    each call.
    """
    names = list(variants)
    results: dict[str, list[T]] = {name: [] for name in names}
    rng = np.random.default_rng(seed)
    for number in rounds:
        for index in rng.permutation(len(names)):
            results[names[index]].append(variants[names[index]](number))
            done()
    return results


def time_calls_in_turn(
    variants: Mapping[str, Callable[[], object]], device: torch.device, rounds: int, seconds: float, seed: int
) -> dict[str, list[float]]:
    """Seconds per call of every variant, one number a round, after a call that does not count.

    There are three to `rounds` rounds; after so many seconds no further one begins. A turn of each variant is as many
    calls as the slowest needs for one, in `SHORTEST` to `LONGEST` seconds: a busy machine interrupts every long call
    and hardly one of the short.
    """

    def mean_seconds(variant: str, calls: int) -> float:
        synchronize(device)
        start = time.perf_counter()
        for _ in range(calls):
            variants[variant]()
        synchronize(device)
        return (time.perf_counter() - start) / calls

    for variant in variants:
        mean_seconds(variant, 1)  # what happens at the first call only
    once = {variant: mean_seconds(variant, 1) for variant in variants}
    turn_seconds = min(max(SHORTEST, max(once.values())), LONGEST)
    calls = {variant: max(1, round(turn_seconds / once[variant])) for variant in variants}
    round_seconds = sum(once[variant] * calls[variant] for variant in variants)
    turns = {variant: lambda _, variant=variant: mean_seconds(variant, calls[variant]) for variant in variants}
    return measure_in_turn(turns, range(max(3, min(rounds, int(seconds / round_seconds)))), seed)


def speed_ratio(first: Sequence[float], other: Sequence[float], seed: int = 0) -> Ratio:
    """How many times as fast `other` is as `first`, times of the same rounds, above 0, in any unit.

    What disturbs a machine lasts longer than a turn, so the two times of one round are divided, not the two medians.
    The bootstrap draws rounds with replacement.

    Raises:
        ValueError: no round, or another number of rounds.
    """
    ratios = np.divide(first, other)
    if not ratios.size:
        raise ValueError("a ratio needs a round")
    drawn = np.random.default_rng(seed).choice(ratios, (RESAMPLES, ratios.size))
    low, high = np.percentile(np.median(drawn, axis=1), (2.5, 97.5))
    return Ratio(float(np.median(ratios)), float(low), float(high))
