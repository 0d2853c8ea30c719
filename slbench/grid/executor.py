"""What a grid, a search and a verification need from whatever runs their jobs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from slbench.grid.events import Event, Limit
from slbench.grid.queue import Policy
from slbench.grid.slots import Resolved, Slot
from slbench.recipes import Precision
from slbench.record import Pruned
from slbench.store import Store
from slbench.study import StudyRun
from slbench.train.tracking import Tracking


class Executor(Protocol):
    """Runs jobs on slots and files their records in a store.

    Every run is claimed in the store before it starts, so that any number of executors work on one store.
    """

    def run(self, runs: Sequence[StudyRun], *, more: Callable[[], StudyRun | None] = ...) -> int:
        """Run all, in order, as slots become free; return the number of failed runs.

        Args:
            more: called for another run when a slot is free. None: there is none now, or, while no job is running,
                none at all. A run that is finished already becomes AlreadyFinished.
        """

    def prune(self, run: StudyRun, pruned: Pruned) -> None:
        """Stop a run after its current step, if it is running here. Its metrics and checkpoint are kept."""

    def kill(self, run: StudyRun) -> bool:
        """Kill the process of a run; return False if it is not running here. May be called from any thread."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How long an executor goes on.

    Args:
        wait: called while no remaining run can start here, as others have claimed them: whether to wait for them, and
            take them over if their owner dies.
        idle_seconds: of waiting with no job running, after which it ends; None: no limit.
        max_seconds: after which running jobs stop at a checkpoint and no more are started; None: no limit.
        signals: numbers of the signals at which running jobs stop at a checkpoint and no more are started, each with
            the limit that it means.
        holds: whether the time left is enough for a run.
    """

    wait: Callable[[], bool] = lambda: True
    idle_seconds: float | None = None
    max_seconds: float | None = None
    signals: Mapping[int, Limit] = field(default_factory=dict)
    holds: Callable[[StudyRun], bool] = lambda run: True


NO_LIMITS = Limits()


class MakeExecutor(Protocol):
    """Constructor of an executor."""

    def __call__(
        self,
        slots: Sequence[Slot],
        *,
        store: Store,
        precisions: Mapping[Precision, Resolved],
        on_event: Callable[[Event], None],
        policy: Policy = ...,
        limits: Limits = ...,
        tracking: Tracking | None = None,
    ) -> Executor: ...
