"""Rows of a table and their cells, before they are text."""

from collections.abc import Mapping
from dataclasses import dataclass

from slbench.published.reproduction import ReproductionVerdict
from slbench.stats.intervals import PairedDifference


@dataclass(frozen=True)
class Cell:
    """One measure of one experiment over its seeds."""

    mean: float
    std: float | None  # sample standard deviation; None for one seed
    n: int
    expected: int  # seeds that the study asks for
    best: bool = False  # of its column, if that can be said
    gain: PairedDifference | None = None  # over the plain backbone; None where there is none to compare with
    judged: ReproductionVerdict | None = None  # beside the published number, if that was asked for
    run_ids: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether no seed is missing."""
        return self.n >= self.expected


@dataclass(frozen=True)
class Row:
    """A line of the table. Costs are one value for each kind of images among the data sets."""

    title: str
    backbone: str
    method: str
    settings: tuple[str, ...]  # values of the table's extra columns
    costs: Mapping[str, tuple[float, ...]]  # by name
    cells: Mapping[tuple[str, str], Cell]  # by data set and measure; those that have a value
    marks: tuple[str, ...] = ()  # of the notes that are about it
