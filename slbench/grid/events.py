"""What happens in a grid, in the order it happens: for whoever shows it."""

from dataclasses import dataclass
from pathlib import Path

from slbench.grid.messages import ProgressMessage
from slbench.grid.slots import Device, Slot
from slbench.record import Failure, Pruned
from slbench.study import StudyRun


@dataclass(frozen=True)
class Started:
    """A job was given to a slot."""

    run: StudyRun
    slot: Slot


@dataclass(frozen=True)
class Progressed:
    """A job says how far it is."""

    run: StudyRun
    slot: Slot
    said: ProgressMessage


@dataclass(frozen=True)
class Finished:
    """A job ended with a record."""

    run: StudyRun
    slot: Slot
    final_test_top1: float
    seconds: float


@dataclass(frozen=True)
class Failed:
    """A job ended without a record."""

    run: StudyRun
    slot: Slot
    failure: Failure
    log: Path
    again: bool  # it will be tried again


@dataclass(frozen=True)
class AlreadyFinished:
    """Another launcher has finished a run meanwhile."""

    run: StudyRun


@dataclass(frozen=True)
class SeedAdded:
    """A study's rule of seeds wants a further run: its comparison is undecided after the seeds before."""

    run: StudyRun


@dataclass(frozen=True)
class JobCancelled:
    """A job was ended by the launcher, and is no failure: --fail-fast, or its claim went to another launcher."""

    run: StudyRun
    slot: Slot


@dataclass(frozen=True)
class JobPruned:
    """A search has stopped a job: it had seen enough of the run."""

    run: StudyRun
    slot: Slot
    pruned: Pruned


@dataclass(frozen=True)
class WaitingForOthers:
    """What is left is being done by other launchers; it is taken over if they die."""

    runs: int


@dataclass(frozen=True)
class SlotsReduced:
    """A device gets fewer jobs at a time from now on: memory ran out, or it was lost."""

    device: Device
    jobs: int


@dataclass(frozen=True)
class GridStopped:
    """No further job is started."""

    reason: str
    left: int  # runs that were still waiting


@dataclass(frozen=True)
class Measuring:
    """The jobs are over; the speed of so many networks is being measured, alone."""

    networks: int


@dataclass(frozen=True)
class ThroughputFailed:
    """The speed measurement ended without a result."""

    reason: str


Event = (
    Started
    | Progressed
    | Finished
    | Failed
    | AlreadyFinished
    | SeedAdded
    | JobCancelled
    | JobPruned
    | WaitingForOthers
    | SlotsReduced
    | GridStopped
    | Measuring
    | ThroughputFailed
)
