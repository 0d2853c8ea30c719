"""Work done by threads ahead of whoever needs its results."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from slbench.machine import usable_cores

T = TypeVar("T")
R = TypeVar("R")

AHEAD = 512  # results that may wait


def ahead(
    tasks: Iterable[T], do: Callable[[T], R], *, threads: int | None = None, most: int = AHEAD
) -> Generator[R, None, None]:
    """The result of each task, in the order of the tasks, whatever the number of threads.

    Args:
        do: must be safe in threads; what it raises is raised where its result would have been given.
        threads: by default one for each core that this process may use.
        most: tasks that are begun before their results are asked for.
    """
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(threads or usable_cores()) as pool:
        try:
            for task in tasks:
                waiting.append(pool.submit(do, task))
                if len(waiting) == most:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
