"""Turns and ratios against what can be counted by hand."""

from collections import Counter
from functools import partial
from itertools import pairwise

import pytest
import torch

from yolox_gssam.research.benchmark import compare
from yolox_gssam.research.benchmark.compare import Ratio, measure_in_turn, speed_ratio, time_calls_in_turn


def test_a_ratio_is_the_median_over_the_rounds() -> None:
    # The second round was slow for both: the ratio of the medians would be 10 / 2.
    ratio = speed_ratio([4.0, 60.0, 10.0], [1.0, 20.0, 2.0])
    assert ratio.median == 4
    assert (ratio.low, ratio.high) == (3, 5)


def test_the_interval_is_that_of_the_resampled_medians() -> None:
    # Of two rounds a quarter of the resamples holds only the first, and a quarter only the second.
    assert speed_ratio([1.0, 3.0], [1.0, 1.0]) == Ratio(2, 1, 3)
    # Of 39 equal rounds and one other, next to no resample has another median.
    assert speed_ratio([2.0] * 39 + [50.0], [1.0] * 40) == Ratio(2, 2, 2)


def test_more_rounds_narrow_the_interval_and_a_seed_repeats_it() -> None:
    few, many = [1.0, 1.1, 1.2, 1.3], [1.0, 1.1, 1.2, 1.3] * 50
    narrow, wide = speed_ratio(many, [1.0] * 200), speed_ratio(few, [1.0] * 4)
    assert narrow.high - narrow.low < wide.high - wide.low
    assert speed_ratio(many, [1.0] * 200, seed=7) == speed_ratio(many, [1.0] * 200, seed=7)


@pytest.mark.parametrize("times", [([], []), ([1.0, 2.0], [1.0, 2.0, 3.0])])
def test_rounds_that_do_not_match(times: tuple[list[float], list[float]]) -> None:
    with pytest.raises(ValueError, match=r"needs a round|broadcast"):
        speed_ratio(*times)


def drawn_orders(names: str, rounds: int, seed: int) -> list[str]:
    """The order of the variants in each round."""
    calls: list[str] = []
    measure_in_turn({name: lambda _, name=name: calls.append(name) for name in names}, range(rounds), seed)
    return ["".join(calls[start : start + len(names)]) for start in range(0, len(calls), len(names))]


def test_every_variant_follows_every_other_one() -> None:
    drawn = drawn_orders("abc", 600, seed=0)
    assert all(sorted(order) == ["a", "b", "c"] for order in drawn)
    followers = Counter(pair for order in drawn for pair in pairwise(order))
    assert len(followers) == 6
    # Each of the six pairs is expected in a third of the rounds.
    assert all(150 < count < 250 for count in followers.values())
    assert drawn_orders("ab", 9, seed=3) == drawn_orders("ab", 9, seed=3)


def test_variants_are_called_once_a_round_with_its_number() -> None:
    calls: list[tuple[str, int]] = []
    done: list[None] = []

    def variant(name: str, number: int) -> str:
        calls.append((name, number))
        return f"{name}{number}"

    variants = {name: lambda number, name=name: variant(name, number) for name in "abc"}
    results = measure_in_turn(variants, range(5, 9), seed=1, done=lambda: done.append(None))
    assert results == {name: [f"{name}{number}" for number in range(5, 9)] for name in "abc"}
    assert [sorted(calls[start : start + 3]) for start in range(0, 12, 3)] == [
        [(name, number) for name in "abc"] for number in range(5, 9)
    ]
    assert len({tuple(name for name, _ in calls[start : start + 3]) for start in range(0, 12, 3)}) > 1
    assert len(done) == 12


def test_a_turn_of_a_short_call_is_many_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(compare, "SHORTEST", 1e-4)
    variants = {name: partial(calls.append, name) for name in "ab"}
    times = time_calls_in_turn(variants, torch.device("cpu"), 3, 20.0, seed=0)
    assert {name: len(seconds) for name, seconds in times.items()} == {"a": 3, "b": 3}
    # An empty call takes about a microsecond.
    assert len(calls) > 3 * 2 * 5
