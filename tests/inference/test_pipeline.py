import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from yolox_gssam.common.errors import UserError
from yolox_gssam.inference.pipeline import in_thread, map_in_threads


@pytest.fixture(autouse=True)
def no_thread_is_left_behind() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.001)
    return condition()


class Source:
    """Counts as a generator that tells how far it is, which thread runs it and whether its end was reached."""

    def __init__(self, count: int, fails_at: int | None = None) -> None:
        self.count = count
        self.fails_at = fails_at
        self.made = 0
        self.thread: threading.Thread | None = None
        self.ended_in: threading.Thread | None = None

    def items(self) -> Iterator[int]:
        self.thread = threading.current_thread()
        try:
            for number in range(self.count):
                if number == self.fails_at:
                    raise UserError(f"item {number} is damaged")
                self.made += 1
                yield number
        finally:
            self.ended_in = threading.current_thread()


@pytest.mark.parametrize("ahead", [1, 2, 7])
@pytest.mark.parametrize("count", [0, 1, 500])
def test_all_items_in_order(count: int, ahead: int) -> None:
    assert list(in_thread(range(count), ahead)) == list(range(count))


def test_it_runs_in_a_thread_of_its_own_and_ends_there() -> None:
    source = Source(5)
    assert list(in_thread(source.items(), 2)) == [0, 1, 2, 3, 4]
    assert source.thread is not threading.current_thread()
    assert source.ended_in is source.thread


def test_stages_overlap() -> None:
    """Each stage waits for the other to be at another item at the same time: one after the other, neither ever is."""
    both = threading.Barrier(2)

    def first() -> Iterator[int]:
        for number in range(20):
            if number > 0:
                both.wait(timeout=10)
            yield number

    for number in in_thread(first(), 1):
        if number < 19:
            both.wait(timeout=10)


@pytest.mark.parametrize("ahead", [1, 3])
def test_no_more_than_the_bound_is_made_ahead(ahead: int) -> None:
    source = Source(100)
    with closing(in_thread(source.items(), ahead)) as items:
        for taken in range(1, 6):
            assert next(items) == taken - 1
            assert wait_until(lambda most=taken + ahead + 1: source.made == most)
            time.sleep(0.02)
            assert source.made == taken + ahead + 1


def test_nothing_is_made_before_it_is_asked_for() -> None:
    source = Source(3)
    items = in_thread(source.items(), 1)
    time.sleep(0.02)
    assert source.thread is None
    items.close()


def test_an_error_comes_behind_the_items_before_it() -> None:
    source = Source(10, fails_at=3)
    taken = []
    with pytest.raises(UserError, match="item 3 is damaged") as raised:
        for number in in_thread(source.items(), 5):
            taken.append(number)
    assert taken == [0, 1, 2]
    assert any(entry.name == "items" for entry in raised.traceback), "the place of the error is lost"
    assert source.ended_in is source.thread


def test_an_error_between_two_threads_ends_both() -> None:
    source = Source(1000)

    def halve(numbers: Iterator[int]) -> Iterator[float]:
        for number in numbers:
            if number == 4:
                raise ZeroDivisionError("in the middle")
            yield number / 2

    with closing(in_thread(source.items(), 2)) as numbers, closing(in_thread(halve(numbers), 2)) as halves:
        taken = []
        with pytest.raises(ZeroDivisionError, match="in the middle"):
            taken.extend(halves)
    assert source.made < 20
    assert source.ended_in is source.thread


def test_an_error_of_the_first_thread_passes_through_the_second() -> None:
    source = Source(10, fails_at=6)
    taken = []
    with (
        pytest.raises(UserError, match="item 6 is damaged"),
        closing(in_thread(source.items(), 2)) as numbers,
        closing(in_thread((2 * n for n in numbers), 2)) as doubles,
    ):
        for number in doubles:
            taken.append(number)
    assert taken == [0, 2, 4, 6, 8, 10]


def test_an_error_of_the_consumer_ends_the_threads() -> None:
    source = Source(1000)
    with (
        pytest.raises(KeyError),
        closing(in_thread(source.items(), 2)) as numbers,
        closing(in_thread((2 * n for n in numbers), 2)) as doubles,
    ):
        for number in doubles:
            if number == 6:
                raise KeyError
    assert source.made < 20
    assert source.ended_in is source.thread


@pytest.mark.parametrize("taken", [0, 1, 5], ids=lambda taken: f"after-{taken}")
def test_closed_early(taken: int) -> None:
    source = Source(1000)
    items = in_thread(source.items(), 2)
    for _ in range(taken):
        next(items)
    items.close()
    assert source.made <= taken + 3
    assert source.ended_in is source.thread
    assert list(items) == []


def test_closing_waits_for_the_item_in_the_making() -> None:
    making, go_on = threading.Event(), threading.Event()

    def slow() -> Iterator[int]:
        yield 0
        making.set()
        assert go_on.wait(10)
        yield 1

    items = in_thread(slow(), 1)
    assert next(items) == 0
    assert making.wait(10)
    timer = threading.Timer(0.05, go_on.set)
    timer.start()
    items.close()
    assert go_on.is_set()
    timer.join()


def test_an_error_behind_the_last_item_taken_is_nobodys() -> None:
    source = Source(10, fails_at=2)
    items = in_thread(source.items(), 5)
    assert next(items) == 0
    assert wait_until(lambda: source.ended_in is not None)
    items.close()


def test_the_newest_items_of_a_source_that_does_not_wait() -> None:
    """A camera: the consumer gets where the source is, not where it was."""
    first_taken, all_made = threading.Event(), threading.Event()

    def camera() -> Iterator[int]:
        yield 0
        assert first_taken.wait(10)
        yield from range(1, 50)
        all_made.set()

    with closing(in_thread(camera(), 2, newest=True)) as items:
        assert next(items) == 0
        first_taken.set()
        assert all_made.wait(10), "it waited for the consumer"
        assert list(items) == [48, 49]


def test_the_newest_drops_nothing_for_a_consumer_that_keeps_up() -> None:
    asked = threading.Semaphore(1)

    def camera() -> Iterator[int]:
        for number in range(20):
            asked.acquire()
            yield number

    taken = []
    for number in in_thread(camera(), 1, newest=True):
        taken.append(number)
        asked.release()
    assert taken == list(range(20))


@pytest.mark.parametrize("workers", [1, 3])
def test_map_keeps_the_order_and_its_bound(workers: int) -> None:
    asked: list[int] = []

    def items() -> Iterator[int]:
        for number in range(20):
            asked.append(number)
            yield number

    results = map_in_threads(lambda number: time.sleep(0.002 * (number % 3)) or -number, items(), workers, 4)
    for number, result in enumerate(results):
        assert result == -number
        assert len(asked) <= number + 6


def test_map_hands_on_an_error_and_ends() -> None:
    results = map_in_threads(lambda number: 1 // number, [1, 1, 0, 1], 2, 1)
    with pytest.raises(ZeroDivisionError):
        list(results)
    assert list(map_in_threads(lambda number: 2 * number, [], 2, 1)) == []
