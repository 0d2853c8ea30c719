"""What the local executor keeps of each job: the run that is to be done, its process, its child."""

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
    """What happens after a failure."""

    retries: int = 0  # of a job; one whose loss diverged would only diverge again
    timeout: float | None = None  # seconds an attempt may take
    fail_fast: bool = False  # the first failure ends the grid
    max_failures: int | None = None  # so many that died the same way, and no job is started any more
    checkpoint_seconds: float = 300.0  # between two checkpoints within an epoch


DEFAULT_POLICY = Policy()


@dataclass(eq=False)
class QueuedRun:
    """A run that is to be done, and what became of it so far."""

    run: StudyRun
    failures: int = 0
    out_of_memory: int = 0
    alone: Device | None = None  # where it may run, with nothing beside it
    look_at: float = 0.0  # not before: another process has it


@dataclass(eq=False)
class WorkerProcess:
    """A process that does one job after the other on a slot."""

    process: subprocess.Popen[str]
    child: "RunningJob | None" = None  # the job it is at


@dataclass(eq=False)
class RunningJob:
    """A job that is running."""

    task: QueuedRun
    slot: Slot
    worker: WorkerProcess
    folder: Path
    claim: Claim
    memory_kills: int
    log_size: int  # when it started: what stands before is of earlier attempts
    started: float = field(default_factory=time.monotonic)
    noted: float = 0.0
    died: JobFailed | None = None
    kill_at: float | None = None  # asked to end; killed then
    overdue: bool = False
    unwanted: bool = False  # ended by us, and no failure
    pruned: Pruned | None = None  # a search has seen enough of it

    @property
    def process(self) -> subprocess.Popen[str]:
        return self.worker.process

    @property
    def run(self) -> StudyRun:
        return self.task.run
