"""Local executor: worker processes on the slots of this machine pull runs from the store."""

import contextlib
import functools
import queue
import random
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from slbench import machine
from slbench.claims import HEARTBEAT_SECONDS, Claim
from slbench.errors import StoreError
from slbench.files import owner_hint
from slbench.grid.disk_budget import disk_shortfall
from slbench.grid.events import (
    AlreadyFinished,
    Diverged,
    Event,
    Failed,
    Finished,
    GridStopped,
    JobCancelled,
    JobPruned,
    Limit,
    Progressed,
    SlotsReduced,
    Started,
    WaitingForOthers,
)
from slbench.grid.executor import NO_LIMITS, Limits
from slbench.grid.failures import failure, memory_kills, signal_name
from slbench.grid.messages import Job, JobFailed, JobStopped, Message
from slbench.grid.processes import GRACE_SECONDS, WorkerProcess, close_pipes, on_signals, spawn, stop, worker_device
from slbench.grid.queue import DEFAULT_POLICY, Policy, QueuedRun, RunQueue
from slbench.grid.slots import Resolved, Slot, resolve_compile
from slbench.grid.status import resume_epoch
from slbench.recipes import Precision
from slbench.record import Pruned
from slbench.run_paths import RunPaths
from slbench.store import SHARING, AlreadyEndedError, Store, has_checkpoint
from slbench.study import StudyRun
from slbench.text import duration, plural
from slbench.train.progress import Progress
from slbench.train.run_conditions import RunConditions
from slbench.train.tracking import Tracking

TICK_SECONDS = 0.5  # between two checks of claims and time limits
CLAIM_SECONDS = 2.0  # between two attempts to claim a run that another process has; longer if it has many
LOOKS = 4  # at claims of other processes in CLAIM_SECONDS, so that thousands of waiting workers do not load the disk
MISMATCH_SECONDS = 30.0  # between two looks at a run whose checkpoint does not continue here
PROGRESS_SECONDS = 2.0  # between two writes of a run's progress
STOP_SECONDS = 120.0  # for a worker to stop a run (it does after its current step) before it is killed


@dataclass(eq=False)
class RunningJob:
    """A job on a slot."""

    task: QueuedRun
    slot: Slot
    worker: "WorkerProcess[RunningJob]"
    paths: RunPaths
    claim: Claim
    memory_kills: int
    log_size: int  # bytes written by earlier attempts
    started: float = field(default_factory=time.monotonic)
    progress_written: float = 0.0
    report: JobFailed | None = None
    kill_at: float | None = None  # asked to end; killed at this monotonic time
    timed_out: bool = False
    cancelled: bool = False  # ended by the launcher; not a failure
    ended_by_signal: bool = False  # that this process may be about to receive too
    lost: bool = False  # reported as finished, without a record
    pruned: Pruned | None = None  # by a search

    @property
    def run(self) -> StudyRun:
        return self.task.run

    def terminate(self) -> None:
        """Ask the worker to exit; it is killed after the grace period."""
        self.worker.process.terminate()
        self.kill_at = time.monotonic() + GRACE_SECONDS

    def request_stop(self) -> None:
        """Ask the worker to stop the run at a checkpoint; it is killed if it does not."""
        self.kill_at = time.monotonic() + STOP_SECONDS
        self.worker.request_stop(self.run.spec.run_id)


