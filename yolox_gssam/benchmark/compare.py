"""Sides measured in turn, and what their times say about one another."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

T = TypeVar("T")

RESAMPLES = 2000
"""Of the bootstrap."""


@dataclass(frozen=True)
class Ratio:
    """How many times as fast as the first side: the median over the rounds, and its 95 % interval."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f} to {self.high:.2f})"


def orders(names: Sequence[str], seed: int) -> Iterator[list[str]]:
    """For each round, without end, the names in an order drawn anew: no side always follows the same one."""
    rng = np.random.default_rng(seed)
    while True:
        yield [names[index] for index in rng.permutation(len(names))]


def measure_in_turn(
    sides: Mapping[str, Callable[[int], T]], rounds: range, seed: int, done: Callable[[], object] = lambda: None
) -> dict[str, list[T]]:
    """Calls every side once a round; a round's sides see the same number of the round.

    Args:
        sides: name -> function of the round's number.
        rounds: numbers of the rounds.
        seed: of the order within each round.
        done: called after each call.

    Returns:
        name -> what the function returned, in the order of the rounds.
    """
    results: dict[str, list[T]] = {name: [] for name in sides}
    for number, order in zip(rounds, orders(list(sides), seed), strict=False):
        for name in order:
            results[name].append(sides[name](number))
            done()
    return results


def speed_ratio(first: Sequence[float], other: Sequence[float], seed: int = 0) -> Ratio:
    """How many times as fast `other` is as `first`.

    What disturbs a machine lasts longer than a turn, so the two times of one round are divided, not the two medians.

    Args:
        first, other: times of the same rounds, above 0, in any unit.
        seed: of the bootstrap, which draws rounds with replacement.

    Raises:
        ValueError: no round, or another number of rounds.
    """
    ratios = np.divide(first, other)
    if not ratios.size:
        raise ValueError("a ratio needs a round")
    drawn = np.random.default_rng(seed).choice(ratios, (RESAMPLES, ratios.size))
    low, high = np.percentile(np.median(drawn, axis=1), (2.5, 97.5))
    return Ratio(float(np.median(ratios)), float(low), float(high))
