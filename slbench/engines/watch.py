"""State of the workers of submissions: what they recorded, and what the scheduler says."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from types import MappingProxyType
from typing import Literal

from slbench.engine_settings import Engine
from slbench.engines.engine import Ended, Scheduler, Task
from slbench.engines.submission import Attempt, Submission, SubmissionFolder, submissions
from slbench.errors import EngineError, InputError
from slbench.store import Store

State = Literal["pending", "running", "unconfirmed", "ended", "unknown"]
UNCONFIRMED_SECONDS = 600.0  # after which a submission that the scheduler does not know is taken to be lost
ENDS = {  # states of SLURM, in words of messages
    "BOOT_FAIL": "node failure",
    "CANCELLED": "cancelled",
    "DEADLINE": "time limit",
    "NODE_FAIL": "node failure",
    "OUT_OF_MEMORY": "out of memory",
    "PREEMPTED": "preempted",
    "TIMEOUT": "time limit",
}
FINAL = ("no work", "idle", "limit", "failed")  # ends after which no scheduler starts a worker again
ASK_SECONDS, MAX_ASK_SECONDS = (
    30.0,
    600.0,
)  # between two queries of a status that is watched; doubled after each failure


@dataclass(frozen=True)
class WorkerStatus:
    """State of one worker."""

    task: int
    state: State
    why: str  # why it waits, how it ended
    node: str
    attempts: tuple[Attempt, ...]
    failed_to_start: bool = False  # ended before any run went on
    killed_early: bool = False  # killed before any run went on

    @property
    def is_active(self) -> bool:
        return self.state in ("pending", "running", "unconfirmed")


@dataclass(frozen=True)
class SubmissionStatus:
    """State of the workers of a submission."""

    submission: Submission
    folder: SubmissionFolder
    job_id: str | None  # None: the scheduler has not confirmed it, and no worker has started
    workers: tuple[WorkerStatus, ...]

    @property
    def active(self) -> list[WorkerStatus]:
        return [worker for worker in self.workers if worker.is_active]


Queue = Mapping[str, list[Task]]
NOTHING_ENDED: Ended = MappingProxyType({})
Known = Sequence[tuple[Submission, SubmissionFolder]]


def statuses(
    known: Iterable[tuple[Submission, SubmissionFolder]], queue: Queue, ended: Ended
) -> list[SubmissionStatus]:
    """Return the state of submissions.

    Args:
        queue: workers in the queue by name of their submission; without those whose scheduler did not answer.
    """
    return [status(*each, queue=queue, ended=ended) for each in known if each[0].state != "refused"]


def status(
    submission: Submission, folder: SubmissionFolder, *, queue: Queue, ended: Ended = NOTHING_ENDED
) -> SubmissionStatus:
    """Return the state of the workers of a submission."""
    rows = {row.task: row for row in queue.get(submission.name, [])}
    attempts = {task: tuple(folder.worker(task).attempts) for task in range(submission.workers)}
    job_ids = [row.job_id for row in rows.values()] + [each.job_id for tried in attempts.values() for each in tried]
    job_id = submission.job_id or next(iter(job_ids), None)
    workers = []
    for task, tried in attempts.items():
        row = rows.get(task) or (ended.get((job_id, task)) if job_id is not None else None)
        if submission.name not in queue:
            workers.append(WorkerStatus(task, "unknown", last_words(tried), "", tried))
        elif job_id is None:
            lost = submission.age_seconds > UNCONFIRMED_SECONDS
            why = "never confirmed" if lost else "not confirmed yet"
            workers.append(WorkerStatus(task, "ended" if lost else "unconfirmed", why, "", ()))
        else:
            workers.append(worker_status(task, tried, row, is_cancelled=task in submission.cancelled))
    return SubmissionStatus(submission, folder, job_id, tuple(workers))


def worker_status(task: int, attempts: Sequence[Attempt], row: Task | None, *, is_cancelled: bool) -> WorkerStatus:
    """Return the state of a worker from its attempts and from its row in the queue, if it has one."""
    tried, node = tuple(attempts), row.node if row else ""
    if row is not None and row.is_waiting:
        requeued = [f"requeued after {ending(attempts, is_cancelled=False)}"] if attempts else []
        return WorkerStatus(task, "pending", "; ".join(filter(None, [*requeued, row.reason])), node, tried)
    if row is not None and row.is_active:
        return WorkerStatus(task, "running", "", node, tried)
    told = ENDS.get(row.state, "") if row else ""
    last = attempts[-1] if attempts else None
    node = node or (last.hostname if last else "")
    if last is None:
        cancelled = is_cancelled or told == "cancelled"
        why = "cancelled" if cancelled else told or "did not start"
        return WorkerStatus(task, "ended", why, node, tried, failed_to_start=not cancelled)
    if last.end is None:
        why = "cancelled" if is_cancelled else told or "killed"
        return WorkerStatus(task, "ended", why, node, tried, killed_early=not last.progressed)
    failed = last.end == "failed" and not last.progressed and last.runs == 0
    why = ending(attempts, is_cancelled=is_cancelled, told=told)
    return WorkerStatus(task, "ended", why, node, tried, failed_to_start=failed)


def ending(attempts: Sequence[Attempt], *, is_cancelled: bool, told: str = "") -> str:
    """Return how the last attempt of a worker ended, in words.

    Args:
        told: what the scheduler says.
    """
    last = attempts[-1]
    if last.end == "failed":
        return f"failure: {last.message}" if last.message else "failure"
    if last.end == "terminated":
        return "cancelled" if is_cancelled else told or "preempted or cancelled"
    return last.end or "a kill"


def last_words(attempts: Sequence[Attempt]) -> str:
    if not attempts:
        return "not started when last seen"
    last = attempts[-1]
    return f"ended: {ending(attempts, is_cancelled=False)}" if last.end else f"started on {last.hostname}"


def failures_to_start(found: Sequence[SubmissionStatus]) -> list[WorkerStatus]:
    """Return the latest workers that failed to start, with no other ending after them."""
    return list(takewhile(lambda worker: worker.failed_to_start, latest_ended(found)))


def early_kills(found: Sequence[SubmissionStatus]) -> list[WorkerStatus]:
    """Return the latest workers that were killed before any run went on, with no other ending after them."""
    return list(takewhile(lambda worker: worker.killed_early, latest_ended(found)))


def latest_ended(found: Sequence[SubmissionStatus]) -> list[WorkerStatus]:
    """Return the workers that have ended and were not cancelled, the latest first."""
    workers = [worker for each in found for worker in each.workers]
    return [worker for worker in reversed(workers) if worker.state == "ended" and worker.why != "cancelled"]


def bad_nodes(found: Iterable[SubmissionStatus]) -> dict[str, str]:
    """Return what happened on nodes where two or more workers were lost or failed to start, by node."""
    lost = defaultdict[str, list[WorkerStatus]](list)
    for each in found:
        for worker in each.workers:
            if worker.node and (worker.failed_to_start or worker.why == "node failure"):
                lost[worker.node].append(worker)
    return {
        node: f"{len(workers)} workers lost or not started there, the last one: {workers[-1].why}"
        for node, workers in sorted(lost.items())
        if len(workers) > 1
    }


def look_up(known: Known, schedulers: Mapping[Engine, Scheduler]) -> dict[str, list[Task]]:
    """Return the workers in the queues, by one query of each scheduler that has any to be asked for.

    Raises:
        InputError, EngineError: if a scheduler is not there, or does not answer.
    """
    queue: dict[str, list[Task]] = {}
    for engine, scheduler in schedulers.items():
        mine = [(each, folder) for each, folder in known if each.engine == engine and each.state != "refused"]
        asked = [each for each, folder in mine if not (engine == "ray" and is_over(each, folder))]
        queue |= {each.name: [] for each, _ in mine} | (scheduler.queue_of(asked) if asked else {})
    return queue


def is_over(submission: Submission, folder: SubmissionFolder) -> bool:
    """Return whether all workers of a submission have recorded an end after which none is started again."""
    last = [folder.worker(task).last for task in range(submission.workers)]
    return all(each is not None and each.end in FINAL for each in last)


class Watcher:
    """The state of a store's workers, asked seldom: one query for all submissions, and less often after failures.

    Args:
        study: name; None: of all studies.
    """

    def __init__(
        self, store: Store, study: str | None, *, schedulers: Mapping[Engine, Scheduler], clock: Callable[[], float]
    ) -> None:
        self.store, self.study, self.schedulers, self.clock = store, study, schedulers, clock
        self.problem = ""  # why a scheduler was not asked, or did not answer
        self._queue: dict[str, list[Task]] = {}
        self._ended: dict[tuple[str, int], Task] = {}
        self._found: list[SubmissionStatus] = []
        self._pause, self._next = ASK_SECONDS, -1.0

    def look(self) -> list[SubmissionStatus]:
        """Return the state of all submissions, which may be half a minute old."""
        if self.clock() >= self._next:
            known = submissions(self.store, self.study)
            self._ask(known)
            self._found = statuses(known, self._queue, self._ended)
        return self._found

    def _ask(self, known: Known) -> None:
        self._queue, problems = {}, []
        for engine, scheduler in self.schedulers.items():
            try:
                queue = look_up(known, {engine: scheduler})
                self._ended |= scheduler.ended_states(self._unclear(known, queue))
                self._queue |= queue
            except (EngineError, InputError) as error:
                problems.append(str(error))
        self.problem = "; ".join(problems)
        self._pause = min(2 * self._pause, MAX_ASK_SECONDS) if problems else ASK_SECONDS
        self._next = self.clock() + self._pause

    def _unclear(self, known: Known, queue: Queue) -> list[str]:
        """Return the job ids of submissions with workers of which only the accounting can tell how they ended."""
        found = statuses([each for each in known if each[0].name in queue], queue, self._ended)
        return [
            each.job_id
            for each in found
            if each.job_id is not None
            and any(
                worker.state == "ended" and unexplained(worker, each.job_id, self._ended) for worker in each.workers
            )
        ]


def unexplained(worker: WorkerStatus, job_id: str, ended: Ended) -> bool:
    """Return whether only the accounting can tell how a worker ended."""
    return (job_id, worker.task) not in ended and worker.why in ("killed", "did not start", "preempted or cancelled")
