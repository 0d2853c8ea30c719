"""Events of a grid, for progress views."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from slbench.grid.slots import Device, Slot
from slbench.record import Failure, Pruned
from slbench.study import StudyRun
from slbench.train.progress import Progress

# why no more jobs are started; empty: trouble
Limit = Literal["", "max runs", "max time", "time left", "claims", "idle", "time limit", "terminated"]


@dataclass(frozen=True)
class Started:
    """A job has started on a slot."""

    run: StudyRun
    slot: Slot
    resumes_at: int | None = (
        None  # epoch, counted from 1, at which it continues from a checkpoint; None: from the start
    )


@dataclass(frozen=True)
class Progressed:
    """A job has reported its progress."""

    run: StudyRun
    slot: Slot
    progress: Progress


@dataclass(frozen=True)
class Finished:
    """A job has ended with a record."""

    run: StudyRun
    slot: Slot
    final_test_top1: float
    seconds: float


@dataclass(frozen=True)
class Diverged:
    """A job has ended with the outcome of a run that diverged; not a failure, and not retried."""

    run: StudyRun
    slot: Slot
    reason: str


@dataclass(frozen=True)
class Failed:
    """A job has ended without a record."""

    run: StudyRun
    slot: Slot
    failure: Failure
    log: Path
    will_retry: bool


@dataclass(frozen=True)
class AlreadyFinished:
    """Another launcher has finished a run of this grid, or it diverged there."""

    run: StudyRun


@dataclass(frozen=True)
class SeedAdded:
    """The seed rule has requested a run, because its comparison is still undecided."""

    run: StudyRun


@dataclass(frozen=True)
class JobCancelled:
    """The launcher has ended a job (--fail-fast, or another launcher took its claim); not a failure."""

    run: StudyRun
    slot: Slot


@dataclass(frozen=True)
class JobPruned:
    """A search has pruned a job."""

    run: StudyRun
    slot: Slot
    pruned: Pruned


@dataclass(frozen=True)
class WaitingForOthers:
    """Other launchers are doing the remaining runs; they are taken over if those launchers die."""

    runs: int


@dataclass(frozen=True)
class SlotsReduced:
    """A device runs fewer jobs at a time from now on: it ran out of memory, or was lost."""

    device: Device
    jobs: int


@dataclass(frozen=True)
class GridStopped:
    """No more jobs are started."""

    reason: str
    waiting: int  # runs not started
    limit: "Limit" = ""  # of this process, or claims of others; empty: trouble

    @property
    def is_limit(self) -> bool:
        return bool(self.limit)


@dataclass(frozen=True)
class Measuring:
    """The jobs have ended; the throughput of some networks is being measured, alone on the machine."""

    networks: int


@dataclass(frozen=True)
class ThroughputDisturbed:
    """Other processes used the machine while images per second were measured."""

    load: float  # cores
    cores: int  # of the machine


@dataclass(frozen=True)
class ThroughputFailed:
    """The throughput measurement has failed."""

    reason: str


Event = (
    Started
    | Progressed
    | Finished
    | Diverged
    | Failed
    | AlreadyFinished
    | SeedAdded
    | JobCancelled
    | JobPruned
    | WaitingForOthers
    | SlotsReduced
    | GridStopped
    | Measuring
    | ThroughputDisturbed
    | ThroughputFailed
)
