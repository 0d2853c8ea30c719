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
from slbench.grid.messages import Job, JobFailed, JobFinished, JobStopped, Line, ProgressMessage
from slbench.grid.processes import (
    GRACE_SECONDS,
    LOG,
    close_pipes,
    in_child,
    on_interrupt,
    request_stop,
    send_task,
    spawn,
    stop,
)
from slbench.grid.queue import DEFAULT_POLICY, Policy, QueuedRun, RunningJob, WorkerProcess
from slbench.grid.slots import Device, Resolved, Slot
from slbench.recipes import Precision
from slbench.record import Failure, Pruned
from slbench.store import Store
from slbench.study import StudyRun

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
            tuple[WorkerProcess, ProgressMessage | JobFailed | JobFinished | JobStopped | None] | None
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
                stop([worker.process for worker in (*self.idle.values(), *(child.worker for child in self.busy))])
                for child in self.busy:
                    child.claim.release(done=False)
                self.idle.clear()
        return self.failed

    def prune(self, run: StudyRun, pruned: Pruned) -> None:
        """Stop a run after its current step, if it is running here. Its metrics and checkpoint are kept."""
        for child in self.busy:
            if child.run.spec.run_id == run.spec.run_id and child.pruned is None:
                child.pruned = pruned
                child.kill_at = time.monotonic() + STOP_SECONDS
                request_stop(run.spec.run_id, child.process)

    def _fill(self) -> None:
        """Start jobs on free slots."""
        taken = {child.slot for child in self.busy}
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
        beside = [child for child in self.busy if child.slot.device == device]
        now = time.monotonic()
        ready = [task for task in self.waiting if task.not_before <= now]
        exclusive = [task for task in ready if task.alone == device]
        if beside and (exclusive or any(child.task.alone for child in beside)):
            return None
        for task in [*exclusive, *(task for task in ready if task.alone is None)]:
            shortfall = disk_shortfall(self.store, task.run, [child.run for child in self.busy])
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
        child = worker.child = RunningJob(task, slot, worker, folder, claim, memory_kills(), log_size)
        self.busy.add(child)
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
            store=str(self.store.root),
            device=in_child(slot.device),
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
        child = worker.child
        if child is None:
            return  # an idle worker was ended
        if isinstance(message, ProgressMessage):
            self._write_progress(child, message)
            self.on_event(Progressed(child.run, child.slot, message))
        elif isinstance(message, JobFailed):
            child.report = message
        elif message is None:
            self._end(child)
        elif isinstance(message, JobStopped) or self.store.is_done(child.run.spec):
            worker.child = None
            self.idle[child.slot] = worker
            self._end(child)
        else:
            worker.process.kill()  # reported as finished without a record: no longer trusted

    def _write_progress(self, child: RunningJob, message: ProgressMessage) -> None:
        now = time.monotonic()
        if now - child.progress_written < PROGRESS_SECONDS:
            return
        child.progress_written = now
        with contextlib.suppress(OSError):
            child.claim.write_progress(message.model_dump())

    def _check_jobs(self) -> None:
        """Send heartbeats; end jobs that exceed their time limit or have lost their claim."""
        now, limit = time.monotonic(), self.policy.timeout
        for child in self.busy:
            if now - child.claim.last_heartbeat > HEARTBEAT_SECONDS and not child.claim.heartbeat():
                child.cancelled = True
                child.process.kill()
            if limit is not None and now - child.started > limit and not child.timed_out:
                child.timed_out = True
                self._terminate(child)
            if child.kill_at is not None and now > child.kill_at:
                child.process.kill()

    def _terminate(self, child: RunningJob) -> None:
        child.process.terminate()
        child.kill_at = time.monotonic() + GRACE_SECONDS

    def _end(self, child: RunningJob) -> None:
        """Record how a job ended."""
        self.busy.discard(child)
        if child.worker.child is not None:
            close_pipes(child.process)
        try:
            record = self.store.record(child.run.spec.run_id)
        except StoreError:
            record = None
        if record is not None:
            child.claim.release(done=True)
            self.on_event(Finished(child.run, child.slot, record.final_test_top1, time.monotonic() - child.started))
        elif child.pruned is not None:
            with contextlib.suppress(OSError):  # the search has the outcome in any case
                self.store.prune(child.run.spec, child.run.labels, child.pruned)
            child.claim.release(done=False)
            self.on_event(JobPruned(child.run, child.slot, child.pruned))
        elif child.cancelled:
            child.claim.release(done=False)
            self._requeue_cancelled(child)
        else:
            self._fail(child)

    def _requeue_cancelled(self, child: RunningJob) -> None:
        """Requeue a cancelled run, which another launcher may have taken over, unless the grid has stopped."""
        self.on_event(JobCancelled(child.run, child.slot))
        if not self._halted:
            child.task.not_before = time.monotonic() + CLAIM_SECONDS
            self.waiting.append(child.task)

    def _fail(self, child: RunningJob) -> None:
        task = child.task
        task.failures += 1
        why = failure(
            child.process.returncode,
            child.folder / LOG,
            log_start=child.log_size,
            report=child.report,
            timeout=self.policy.timeout if child.timed_out else None,
            killed_for_memory=memory_kills() > child.memory_kills,
            attempt=task.failures,
            device=child.slot.device.label,
        )
        with contextlib.suppress(OSError):  # the disk may be full
            self.store.fail(task.run.spec, task.run.labels, why)
        child.claim.release(done=False)
        will_retry = self._retry(child, why)
        self.on_event(Failed(task.run, child.slot, why, child.folder / LOG, will_retry=will_retry))
        if why.kind == "device lost":
            self._retire([slot for slot in self.slots if slot.device == child.slot.device])
        if not will_retry:
            self.failed += 1
            self._causes[why.cause] += 1
            self._stop_after(why)

    def _retry(self, child: RunningJob, why: Failure) -> bool:
        """Requeue a failed run if it may be retried; return whether it was."""
        task = child.task
        if why.kind == "out of memory":
            task.out_of_memory += 1
            shared = [slot for slot in self.slots if slot.device == child.slot.device]
            if task.alone or self._halted:
                return False
            if task.out_of_memory == 1 and len(shared) > 1:
                self._retire([child.slot])
            else:
                task.alone = child.slot.device
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
            for child in self.busy:
                child.cancelled = True
                self._terminate(child)
        elif limit is not None and same_cause >= limit:
            self._halt(f"--max-failures: {same_cause} failures with the same cause: {why.reason}")

    def _halt(self, reason: str) -> None:
        """Stop starting jobs."""
        if self.waiting:
            self.on_event(GridStopped(reason, len(self.waiting)))
        self.waiting.clear()
        self._halted = True
