"""Compute results in threads ahead of their use."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from slbench.machine import usable_cores

T = TypeVar("T")
R = TypeVar("R")

GROUP = 16  # tasks per thread call: passing a small image costs as much as decoding it
GROUPS = 32  # groups in flight


def prefetch(
    tasks: Iterable[T],
    do: Callable[[T], R],
    *,
    threads: int | None = None,
    group: int = GROUP,
    groups: int = GROUPS,
) -> Generator[R, None, None]:
    """Yield the result of each task in order, independent of the number of threads.

    Args:
        do: thread-safe; its exception is raised in place of its result.
        threads: default: one per usable core.
    """

    def run_group(batch: list[T]) -> tuple[list[R], Exception | None]:
        results: list[R] = []
        try:
            for task in batch:
                results.append(do(task))
        except Exception as error:
            return results, error
        return results, None

    waiting: deque[Future[tuple[list[R], Exception | None]]] = deque()
    source, more = iter(tasks), True
    with ThreadPoolExecutor(threads or usable_cores()) as pool:
        try:
            while more or waiting:
                if more and len(waiting) < groups:
                    batch = list(islice(source, group))
                    more = len(batch) == group
                    waiting.append(pool.submit(run_group, batch))
                    continue
                results, error = waiting.popleft().result()
                yield from results
                if error is not None:
                    raise error
        finally:
            for future in waiting:
                future.cancel()
