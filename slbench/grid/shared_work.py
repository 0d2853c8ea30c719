"""Train the runs of a shared queue, which a search elsewhere fills."""

import dataclasses
import time
from collections.abc import Callable

from slbench.grid.events import Event, Failed, GridStopped, Progressed
from slbench.grid.executor import Executor, Limits, MakeExecutor
from slbench.grid.launch import Outcome, PreparedGrid
from slbench.grid.local import LocalExecutor
from slbench.grid.queue import Policy
from slbench.grid.shared_queue import SharedQueue

POLL_SECONDS = 1.0  # between two looks at an empty queue


def train_queue(
    queue: SharedQueue,
    grid: PreparedGrid,
    *,
    policy: Policy,
    limits: Limits,
    on_event: Callable[[Event], None],
    make: MakeExecutor = LocalExecutor,
) -> Outcome:
    """Claim and train runs of a queue until it is closed, a limit is reached, or it is empty for too long."""
    stops, failed, begun = list[GridStopped](), 0, time.monotonic()
    idle_since = begun

    def see(event: Event) -> None:
        nonlocal idle_since
        idle_since = time.monotonic()
        if isinstance(event, Failed) and not event.will_retry:
            queue.fail(event.run.spec.run_id)
        elif isinstance(event, Progressed) and (pruned := queue.pruned(event.run.spec.run_id)) is not None:
            executor.prune(event.run, pruned)
        elif isinstance(event, GridStopped) and event.limit != "claims":
            stops.append(event)
        on_event(event)

    executor: Executor = make(
        grid.slots,
        store=grid.store,
        precisions=grid.precisions,
        on_event=see,
        policy=policy,
        limits=dataclasses.replace(limits, wait=lambda: False),
    )
    while not queue.is_closed and not stops:
        failed += executor.run([], more=queue.next)
        now = time.monotonic()
        if limits.max_seconds is not None and now - begun > limits.max_seconds:
            return Outcome(failed, stopped=False, clean=False, limit="max time")
        if limits.idle_seconds is not None and now - idle_since > limits.idle_seconds:
            return Outcome(failed, stopped=False, clean=False, limit="idle")
        time.sleep(POLL_SECONDS)
    return Outcome(
        failed,
        stopped=any(not stop.is_limit for stop in stops),
        clean=False,
        limit=next((stop.limit for stop in stops if stop.is_limit), ""),
        reason="; ".join(stop.reason for stop in stops),
    )
