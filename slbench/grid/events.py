"""What happens in a grid, in the order it happens: for whoever shows it."""

from dataclasses import dataclass
from pathlib import Path

from slbench.grid.jobs import Said
from slbench.grid.slots import Slot
from slbench.study import StudyRun


@dataclass(frozen=True)
class Started:
    """A job was given to a slot."""

    run: StudyRun
    slot: Slot


@dataclass(frozen=True)
class Moved:
    """A job says how far it is."""

    run: StudyRun
    slot: Slot
    said: Said


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
    reason: str  # exit code or signal, and the last line of its log
    log: Path


@dataclass(frozen=True)
class Measuring:
    """The jobs are over; the speed of so many networks is being measured, alone."""

    networks: int


@dataclass(frozen=True)
class NotMeasured:
    """The speed measurement ended without a result."""

    reason: str


Event = Started | Moved | Finished | Failed | Measuring | NotMeasured
