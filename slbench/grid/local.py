"""Local executor: worker processes on the slots of this machine."""

import contextlib
import queue
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from slbench.claims import HEARTBEAT_SECONDS, Claim
from slbench.errors import StoreError
from slbench.grid.disk_budget import disk_shortfall
from slbench.grid.events import (
    AlreadyFinished,
    Event,
    Failed,
    Finished,
    GridStopped,
    JobCancelled,
    JobPruned,
    Progressed,
    SlotsReduced,
    Started,
    WaitingForOthers,
)
from slbench.grid.failures import failure, memory_kills
from slbench.grid.messages import Job, JobFailed, JobFinished, JobStopped, Line
from slbench.grid.processes import (
    GRACE_SECONDS,
    LOG,
    close_pipes,
    on_interrupt,
    request_stop,
    send_task,
    spawn,
    stop,
    worker_device,
)
from slbench.grid.queue import DEFAULT_POLICY, Policy, QueuedRun, RunningJob, WorkerProcess
from slbench.grid.slots import Device, Resolved, Slot
from slbench.recipes import Precision
from slbench.record import Failure, Pruned
from slbench.store import Store
from slbench.study import StudyRun
from slbench.train.progress import Progress

TICK_SECONDS = 0.5  # between two checks of claims and time limits
CLAIM_SECONDS = 2.0  # between two attempts to claim a run that another process has
PROGRESS_SECONDS = 2.0  # between two writes of a run's progress
STOP_SECONDS = 120.0  # for a worker to leave a pruned run (it does after its current step) before it is killed