class LocalExecutor:
    """Runs jobs on slots, one worker process per slot, which is replaced after a failure.

    Runs claimed by another process on the same store are left to it, and taken over if it dies.

    Args:
        precisions: requested precision -> the one used in this grid.
        on_event: called for every event.
        tracking: where runs are logged; None: nowhere.
    """

    def __init__(
        self,
        slots: Sequence[Slot],
        *,
        store: Store,
        precisions: Mapping[Precision, Resolved],
        on_event: Callable[[Event], None],
        policy: Policy = DEFAULT_POLICY,
        limits: Limits = NO_LIMITS,
        tracking: Tracking | None = None,
    ) -> None:
        self.slots = tuple(slots)  # of the whole grid, as some may be given up later
        self.queue = RunQueue(slots, policy=policy, store=str(store.root))
        self.store, self.precisions, self.on_event = store, precisions, on_event
        self.policy, self.limits, self.tracking = policy, limits, tracking
        self.jobs: dict[Slot, RunningJob] = {}
        self.idle: dict[Slot, WorkerProcess[RunningJob]] = {}
        self._waiting_since: float | None = None
        self._opened = False  # a claim was attempted, so that the store has a folder of claims
        self._more: Callable[[], StudyRun | None] = lambda: None
        self._stop_at: float | None = None
        # SimpleQueue.put is safe in a signal handler; an integer is the number of a signal
        self._messages: queue.SimpleQueue[tuple[WorkerProcess[RunningJob], Message | None] | int] = queue.SimpleQueue()

    def run(self, runs: Sequence[StudyRun], *, more: Callable[[], StudyRun | None] = lambda: None) -> int:
        """See `Executor.run`.

        On SIGINT or SIGTERM the workers are ended and KeyboardInterrupt is raised; finished runs stay finished. On one
        of the signals of its limits, running jobs stop at a checkpoint.

        Raises:
            StoreError: if the store vanishes.
        """
        self.queue.add(runs)
        self.queue.stopped, self._more = False, more
        if self.limits.max_seconds is not None:
            self._stop_at = time.monotonic() + self.limits.max_seconds
        with on_signals(self._messages.put, {signal.SIGINT, signal.SIGTERM, *self.limits.signals}):
            try:
                self._fill()
                while self.queue.waiting or self.jobs:
                    self._handle_message()
                    self._check_jobs()
                    self._fill()
            finally:
                stop([worker.process for worker in (*self.idle.values(), *(job.worker for job in self.jobs.values()))])
                for job in self.jobs.values():
                    job.claim.release(done=False)
                self.idle.clear()
        return self.queue.failed

    def prune(self, run: StudyRun, pruned: Pruned) -> None:
        """See `Executor.prune`."""
        job = self._job_of(run)
        if job is not None and job.pruned is None:
            job.pruned = pruned
            job.request_stop()

    def kill(self, run: StudyRun) -> bool:
        """See `Executor.kill`."""
        job = self._job_of(run)
        if job is None or job.worker.job is not job or job.worker.process.poll() is not None:
            return False
        job.worker.process.kill()
        return True

    def _job_of(self, run: StudyRun) -> RunningJob | None:
        """Return the job of a run, if it is running here."""
        return next((job for job in list(self.jobs.values()) if job.run.spec.run_id == run.spec.run_id), None)

    def _fill(self) -> None:
        """Start jobs on free slots, and stop if that has become impossible."""
        try:
            for slot in self.queue.free_slots:
                if (claimed := self._next(slot)) is not None:
                    self._start(*claimed, slot)
        except OSError as error:
            self._check_store()
            self._stop(f"{cannot_write(error, self.store)}: fix that, then run the same command to resume")
        if self.queue.waiting and not self.queue.slots:
            self._stop("no usable device is left")
        if self.queue.reached_max_runs:
            self._stop(f"--max-runs: {plural(self.policy.max_runs or 0, 'run')} started", limit="max runs")
        if self.queue.waiting and not self.jobs and not any(self.limits.holds(task.run) for task in self.queue.waiting):
            self._stop("the time left is too short for the remaining runs", limit="time left")
        self._wait_for_others()

    def _wait_for_others(self) -> None:
        """Tell, once, that all remaining runs are claimed elsewhere; drop them if they are not to be waited for.

        Before they are dropped, each is tried once more.
        """
        now, waits, limit = time.monotonic(), bool(self.queue.waiting) and not self.jobs, self.limits.idle_seconds
        if not waits:
            self._waiting_since = None
        elif self.limits.wait():
            if self._waiting_since is None:
                self.on_event(WaitingForOthers(len(self.queue.waiting)))
            self._waiting_since = self._waiting_since or now
            if limit is not None and now - self._waiting_since > limit:
                self._stop(f"--idle-timeout: no run could start for {duration(limit)}", limit="idle")
        elif self._waiting_since is None:
            self._waiting_since = now
        elif now - self._waiting_since > CLAIM_SECONDS + TICK_SECONDS:
            self._stop("the remaining runs are claimed by other processes; --wait waits for them", limit="claims")

    def _next(self, slot: Slot) -> tuple[QueuedRun, Claim] | None:
        """Return the first run that can start on a slot now, claimed; if none is waiting, one from `more`.

        Runs from `more` that cannot start wait, at most as many as there are slots.
        """
        if (claimed := self._claim_first(slot)) is not None:
            return claimed
        while self.queue.has_room and (run := self._more()) is not None:
            self.queue.add([run])
            if (claimed := self._claim_first(slot)) is not None:
                return claimed
        return None

    def _claim_first(self, slot: Slot) -> tuple[QueuedRun, Claim] | None:
        """Return the first waiting run that can start on a slot now, claimed.

        Of the runs that have a claim, which others probably hold, few are looked at each time. After losing a run to
        another process that claimed it just now, some are skipped at random, as others try the same ones next.
        """
        now, named, claimed = time.monotonic(), None, None
        ended, looks, lost, skip = list[QueuedRun](), 0, 0, 0
        for task in self.queue.ready(slot.device, now):
            named = self.store.claims.names() if named is None else named
            has_claim = task.run.spec.run_id in named
            if has_claim and looks == LOOKS:
                task.not_before = now + CLAIM_SECONDS
                continue
            if skip > 0 and not has_claim:
                skip -= 1
                continue
            if not self.limits.holds(task.run):
                continue
            if self.policy.on_mismatch == "wait" and self._continues_elsewhere(task.run, slot):
                task.not_before = now + MISMATCH_SECONDS
                continue
            if self.store.has_ended(task.run.spec):
                ended.append(task)
                continue
            shortfall = disk_shortfall(self.store, task.run, [job.run for job in self.jobs.values()])
            if shortfall is not None and not self.jobs:
                self._stop(shortfall)
                return None
            claim = None if shortfall is not None else self._acquire(task.run)
            if claim is None:
                task.not_before = now + CLAIM_SECONDS * (1 + len(named) // LOOKS)
                looks += has_claim
                if shortfall is None and not has_claim:
                    lost += 1
                    skip = random.randrange(2 ** min(lost, 10))
                continue
            if not self.store.has_ended(task.run.spec):
                claimed = task, claim
                break
            claim.release(done=True)
            ended.append(task)
        for task in ended:
            self.queue.waiting.remove(task)
            self.on_event(AlreadyFinished(task.run))
        return claimed

    @functools.cached_property
    def _code(self) -> str:
        return machine.code().model_dump_json()

    def _resumes_at(self, run: StudyRun, slot: Slot) -> int | None:
        """Return the epoch at which a run continues from its checkpoint; None if it begins at the start."""
        if not has_checkpoint(self.store.folder(run.spec, run.labels)) or self._continues_elsewhere(run, slot):
            return None
        return resume_epoch(run, self.store)

    def _continues_elsewhere(self, run: StudyRun, slot: Slot) -> bool:
        """Return whether a run has a checkpoint that does not continue bit by bit on a slot."""
        began = RunConditions.of_checkpoint(RunPaths(self.store.folder(run.spec, run.labels)))
        here = RunConditions(
            device_kind=slot.device.kind,
            device_name=slot.device.name,
            threads=slot.threads,
            precision="fp32",
            code=self._code,
        )
        return began is not None and began.mismatch(here) is not None

    def _acquire(self, run: StudyRun) -> Claim | None:
        self._check_store()
        claim = self.store.claims.acquire(run.spec.run_id)
        self._opened = True
        return claim

    def _start(self, task: QueuedRun, claim: Claim, slot: Slot) -> None:
        run = task.run
        if task.alone:  # idle workers hold memory too
            for other in [other for other in self.idle if other.device == slot.device]:
                stop([self.idle.pop(other).process])
        self.queue.start(task, slot)
        try:
            resumes_at = self._resumes_at(run, slot)
            command = machine.command_line()
            paths = RunPaths(self.store.begin(run.spec, run.labels, trial=run.trial, command=command))
            log_size = paths.log.stat().st_size if paths.log.exists() else 0
            worker = self._worker(self._job(run, slot, paths.log), slot)
        except AlreadyEndedError:
            claim.release(done=True)
            self.queue.put_back(slot)
            self.queue.waiting.remove(task)
            self.on_event(AlreadyFinished(run))
            return
        except OSError:
            claim.release(done=False)
            self.queue.put_back(slot)
            raise
        job = worker.job = RunningJob(task, slot, worker, paths, claim, memory_kills(), log_size)
        self.jobs[slot] = job
        with contextlib.suppress(OSError):  # disk full: the worker ends with the launcher all the same
            claim.add_process(worker.process.pid, slot.device.label)
        self.on_event(Started(run, slot, resumes_at))

    def _worker(self, job: Job, slot: Slot) -> WorkerProcess[RunningJob]:
        """Start a job in the slot's idle worker, or in a new one; return the worker."""
        worker = self.idle.pop(slot, None)
        if worker is not None:
            if worker.send_task(job):
                return worker
            stop([worker.process])
        with Path(job.log).open("ab") as log:
            process = spawn(job, slot.device, threads=slot.threads, log=log)
        return WorkerProcess(process, lambda worker, message: self._messages.put((worker, message)))

    def _job(self, run: StudyRun, slot: Slot, log: Path) -> Job:
        return Job(
            spec=run.spec,
            labels=run.labels,
            name=run.name,
            data=run.data,
            store=str(self.store.root),
            device=worker_device(slot.device),
            device_label=slot.device.label,
            device_name=slot.device.name,
            threads=slot.threads,
            precision=self.precisions[run.spec.recipe.precision],
            compiled=resolve_compile(run.spec, self.slots),
            log=str(log.absolute()),
            cores=slot.cores,
            checkpoint_seconds=self.policy.checkpoint_seconds,
            tracking=self.tracking,
        )

    def _handle_message(self) -> None:
        """Handle the next message, waiting at most one tick."""
        try:
            item = self._messages.get(timeout=TICK_SECONDS)
        except queue.Empty:
            return
        if isinstance(item, int):
            self._handle_signal(item)
            return
        self._check_store()
        worker, message = item
        job = worker.job
        if job is None:
            return  # an idle worker was ended
        if message is None and self._awaits_signal(job):
            threading.Timer(TICK_SECONDS, self._messages.put, [item]).start()
            return
        if isinstance(message, Progress):
            self._write_progress(job, message)
            self.on_event(Progressed(job.run, job.slot, message))
        elif isinstance(message, JobFailed):
            job.report = message
        elif message is None:
            self._end(job)
        elif isinstance(message, JobStopped) or self.store.has_ended(job.run.spec):
            worker.job = None
            self.idle[job.slot] = worker
            self._end(job)
        else:
            job.lost = True
            worker.process.kill()  # no longer trusted

    def _handle_signal(self, number: int) -> None:
        if number not in self.limits.signals:
            raise KeyboardInterrupt
        reason = f"{signal_name(number)}: running jobs stop at a checkpoint"
        self._stop_at_checkpoints(reason, limit=self.limits.signals[number])

    def _awaits_signal(self, job: RunningJob) -> bool:
        """Return whether a job was ended by a signal that this process is about to receive too, for the first time.

        Batch systems send SIGTERM to every process of an allocation.
        """
        ended_by = -job.worker.process.returncode
        first = ended_by in self.limits.signals and not (job.ended_by_signal or job.cancelled or job.timed_out)
        job.ended_by_signal = first
        return first

    def _write_progress(self, job: RunningJob, message: Progress) -> None:
        now = time.monotonic()
        if now - job.progress_written < PROGRESS_SECONDS:
            return
        job.progress_written = now
        with contextlib.suppress(OSError):
            job.claim.write_progress(message.model_dump())

    def _check_jobs(self) -> None:
        """Send heartbeats; end jobs that exceed a time limit or have lost their claim."""
        self._check_store()
        now, limit = time.monotonic(), self.policy.timeout
        for job in self.jobs.values():
            if now - job.claim.last_heartbeat > HEARTBEAT_SECONDS and not job.claim.heartbeat():
                job.cancelled = True
                job.worker.process.kill()
            if limit is not None and now - job.started > limit and not job.timed_out:
                job.timed_out = True
                job.terminate()
            if job.kill_at is not None and now > job.kill_at:
                job.worker.process.kill()
        if self._stop_at is not None and now > self._stop_at:
            self._stop_at = None
            self._stop_at_checkpoints("--max-time: running jobs stop at a checkpoint", limit="max time")

    def _check_store(self) -> None:
        """Raise StoreError if the folder of claims, which only launchers create, has gone."""
        if self._opened and not self.store.claims.root.is_dir():
            raise StoreError(
                f"{self.store.root}: the store has vanished (moved, deleted or no longer mounted); "
                "restore it, then run the same command to resume"
            )

    def _end(self, job: RunningJob) -> None:
        """Record how a job ended."""
        del self.jobs[job.slot]
        if job.worker.job is not None:
            close_pipes(job.worker.process)
        try:
            record, diverged = self.store.record(job.run.spec.run_id), self.store.diverged(job.run.spec.run_id)
        except StoreError:
            record = diverged = None
        if record is not None:
            self.queue.end(job.slot)
            job.claim.release(done=True)
            self.on_event(Finished(job.run, job.slot, record.final_test_top1, time.monotonic() - job.started))
        elif diverged is not None:
            self.queue.end(job.slot)
            job.claim.release(done=True)
            self.on_event(Diverged(job.run, job.slot, diverged.reason))
        elif job.pruned is not None:
            self.queue.end(job.slot)
            with contextlib.suppress(OSError):  # the search has the outcome in any case
                self.store.prune(job.run.spec, job.run.labels, job.pruned)
            job.claim.release(done=False)
            self.on_event(JobPruned(job.run, job.slot, job.pruned))
        elif job.cancelled:
            task = self.queue.end(job.slot)
            job.claim.release(done=False)
            self.on_event(JobCancelled(job.run, job.slot))
            self.queue.requeue(task, not_before=time.monotonic() + CLAIM_SECONDS)  # another may have taken it over
        else:
            self._fail(job)

    def _fail(self, job: RunningJob) -> None:
        why = failure(
            job.worker.process.returncode,
            job.paths.log,
            log_start=job.log_size,
            report=job.report,
            timeout=self.policy.timeout if job.timed_out else None,
            killed_for_memory=memory_kills() > job.memory_kills,
            lost=job.lost,
            attempt=job.task.failures + 1,
            device=job.slot.device.label,
        )
        with contextlib.suppress(OSError):  # the disk may be full
            self.store.fail(job.run.spec, job.run.labels, why)
        job.claim.release(done=False)
        after = self.queue.fail(job.slot, why)
        self.on_event(Failed(job.run, job.slot, why, job.paths.log, will_retry=after.will_retry))
        if after.retired:
            stop([self.idle.pop(slot).process for slot in after.retired if slot in self.idle])
            self.on_event(SlotsReduced(job.slot.device, self.queue.jobs_on(job.slot.device)))
        if after.stop is not None:
            self._stop(after.stop)
        if after.end_others:
            for other in self.jobs.values():
                other.cancelled = True
                other.terminate()

    def _stop_at_checkpoints(self, reason: str, *, limit: Limit) -> None:
        """Start no more jobs, and stop the running ones at a checkpoint."""
        self._stop(reason, limit=limit)
        for job in self.jobs.values():
            if not job.cancelled:
                job.cancelled = True
                job.request_stop()

    def _stop(self, reason: str, *, limit: Limit = "") -> None:
        """Start no more jobs."""
        waiting = self.queue.stop()
        if waiting or (limit and self.jobs):
            self.on_event(GridStopped(reason, waiting, limit=limit))


def cannot_write(error: OSError, store: Store) -> str:
    """Return what could not be written and why; whose it is, if this user may not."""
    if not isinstance(error, PermissionError) or error.filename is None:
        return f"{store.root}: cannot write ({error.strerror})"
    folder = Path(error.filename).parent
    return f"{folder}: cannot write ({error.strerror}){owner_hint(folder)}; {SHARING}"
