"""The local executor: a child process for each job, on the slots of this machine."""

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
    ask_to_cease,
    close_pipes,
    hand,
    in_child,
    on_interrupt,
    spawn,
    stop,
)
from slbench.grid.queue import DEFAULT_POLICY, Policy, QueuedRun, RunningJob, WorkerProcess
from slbench.grid.slots import Device, Resolved, Slot
from slbench.recipes import Precision
from slbench.record import Failure, Pruned
from slbench.store import Store
from slbench.study import StudyRun

TICK_SECONDS = 0.5  # between two looks at claims and time limits
LOOK_SECONDS = 2.0  # between two tries to claim a run that another process has
NOTE_SECONDS = 2.0  # between two notes on how far a run is
CEASE_SECONDS = 120.0  # that a child has to leave a run which a search has stopped; it does so after the step it is at


class LocalExecutor:
    """Runs jobs on slots, in a child process each, which does the slot's next job too unless it failed.

    A run that another launcher on the same store has claimed is left to it, and taken over if it dies.

    Args:
        precisions: what each precision that a recipe can ask for has become for this grid.
        on_event: told of everything as it happens.
        tensorboard: where TensorBoard's folders of runs are; None for no logging.
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
        # Simple: putting into it is safe in a signal handler. None says that somebody interrupts.
        self._said: queue.SimpleQueue[
            tuple[WorkerProcess, ProgressMessage | JobFailed | JobFinished | JobStopped | None] | None
        ] = queue.SimpleQueue()

    def run(self, runs: Sequence[StudyRun], *, more: Callable[[], StudyRun | None] = lambda: None) -> int:
        """Run them all, in order, as slots become free; give how many failed.

        Interrupted by SIGINT or SIGTERM, it ends its children and raises KeyboardInterrupt; finished runs
        stay finished.

        Args:
            more: asked for a further run when a slot has nothing to do; None says that there is none now, and
                while nothing runs that there will be none. It may give a run that is finished: that is Found.
        """
        self.waiting.extend(QueuedRun(run) for run in runs)
        self._halted, self._more = False, more
        with on_interrupt(lambda: self._said.put(None)):
            try:
                self._fill()
                while self.waiting or self.busy:
                    self._hear()
                    self._look_after()
                    self._fill()
            finally:
                stop([worker.process for worker in (*self.idle.values(), *(child.worker for child in self.busy))])
                for child in self.busy:
                    child.claim.release(done=False)
                self.idle.clear()
        return self.failed

    def prune(self, run: StudyRun, pruned: Pruned) -> None:
        """Have a run end after the step it is at, if it is running here. Its metrics and checkpoint are kept."""
        for child in self.busy:
            if child.run.spec.run_id == run.spec.run_id and child.pruned is None:
                child.pruned = pruned
                child.kill_at = time.monotonic() + CEASE_SECONDS
                ask_to_cease(run.spec.run_id, child.process)

    def _fill(self) -> None:
        """Start what can be started."""
        taken = {child.slot for child in self.busy}
        try:
            for slot in [slot for slot in self.slots if slot not in taken]:
                found = self._next(slot.device) or self._further(slot.device)
                if found is not None:
                    self._start(*found, slot)
        except OSError as error:
            self._halt(f"{self.store.root}: cannot write ({error.strerror}): mend that, and the same command goes on")
        if self.waiting and not self.slots:
            self._halt("no device is left that could do a job")
        idle = bool(self.waiting) and not self.busy
        if idle and not self._idle:
            self.on_event(WaitingForOthers(len(self.waiting)))
        self._idle = idle

    def _next(self, device: Device) -> tuple[QueuedRun, Claim] | None:
        """The first task that can be done on a device now, claimed."""
        beside = [child for child in self.busy if child.slot.device == device]
        now = time.monotonic()
        ready = [task for task in self.waiting if task.look_at <= now]
        lonely = [task for task in ready if task.alone == device]
        if beside and (lonely or any(child.task.alone for child in beside)):
            return None
        for task in [*lonely, *(task for task in ready if task.alone is None)]:
            lack = disk_shortfall(self.store, task.run, [child.run for child in self.busy])
            if lack is not None and not self.busy:
                self._halt(lack)
                return None
            claim = None if lack is not None else self.store.claims.acquire(task.run.spec.run_id)
            if claim is None:
                task.look_at = time.monotonic() + LOOK_SECONDS
                continue
            self.waiting.remove(task)
            if not self.store.is_done(task.run.spec):
                return task, claim
            claim.release(done=True)
            self.on_event(AlreadyFinished(task.run))
        return None

    def _further(self, device: Device) -> tuple[QueuedRun, Claim] | None:
        """A task that is not known yet, claimed. Those that cannot be begun wait, but no more of them than slots."""
        while len(self.waiting) < len(self.slots) and not self._halted and (run := self._more()) is not None:
            self.waiting.append(QueuedRun(run))
            if (found := self._next(device)) is not None:
                return found
        return None

    def _start(self, task: QueuedRun, claim: Claim, slot: Slot) -> None:
        run = task.run
        if task.alone:  # processes that wait hold memory too
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
        with contextlib.suppress(OSError):  # without room for it: the child ends with us all the same
            claim.add(worker.process.pid, slot.device.label)
        self.on_event(Started(run, slot))

    def _worker(self, job: Job, slot: Slot) -> WorkerProcess:
        """A process that has begun with a job: the slot's, which did one before, or a new one."""
        worker = self.idle.pop(slot, None)
        if worker is not None:
            if hand(job, worker.process):
                return worker
            stop([worker.process])
        Path(job.log).parent.mkdir(parents=True, exist_ok=True)
        with Path(job.log).open("ab") as log:
            worker = WorkerProcess(spawn(job, slot.device, threads=slot.threads, log=log))
        threading.Thread(target=self._listen, args=(worker,), daemon=True).start()
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

    def _listen(self, worker: WorkerProcess) -> None:
        """Pass on what a process says until it has ended."""
        assert worker.process.stdout is not None
        try:
            for line in worker.process.stdout:
                self._said.put((worker, Line.validate_json(line)))
        except ValueError:
            worker.process.kill()  # it cannot be followed any more: a failed job, not a grid that waits for ever
        finally:
            worker.process.wait()
            self._said.put((worker, None))

    def _hear(self) -> None:
        """Wait a little for something to happen, and act on it."""
        try:
            heard = self._said.get(timeout=TICK_SECONDS)
        except queue.Empty:
            return
        if heard is None:
            raise KeyboardInterrupt
        worker, said = heard
        child = worker.child
        if child is None:
            return  # it had done its job, and was ended while it waited
        if isinstance(said, ProgressMessage):
            self._note(child, said)
            self.on_event(Progressed(child.run, child.slot, said))
        elif isinstance(said, JobFailed):
            child.died = said
        elif said is None:
            self._end(child)
        elif isinstance(said, JobStopped) or self.store.is_done(child.run.spec):
            worker.child = None
            self.idle[child.slot] = worker
            self._end(child)
        else:
            worker.process.kill()  # it says that it is done and is not: what it does next cannot be trusted

    def _note(self, child: RunningJob, said: ProgressMessage) -> None:
        now = time.monotonic()
        if now - child.noted < NOTE_SECONDS:
            return
        child.noted = now
        with contextlib.suppress(OSError):
            child.claim.note(said.model_dump())

    def _look_after(self) -> None:
        """Signs of life for the claims; an end to jobs that take too long, or are not ours any more."""
        now, limit = time.monotonic(), self.policy.timeout
        for child in self.busy:
            if now - child.claim.beaten > HEARTBEAT_SECONDS and not child.claim.heartbeat():
                child.unwanted = True
                child.process.kill()
            if limit is not None and now - child.started > limit and not child.overdue:
                child.overdue = True
                self._ask_to_end(child)
            if child.kill_at is not None and now > child.kill_at:
                child.process.kill()

    def _ask_to_end(self, child: RunningJob) -> None:
        child.process.terminate()
        child.kill_at = time.monotonic() + GRACE_SECONDS

    def _end(self, child: RunningJob) -> None:
        """File how a job ended."""
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
            with contextlib.suppress(OSError):  # the search knows it all the same
                self.store.prune(child.run.spec, child.run.labels, child.pruned)
            child.claim.release(done=False)
            self.on_event(JobPruned(child.run, child.slot, child.pruned))
        elif child.unwanted:
            child.claim.release(done=False)
            self._give_up_on(child)
        else:
            self._fail(child)

    def _give_up_on(self, child: RunningJob) -> None:
        """Its claim went to another launcher, which did not hear of us: look at it again later, if there is a later."""
        self.on_event(JobCancelled(child.run, child.slot))
        if not self._halted:
            child.task.look_at = time.monotonic() + LOOK_SECONDS
            self.waiting.append(child.task)

    def _fail(self, child: RunningJob) -> None:
        task = child.task
        task.failures += 1
        why = failure(
            child.process.returncode,
            child.folder / LOG,
            begun_at=child.log_size,
            died=child.died,
            timeout=self.policy.timeout if child.overdue else None,
            killed_for_memory=memory_kills() > child.memory_kills,
            attempt=task.failures,
            device=child.slot.device.label,
        )
        with contextlib.suppress(OSError):  # the disk may be what is full
            self.store.fail(task.run.spec, task.run.labels, why)
        child.claim.release(done=False)
        again = self._again(child, why)
        self.on_event(Failed(task.run, child.slot, why, child.folder / LOG, again=again))
        if why.kind == "device lost":
            self._retire([slot for slot in self.slots if slot.device == child.slot.device])
        if not again:
            self.failed += 1
            self._causes[why.cause] += 1
            self._stop_after(why)

    def _again(self, child: RunningJob, why: Failure) -> bool:
        """Whether a job that failed is to be tried again; then it waits."""
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
        """Start nothing on these slots any more."""
        for slot in slots:
            self.slots.remove(slot)
            if slot in self.idle:
                stop([self.idle.pop(slot).process])
        if slots:
            left = sum(slot.device == slots[0].device for slot in self.slots)
            for task in self.waiting:
                if task.alone == slots[0].device and left == 0:
                    task.alone = None  # another device may do it
            self.on_event(SlotsReduced(slots[0].device, left))

    def _stop_after(self, why: Failure) -> None:
        """End the grid, or start nothing more, if a failure asks for it."""
        alike, most = self._causes[why.cause], self.policy.max_failures
        if why.kind == "disk full":
            self._halt(f"the disk is full ({self.store.root}): make space, and the same command goes on")
        elif self.policy.fail_fast:
            self._halt("--fail-fast: a job has failed")
            for child in self.busy:
                child.unwanted = True
                self._ask_to_end(child)
        elif most is not None and alike >= most:
            self._halt(f"--max-failures: {alike} died the same way: {why.reason}")

    def _halt(self, reason: str) -> None:
        """Start nothing more."""
        if self.waiting:
            self.on_event(GridStopped(reason, len(self.waiting)))
        self.waiting.clear()
        self._halted = True
