"""Executor of a search whose runs are trained by workers elsewhere, through a shared queue in the store."""

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from slbench.claims import read_progress
from slbench.errors import StoreError
from slbench.grid.events import AlreadyFinished, Diverged, Event, Failed, Finished, JobPruned, Progressed, Started
from slbench.grid.shared_queue import SharedQueue
from slbench.grid.slots import Device, Slot
from slbench.record import Pruned
from slbench.run_paths import RunPaths
from slbench.study import StudyRun
from slbench.train.progress import Progress

POLL_SECONDS = 1.0  # between two looks at the runs
KEEP_SECONDS = 60.0  # between two looks at the workers


@dataclass(eq=False)
class OfferedRun:
    """A run in the queue."""

    run: StudyRun
    slot: Slot
    began: float  # by the monotonic clock
    progress: Progress | None = None
    pruned: Pruned | None = None


class RemoteExecutor:
    """Offers runs to workers through a queue, and sees from the store what becomes of them.

    Args:
        capacity: runs offered at a time.
        keep_workers: called at the start and each minute; submits workers that are missing.
        on_event: called for every event.
    """

    def __init__(
        self,
        queue: SharedQueue,
        *,
        capacity: int,
        keep_workers: Callable[[], None],
        on_event: Callable[[Event], None],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.queue, self.store, self.on_event = queue, queue.store, on_event
        self.capacity, self.keep_workers, self.sleep = capacity, keep_workers, sleep
        self.offered: dict[str, OfferedRun] = {}
        self._looked = -KEEP_SECONDS

    def run(self, runs: Sequence[StudyRun], *, more: Callable[[], StudyRun | None] = lambda: None) -> int:
        """See `slbench.grid.executor.Executor.run`."""
        waiting, failed = list(runs), 0
        while True:
            while len(self.offered) < self.capacity and (run := waiting.pop(0) if waiting else more()) is not None:
                self._offer(run)
            if not self.offered:
                return failed
            if time.monotonic() - self._looked > KEEP_SECONDS:
                self._looked = time.monotonic()
                self.keep_workers()
            self.sleep(POLL_SECONDS)
            for offered in list(self.offered.values()):
                failed += self._look(offered)

    def prune(self, run: StudyRun, pruned: Pruned) -> None:
        """See `slbench.grid.executor.Executor.prune`."""
        offered = self.offered.get(run.spec.run_id)
        if offered is not None and offered.pruned is None:
            offered.pruned = pruned
            self.queue.prune(run.spec.run_id, pruned)

    def kill(self, run: StudyRun) -> bool:  # noqa: ARG002
        """See `slbench.grid.executor.Executor.kill`: it runs elsewhere."""
        return False

    def _offer(self, run: StudyRun) -> None:
        if self.store.has_ended(run.spec):
            self.on_event(AlreadyFinished(run))
            return
        used = {offered.slot.index for offered in self.offered.values()}
        index = next(i for i in range(self.capacity) if i not in used)
        slot = Slot(index, Device("a worker", "", computes_bf16=False), threads=1)
        self.offered[run.spec.run_id] = OfferedRun(run, slot, time.monotonic())
        self.queue.publish(run)
        self.on_event(Started(run, slot))

    def _look(self, offered: OfferedRun) -> int:
        """Tell what has become of a run; return 1 if it failed for good."""
        run, slot, run_id = offered.run, offered.slot, offered.run.spec.run_id
        if self.store.has_ended(run.spec):
            diverged, record = self.store.diverged(run_id), self._record(run_id)
            if diverged is not None:
                self._end(offered, Diverged(run, slot, diverged.reason))
            elif record is not None:
                self._end(offered, Finished(run, slot, record, time.monotonic() - offered.began))
        elif offered.pruned is not None:
            if not self.store.claims.seems_held(run_id):  # the worker has stopped it, or is gone
                self.store.prune(run.spec, run.labels, offered.pruned)
                self._end(offered, JobPruned(run, slot, offered.pruned))
        elif self.queue.has_failed(run_id) and not self.store.claims.seems_held(run_id):
            if (failure := self.store.failure(run_id)) is None:  # another worker began it again, and was killed
                self.queue.publish(run)
                return 0
            log = RunPaths(self.store.folder(run.spec, run.labels)).log
            self._end(offered, Failed(run, slot, failure, log, will_retry=False))
            return 1
        elif (progress := progress_of(read_progress(self.store.claims.root / run_id))) not in (None, offered.progress):
            assert progress is not None
            offered.progress = progress
            self.on_event(Progressed(run, slot, progress))
        return 0

    def _record(self, run_id: str) -> float | None:
        """Return the test accuracy of a finished run; None if its record is not readable yet."""
        with contextlib.suppress(StoreError):
            record = self.store.record(run_id)
            return None if record is None else record.final_test_top1
        return None

    def _end(self, offered: OfferedRun, event: Event) -> None:
        del self.offered[offered.run.spec.run_id]
        self.queue.withdraw(offered.run.spec.run_id)
        self.on_event(event)


def progress_of(content: dict[str, Any]) -> Progress | None:
    """Return the progress that a worker has published; None if there is none."""
    try:
        return Progress.model_validate(content)
    except ValidationError:
        return None
