"""Work done by threads ahead of whoever needs its results."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from slbench.machine import usable_cores

T = TypeVar("T")
R = TypeVar("R")

GROUP = 16  # tasks that a thread takes at once: handing over a small image costs as much as decoding it
GROUPS = 32  # that may be begun before their results are asked for


def prefetch(
    tasks: Iterable[T],
    do: Callable[[T], R],
    *,
    threads: int | None = None,
    group: int = GROUP,
    groups: int = GROUPS,
) -> Generator[R, None, None]:
    """The result of each task, in the order of the tasks, whatever the number of threads.

    Args:
        do: must be safe in threads; what it raises is raised where its result would have been given.
        threads: by default one for each core that this process may use.
    """

    def done(some: list[T]) -> tuple[list[R], Exception | None]:
        results: list[R] = []
        try:
            for task in some:
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
                    some = list(islice(source, group))
                    more = len(some) == group
                    waiting.append(pool.submit(done, some))
                    continue
                results, error = waiting.popleft().result()
                yield from results
                if error is not None:
                    raise error
        finally:
            for future in waiting:
                future.cancel()
