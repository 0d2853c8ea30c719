"""The local executor: a child process for each job, on the slots of this machine."""

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from pydantic import BaseModel

from slbench.errors import StoreError
from slbench.grid.events import Event, Failed, Finished, Moved, Started
from slbench.grid.jobs import Job, Said
from slbench.grid.slots import Device, Resolved, Slot
from slbench.grid.worker import task_lines
from slbench.recipes import Precision
from slbench.store import Store
from slbench.study import StudyRun

LOG = "log.txt"
GRACE_SECONDS = 5  # between asking a child to end and killing it


@dataclass(eq=False)
class Child:
    """A job that is running."""

    run: StudyRun
    slot: Slot
    process: subprocess.Popen[str]
    folder: Path
    started: float = field(default_factory=time.monotonic)


def child_environment(device: Device, threads: int) -> dict[str, str]:
    """The environment of a child that sees one device and keeps to its threads."""
    count = str(threads)
    return {
        **os.environ,
        "OMP_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "OPENBLAS_NUM_THREADS": count,
        "CUDA_VISIBLE_DEVICES": device.cuda,  # empty, so none, for a job on the processor
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # what deterministic matmuls ask for on CUDA
    }


def spawn(task: BaseModel, device: Device, *, threads: int, log: IO[bytes]) -> subprocess.Popen[str]:
    """Start a child on a task. Its stdin stays open: when it closes, the child ends.

    It gets a process group of its own, so that Ctrl-C reaches the launcher alone.
    """
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "slbench.grid.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        env=child_environment(device, threads),
        start_new_session=True,
    )
    assert process.stdin is not None
    try:
        process.stdin.write(task_lines(task))
        process.stdin.flush()
    except BrokenPipeError:
        pass  # it died at once; its log says why
    return process


def close_pipes(process: subprocess.Popen[str]) -> None:
    """Close this end of a child's pipes."""
    for pipe in (process.stdin, process.stdout):
        # What was not read before the child died cannot be flushed, and need not be.
        with contextlib.suppress(OSError):
            if pipe is not None:
                pipe.close()


def stop(processes: Sequence[subprocess.Popen[str]]) -> None:
    """End children: ask, wait a little, kill; then close their pipes."""
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + GRACE_SECONDS
    for process in processes:
        try:
            process.wait(timeout=max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        close_pipes(process)


def in_child(device: Device) -> str:
    """What torch calls a device in a child that sees it alone."""
    return "cuda:0" if device.kind == "cuda" else device.label


@contextlib.contextmanager
def on_interrupt(tell: Callable[[], None]) -> Iterator[None]:
    """Within it, SIGINT and SIGTERM call a function in place of raising wherever the program is.

    A child that has started but is in no list yet would outlive an exception raised just then. Signals are
    for the main thread; elsewhere this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda _number, _frame: tell()) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


class LocalExecutor:
    """Runs jobs on slots, each in a child process of its own; a job that fails stops no other.

    Args:
        precisions: what each precision that a recipe can ask for has become for this grid.
        on_event: told of everything as it happens.
    """

    def __init__(
        self,
        slots: Sequence[Slot],
        *,
        store: Store,
        precisions: Mapping[Precision, Resolved],
        on_event: Callable[[Event], None],
    ) -> None:
        self.slots = list(slots)
        self.store = store
        self.precisions = precisions
        self.on_event = on_event
        # Simple: putting into it is safe in a signal handler. None says that somebody interrupts.
        self._said: queue.SimpleQueue[tuple[Child, Said | None] | None] = queue.SimpleQueue()

    def run(self, runs: Sequence[StudyRun]) -> int:
        """Run them all, in order, as slots become free; give how many failed.

        Interrupted by SIGINT or SIGTERM, it ends its children and raises KeyboardInterrupt; finished runs
        stay finished.
        """
        with on_interrupt(lambda: self._said.put(None)):
            return self._run(runs)

    def _run(self, runs: Sequence[StudyRun]) -> int:
        waiting, free, busy, failures = deque(runs), list(self.slots), set[Child](), 0
        try:
            while waiting or busy:
                while waiting and free:
                    child = self._start(waiting.popleft(), free.pop(0))
                    busy.add(child)
                    self.on_event(Started(child.run, child.slot))
                heard = self._said.get()
                if heard is None:
                    raise KeyboardInterrupt
                child, said = heard
                if said is not None:
                    self.on_event(Moved(child.run, child.slot, said))
                    continue
                busy.discard(child)
                failures += not self._end(child)
                free.append(child.slot)
                free.sort(key=lambda slot: slot.index)
        finally:
            stop([child.process for child in busy])
        return failures

    def _start(self, run: StudyRun, slot: Slot) -> Child:
        folder = self.store.begin(run.spec, run.labels)
        job = Job(
            spec=run.spec,
            labels=run.labels,
            store=str(self.store.root),
            device=in_child(slot.device),
            device_label=slot.device.label,
            device_name=slot.device.name,
            threads=slot.threads,
            precision=self.precisions[run.spec.recipe.precision],
        )
        with (folder / LOG).open("ab") as log:
            process = spawn(job, slot.device, threads=slot.threads, log=log)
        child = Child(run, slot, process, folder)
        threading.Thread(target=self._listen, args=(child,), daemon=True).start()
        return child

    def _listen(self, child: Child) -> None:
        """Pass on what a child says until it has ended."""
        assert child.process.stdout is not None
        try:
            for line in child.process.stdout:
                self._said.put((child, Said.model_validate_json(line)))
        except ValueError:
            child.process.kill()  # it cannot be followed any more: a failed job, not a grid that waits for ever
        finally:
            child.process.wait()
            self._said.put((child, None))

    def _end(self, child: Child) -> bool:
        """File how a child ended; whether it left a record."""
        close_pipes(child.process)
        try:
            record = self.store.record(child.run.spec.run_id)
        except StoreError:
            record = None
        if record is not None and child.process.returncode == 0:
            self.on_event(Finished(child.run, child.slot, record.final_test_top1, time.monotonic() - child.started))
            return True
        reason = why_ended(child.process.returncode, child.folder / LOG)
        self.store.fail(child.run.spec, child.run.labels, reason)
        self.on_event(Failed(child.run, child.slot, reason, child.folder / LOG))
        return False


def why_ended(returncode: int, log: Path) -> str:
    """One line on a child that ended badly: its exit code or signal, and the last line of its log."""
    if returncode < 0:
        how = f"killed by {signal.Signals(-returncode).name}"
    else:
        how = f"exit code {returncode}"
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()] if log.exists() else []
    return f"{how}: {lines[-1].strip()}" if lines else how