class LocalExecutor:
    """Runs jobs on slots, one worker process per slot, which is replaced after a failure.

    Runs claimed by another launcher on the same store are left to it, and taken over if it dies.

    Args:
        precisions: requested precision -> the one used in this grid.
        on_event: called for every event.
        tensorboard: parent of the TensorBoard folders of the runs; None: no logging.
    """

    def __init__(
        self,
        slots: Sequence[Slot],
        *,
        store: Store,
        precisions: Mapping[Precision, Resolved],
        on_event: Callable[[Event], None],
        policy: Policy = DEFAULT_POLICY,
        tensorboard: Path | None = None,
    ) -> None:
        self.slots = list(slots)
        self.store = store
        self.precisions = precisions
        self.on_event = on_event
        self.policy, self.tensorboard = policy, tensorboard
        self.waiting = deque[QueuedRun]()
        self.busy = set[RunningJob]()
        self.idle: dict[Slot, WorkerProcess] = {}
        self.failed = 0
        self._causes = Counter[str]()
        self._idle = False
        self._halted = False
        self._more: Callable[[], StudyRun | None] = lambda: None
        # SimpleQueue.put is safe in a signal handler; None means an interrupt
        self._messages: queue.SimpleQueue[
            tuple[WorkerProcess, Progress | JobFailed | JobFinished | JobStopped | None] | None
        ] = queue.SimpleQueue()

    def run(self, runs: Sequence[StudyRun], *, more: Callable[[], StudyRun | None] = lambda: None) -> int:
        """Run all, in order, as slots become free; return the number of failed runs.

        On SIGINT or SIGTERM the workers are ended and KeyboardInterrupt is raised; finished runs stay finished.

        Args:
            more: called for another run when a slot is free. None: there is none now, or, while no job is running,
                none at all. A run that is finished already becomes AlreadyFinished.
        """
        self.waiting.extend(QueuedRun(run) for run in runs)
        self._halted, self._more = False, more
        with on_interrupt(lambda: self._messages.put(None)):
            try:
                self._fill()
                while self.waiting or self.busy:
                    self._handle_message()
                    self._check_jobs()
                    self._fill()
            finally:
                stop([worker.process for worker in (*self.idle.values(), *(job.worker for job in self.busy))])
                for job in self.busy:
                    job.claim.release(done=False)
                self.idle.clear()
        return self.failed

    def prune(self, run: StudyRun, pruned: Pruned) -> None:
        """Stop a run after its current step, if it is running here. Its metrics and checkpoint are kept."""
        for job in self.busy:
            if job.run.spec.run_id == run.spec.run_id and job.pruned is None:
                job.pruned = pruned
                job.kill_at = time.monotonic() + STOP_SECONDS
                request_stop(run.spec.run_id, job.process)

    def _fill(self) -> None:
        """Start jobs on free slots."""
        taken = {job.slot for job in self.busy}
        try:
            for slot in [slot for slot in self.slots if slot not in taken]:
                task = self._next(slot.device) or self._next_added(slot.device)
                if task is not None:
                    self._start(*task, slot)
        except OSError as error:
            self._halt(
                f"{self.store.root}: cannot write ({error.strerror}): fix that, then run the same command to resume"
            )
        if self.waiting and not self.slots:
            self._halt("no usable device is left")
        idle = bool(self.waiting) and not self.busy
        if idle and not self._idle:
            self.on_event(WaitingForOthers(len(self.waiting)))
        self._idle = idle

    def _next(self, device: Device) -> tuple[QueuedRun, Claim] | None:
        """Return the first run that can start on a device now, claimed."""
        beside = [job for job in self.busy if job.slot.device == device]
        now = time.monotonic()
        ready = [task for task in self.waiting if task.not_before <= now]
        exclusive = [task for task in ready if task.alone == device]
        if beside and (exclusive or any(job.task.alone for job in beside)):
            return None
        for task in [*exclusive, *(task for task in ready if task.alone is None)]:
            shortfall = disk_shortfall(self.store, task.run, [job.run for job in self.busy])
            if shortfall is not None and not self.busy:
                self._halt(shortfall)
                return None
            claim = None if shortfall is not None else self.store.claims.acquire(task.run.spec.run_id)
            if claim is None:
                task.not_before = time.monotonic() + CLAIM_SECONDS
                continue
            self.waiting.remove(task)
            if not self.store.is_done(task.run.spec):
                return task, claim
            claim.release(done=True)
            self.on_event(AlreadyFinished(task.run))
        return None

    def _next_added(self, device: Device) -> tuple[QueuedRun, Claim] | None:
        """Return a run from `more` that can start now, claimed; others wait, at most as many as there are slots."""
        while len(self.waiting) < len(self.slots) and not self._halted and (run := self._more()) is not None:
            self.waiting.append(QueuedRun(run))
            if (task := self._next(device)) is not None:
                return task
        return None

    def _start(self, task: QueuedRun, claim: Claim, slot: Slot) -> None:
        run = task.run
        if task.alone:  # idle workers hold memory too
            for other in [other for other in self.idle if other.device == slot.device]:
                stop([self.idle.pop(other).process])
        try:
            folder = self.store.begin(run.spec, run.labels)
            log_size = (folder / LOG).stat().st_size if (folder / LOG).exists() else 0
            worker = self._worker(self._job(run, slot, folder / LOG), slot)
        except OSError:
            claim.release(done=False)
            self.waiting.appendleft(task)
            raise
        job = worker.job = RunningJob(task, slot, worker, folder, claim, memory_kills(), log_size)
        self.busy.add(job)
        with contextlib.suppress(OSError):  # disk full: the worker ends with the launcher all the same
            claim.add_process(worker.process.pid, slot.device.label)
        self.on_event(Started(run, slot))

    def _worker(self, job: Job, slot: Slot) -> WorkerProcess:
        """Start a job in the slot's idle worker, or in a new one; return the worker."""
        worker = self.idle.pop(slot, None)
        if worker is not None:
            if send_task(job, worker.process):
                return worker
            stop([worker.process])
        Path(job.log).parent.mkdir(parents=True, exist_ok=True)
        with Path(job.log).open("ab") as log:
            worker = WorkerProcess(spawn(job, slot.device, threads=slot.threads, log=log))
        threading.Thread(target=self._read_messages, args=(worker,), daemon=True).start()
        return worker

    def _job(self, run: StudyRun, slot: Slot, log: Path) -> Job:
        return Job(
            spec=run.spec,
            labels=run.labels,
            data=run.data,
            store=str(self.store.root),
            device=worker_device(slot.device),
            device_label=slot.device.label,
            device_name=slot.device.name,
            threads=slot.threads,
            precision=self.precisions[run.spec.recipe.precision],
            log=str(log.absolute()),
            cores=slot.cores,
            checkpoint_seconds=self.policy.checkpoint_seconds,
            tensorboard=None if self.tensorboard is None else str(self.tensorboard),
        )

    def _read_messages(self, worker: WorkerProcess) -> None:
        """Queue the messages of a worker until it has ended."""
        assert worker.process.stdout is not None
        try:
            for line in worker.process.stdout:
                self._messages.put((worker, Line.validate_json(line)))
        except ValueError:
            worker.process.kill()  # unreadable output: fail the job instead of waiting for ever
        finally:
            worker.process.wait()
            self._messages.put((worker, None))

    def _handle_message(self) -> None:
        """Handle the next message, waiting at most one tick."""
        try:
            item = self._messages.get(timeout=TICK_SECONDS)
        except queue.Empty:
            return
        if item is None:
            raise KeyboardInterrupt
        worker, message = item
        job = worker.job
        if job is None:
            return  # an idle worker was ended
        if isinstance(message, Progress):
            self._write_progress(job, message)
            self.on_event(Progressed(job.run, job.slot, message))
        elif isinstance(message, JobFailed):
            job.report = message
        elif message is None:
            self._end(job)
        elif isinstance(message, JobStopped) or self.store.is_done(job.run.spec):
            worker.job = None
            self.idle[job.slot] = worker
            self._end(job)
        else:
            worker.process.kill()  # reported as finished without a record: no longer trusted

    def _write_progress(self, job: RunningJob, message: Progress) -> None:
        now = time.monotonic()
        if now - job.progress_written < PROGRESS_SECONDS:
            return
        job.progress_written = now
        with contextlib.suppress(OSError):
            job.claim.write_progress(message.model_dump())

    def _check_jobs(self) -> None:
        """Send heartbeats; end jobs that exceed their time limit or have lost their claim."""
        now, limit = time.monotonic(), self.policy.timeout
        for job in self.busy:
            if now - job.claim.last_heartbeat > HEARTBEAT_SECONDS and not job.claim.heartbeat():
                job.cancelled = True
                job.process.kill()
            if limit is not None and now - job.started > limit and not job.timed_out:
                job.timed_out = True
                self._terminate(job)
            if job.kill_at is not None and now > job.kill_at:
                job.process.kill()

    def _terminate(self, job: RunningJob) -> None:
        job.process.terminate()
        job.kill_at = time.monotonic() + GRACE_SECONDS

    def _end(self, job: RunningJob) -> None:
        """Record how a job ended."""
        self.busy.discard(job)
        if job.worker.job is not None:
            close_pipes(job.process)
        try:
            record = self.store.record(job.run.spec.run_id)
        except StoreError:
            record = None
        if record is not None:
            job.claim.release(done=True)
            self.on_event(Finished(job.run, job.slot, record.final_test_top1, time.monotonic() - job.started))
        elif job.pruned is not None:
            with contextlib.suppress(OSError):  # the search has the outcome in any case
                self.store.prune(job.run.spec, job.run.labels, job.pruned)
            job.claim.release(done=False)
            self.on_event(JobPruned(job.run, job.slot, job.pruned))
        elif job.cancelled:
            job.claim.release(done=False)
            self._requeue_cancelled(job)
        else:
            self._fail(job)

    def _requeue_cancelled(self, job: RunningJob) -> None:
        """Requeue a cancelled run, which another launcher may have taken over, unless the grid has stopped."""
        self.on_event(JobCancelled(job.run, job.slot))
        if not self._halted:
            job.task.not_before = time.monotonic() + CLAIM_SECONDS
            self.waiting.append(job.task)

    def _fail(self, job: RunningJob) -> None:
        task = job.task
        task.failures += 1
        why = failure(
            job.process.returncode,
            job.folder / LOG,
            log_start=job.log_size,
            report=job.report,
            timeout=self.policy.timeout if job.timed_out else None,
            killed_for_memory=memory_kills() > job.memory_kills,
            attempt=task.failures,
            device=job.slot.device.label,
        )
        with contextlib.suppress(OSError):  # the disk may be full
            self.store.fail(task.run.spec, task.run.labels, why)
        job.claim.release(done=False)
        will_retry = self._retry(job, why)
        self.on_event(Failed(task.run, job.slot, why, job.folder / LOG, will_retry=will_retry))
        if why.kind == "device lost":
            self._retire([slot for slot in self.slots if slot.device == job.slot.device])
        if not will_retry:
            self.failed += 1
            self._causes[why.cause] += 1
            self._stop_after(why)

    def _retry(self, job: RunningJob, why: Failure) -> bool:
        """Requeue a failed run if it may be retried; return whether it was."""
        task = job.task
        if why.kind == "out of memory":
            task.out_of_memory += 1
            shared = [slot for slot in self.slots if slot.device == job.slot.device]
            if task.alone or self._halted:
                return False
            if task.out_of_memory == 1 and len(shared) > 1:
                self._retire([job.slot])
            else:
                task.alone = job.slot.device
            self.waiting.appendleft(task)
            return True
        if why.kind in ("diverged", "disk full") or task.failures > self.policy.retries or self._halted:
            return False
        self.waiting.append(task)
        return True

    def _retire(self, slots: Sequence[Slot]) -> None:
        """Remove slots from service."""
        for slot in slots:
            self.slots.remove(slot)
            if slot in self.idle:
                stop([self.idle.pop(slot).process])
        if slots:
            remaining = sum(slot.device == slots[0].device for slot in self.slots)
            for task in self.waiting:
                if task.alone == slots[0].device and remaining == 0:
                    task.alone = None  # allow other devices
            self.on_event(SlotsReduced(slots[0].device, remaining))

    def _stop_after(self, why: Failure) -> None:
        """Stop the grid if a failure requires it."""
        same_cause, limit = self._causes[why.cause], self.policy.max_failures
        if why.kind == "disk full":
            self._halt(f"the disk is full ({self.store.root}): free some space, then run the same command to resume")
        elif self.policy.fail_fast:
            self._halt("--fail-fast: a job has failed")
            for job in self.busy:
                job.cancelled = True
                self._terminate(job)
        elif limit is not None and same_cause >= limit:
            self._halt(f"--max-failures: {same_cause} failures with the same cause: {why.reason}")

    def _halt(self, reason: str) -> None:
        """Stop starting jobs."""
        if self.waiting:
            self.on_event(GridStopped(reason, len(self.waiting)))
        self.waiting.clear()
        self._halted = True
