"""Bookkeeping of the local executor: queued runs, worker processes, running jobs."""

import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from slbench.claims import Claim
from slbench.grid.messages import JobFailed
from slbench.grid.slots import Device, Slot
from slbench.record import Pruned
from slbench.study import StudyRun


@dataclass(frozen=True, kw_only=True)
class Policy:
    """Retries, limits and checkpoint interval of a grid."""

    retries: int = 0  # per job; diverged jobs are not retried, they would diverge again
    timeout: float | None = None  # seconds per attempt
    fail_fast: bool = False  # stop the grid at the first failure
    max_failures: int | None = None  # with the same cause; then no more jobs are started
    checkpoint_seconds: float = 300.0  # between two checkpoints within an epoch


DEFAULT_POLICY = Policy()


@dataclass(eq=False)
class QueuedRun:
    """A run to do, with its failures so far."""

    run: StudyRun
    failures: int = 0
    out_of_memory: int = 0
    alone: Device | None = None  # run only on this device, without other jobs on it
    not_before: float = 0.0  # monotonic time of the next attempt to claim it


@dataclass(eq=False)
class WorkerProcess:
    """A process that does one job after another on a slot."""

    process: subprocess.Popen[str]
    job: "RunningJob | None" = None  # its current job


@dataclass(eq=False)
class RunningJob:
    """A job on a slot."""

    task: QueuedRun
    slot: Slot
    worker: WorkerProcess
    folder: Path
    claim: Claim
    memory_kills: int
    log_size: int  # bytes written by earlier attempts
    started: float = field(default_factory=time.monotonic)
    progress_written: float = 0.0
    report: JobFailed | None = None
    kill_at: float | None = None  # asked to end; killed at this monotonic time
    timed_out: bool = False
    cancelled: bool = False  # ended by the launcher; not a failure
    pruned: Pruned | None = None  # by a search

    @property
    def process(self) -> subprocess.Popen[str]:
        return self.worker.process

    @property
    def run(self) -> StudyRun:
        return self.task.run
