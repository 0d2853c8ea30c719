"""Which run starts next on which device, and what follows from a failure: free of processes, files and clocks."""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from slbench.grid.slots import Device, Slot
from slbench.record import Failure
from slbench.study import StudyRun

OnMismatch = Literal["wait", "restart"]


@dataclass(frozen=True, kw_only=True)
class Policy:
    """Retries, limits and checkpoint interval of a grid."""

    retries: int = 0  # per job that failed
    timeout: float | None = None  # seconds per attempt
    fail_fast: bool = False  # stop the grid at the first failure
    max_failures: int | None = None  # with the same cause; then no more jobs are started
    checkpoint_seconds: float = 300.0  # between two checkpoints within an epoch
    max_runs: int | None = None  # different runs to start; then no more are started
    on_mismatch: OnMismatch = "restart"  # a run whose checkpoint does not continue bit by bit here: begin it again, or
    # leave it to a process where it does


DEFAULT_POLICY = Policy()


@dataclass(eq=False, slots=True)
class QueuedRun:
    """A run to do, with its failures so far."""

    run: StudyRun
    failures: int = 0
    out_of_memory: int = 0
    alone: Device | None = None  # run only on this device, without other jobs on it
    not_before: float = 0.0  # time of the next attempt to claim it


@dataclass(frozen=True)
class Consequences:
    """What follows from a failure."""

    will_retry: bool
    retired: tuple[Slot, ...] = ()  # slots of one device that start no more jobs
    stop: str | None = None  # why the queue stops
    end_others: bool = False  # also end the running jobs


class RunQueue:
    """Runs to do, the slots of this machine, and the runs in progress on them.

    Args:
        store: name of the store in messages.
    """

    def __init__(self, slots: Sequence[Slot], *, policy: Policy = DEFAULT_POLICY, store: str = "") -> None:
        self.slots, self.policy, self.store = list(slots), policy, store
        self.waiting = deque[QueuedRun]()
        self.running: dict[Slot, QueuedRun] = {}
        self.failed = 0  # runs that failed for good
        self.stopped = False
        self._causes = Counter[str]()
        self._started = set[str]()  # run ids
        self._ever_alone = False  # whether any run has needed a device alone

    def add(self, runs: Iterable[StudyRun]) -> None:
        self.waiting.extend(QueuedRun(run) for run in runs)

    @property
    def free_slots(self) -> list[Slot]:
        return [slot for slot in self.slots if slot not in self.running]

    @property
    def has_room(self) -> bool:
        """Whether more runs may be asked for: as many wait as there are slots, and the limit of runs allows another."""
        limit = self.policy.max_runs
        allowed = limit is None or len(self._started) < limit
        return allowed and not self.stopped and len(self.waiting) < len(self.slots)

    def ready(self, device: Device, now: float) -> Iterator[QueuedRun]:
        """Yield the runs that can start on a device now, in order of preference; the queue must not change meanwhile.

        A run that needs the device alone waits until nothing else runs there, and nothing else starts meanwhile.
        """
        if self._ever_alone:
            beside = [task for slot, task in self.running.items() if slot.device == device]
            exclusive = [task for task in self._startable(now) if task.alone == device]
            if beside and (exclusive or any(task.alone for task in beside)):
                return
            yield from exclusive
        yield from (task for task in self._startable(now) if task.alone is None)

    def require_alone(self, task: QueuedRun, device: Device) -> None:
        """Have a run wait until nothing else runs on a device."""
        task.alone, self._ever_alone = device, True

    def _startable(self, now: float) -> Iterator[QueuedRun]:
        return (task for task in self.waiting if task.not_before <= now and self._may_start(task))

    def start(self, task: QueuedRun, slot: Slot) -> None:
        """Move a waiting run to a slot."""
        self.waiting.remove(task)
        self.running[slot] = task
        self._started.add(task.run.spec.run_id)

    def put_back(self, slot: Slot) -> None:
        """Make the run of a slot the next one to start, as if it had not been started."""
        task = self.running.pop(slot)
        self._started.discard(task.run.spec.run_id)
        self.waiting.appendleft(task)

    def _may_start(self, task: QueuedRun) -> bool:
        """Return whether the limit of runs allows a run; retries do not count."""
        limit = self.policy.max_runs
        return limit is None or len(self._started) < limit or task.run.spec.run_id in self._started

    @property
    def reached_max_runs(self) -> bool:
        """Whether runs wait that the limit of runs will never let start."""
        return bool(self.waiting) and not self.running and not any(self._may_start(task) for task in self.waiting)

    def end(self, slot: Slot) -> QueuedRun:
        """Free a slot whose job has ended; return its run."""
        return self.running.pop(slot)

    def requeue(self, task: QueuedRun, *, not_before: float) -> None:
        """Queue a run again that this process gave up, unless the queue has stopped."""
        if not self.stopped:
            task.not_before = not_before
            self.waiting.append(task)

    def fail(self, slot: Slot, why: Failure) -> Consequences:
        """Free a slot whose job has failed; requeue its run if the policy allows, and return what else follows."""
        task = self.running.pop(slot)
        task.failures += 1
        retired = list[Slot]()
        will_retry = self._retry(task, slot, why, retired)
        if why.kind == "device lost":
            retired += self._retire([other for other in self.slots if other.device == slot.device])
        if will_retry:
            return Consequences(True, tuple(retired))
        self.failed += 1
        self._causes[why.cause] += 1
        reason = self._reason_to_stop(why)
        return Consequences(False, tuple(retired), reason, self.policy.fail_fast and why.kind != "disk full")

    def stop(self) -> int:
        """Start no more runs; return how many were waiting."""
        count, self.stopped = len(self.waiting), True
        self.waiting.clear()
        return count

    def jobs_on(self, device: Device) -> int:
        """Return the number of slots of a device."""
        return sum(slot.device == device for slot in self.slots)

    def _retry(self, task: QueuedRun, slot: Slot, why: Failure, retired: list[Slot]) -> bool:
        """Requeue a failed run if it may be retried; return whether it was."""
        if why.kind == "out of memory":
            task.out_of_memory += 1
            if task.alone or self.stopped:
                return False
            if task.out_of_memory == 1 and self.jobs_on(slot.device) > 1:
                retired += self._retire([slot])
            else:
                self.require_alone(task, slot.device)
            self.waiting.appendleft(task)
            return True
        if why.kind in ("diverged", "disk full") or task.failures > self.policy.retries or self.stopped:
            return False
        self.waiting.append(task)
        return True

    def _retire(self, slots: Sequence[Slot]) -> Sequence[Slot]:
        """Remove slots of one device; runs that need that device alone may use others once it has none left."""
        for slot in slots:
            self.slots.remove(slot)
        for task in self.waiting:
            if task.alone is not None and not self.jobs_on(task.alone):
                task.alone = None
        return slots

    def _reason_to_stop(self, why: Failure) -> str | None:
        same_cause, limit = self._causes[why.cause], self.policy.max_failures
        if why.kind == "disk full":
            return f"the disk is full ({self.store}): free some space, then run the same command to resume"
        if self.policy.fail_fast:
            return "--fail-fast: a job has failed"
        if limit is not None and same_cause >= limit:
            return f"--max-failures: {same_cause} failures with the same cause: {why.reason}"
        return None
