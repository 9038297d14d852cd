"""Iterators that run in threads of their own, so that the stages of a pipeline overlap."""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def in_thread(items: Iterable[T], ahead: int, newest: bool = False) -> Generator[T, None, None]:
    """Gives what `items` gives, in order, made in a thread that runs in front of whoever takes it.

    An error of `items` is raised here, behind the items before it. The thread starts when the first item is asked for
    and ends with this generator, so use it within `contextlib.closing`: that waits for the item in the making and for
    the end of `items`, if it is a generator, in that thread.

    Args:
        ahead: so many items wait to be taken at most; one more is in the making, or made and without a place.
        newest: make items without a pause; where too many wait, the oldest is dropped.
    """
    waiting: deque[T] = deque()
    changed = threading.Condition()
    error: BaseException | None = None
    ended = closed = False

    def put(item: T) -> bool:
        with changed:
            if newest and len(waiting) == ahead:
                waiting.popleft()
            changed.wait_for(lambda: len(waiting) < ahead or closed)
            waiting.append(item)
            changed.notify()
            return not closed

    def make() -> None:
        nonlocal error, ended
        try:
            for item in items:
                if not put(item):
                    break
            if isinstance(items, Generator):
                items.close()
        except BaseException as raised:  # raised again below, by the thread that takes the items
            error = raised
        with changed:
            ended = True
            changed.notify()

    thread = threading.Thread(target=make, daemon=True)
    thread.start()
    try:
        while True:
            with changed:
                changed.wait_for(lambda: waiting or ended)
                if not waiting:
                    break
                item = waiting.popleft()
                changed.notify()
            yield item
    finally:
        with changed:
            closed = True
            changed.notify()
        thread.join()
    if error is not None:
        raise error


def map_in_threads(
    function: Callable[[T], R], items: Iterable[T], workers: int, ahead: int
) -> Generator[R, None, None]:
    """`map` by threads, in order, with at most `ahead` results waiting, so that memory stays bounded."""
    pending: deque[Future[R]] = deque()
    with ThreadPoolExecutor(max(1, workers)) as pool:
        try:
            for item in items:
                pending.append(pool.submit(function, item))
                if len(pending) > ahead:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            # After an error nobody waits for the rest.
            for future in pending:
                future.cancel()
