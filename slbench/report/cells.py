"""Rows of a table and their cells, before they are text."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from slbench.published.reproduction import ReproductionVerdict
from slbench.stats.images import ImageInterval
from slbench.stats.judge import Result


@dataclass(frozen=True)
class Cell:
    """A metric of one experiment over its seeds."""

    mean: float
    std: float | None  # sample standard deviation; None for one seed
    n: int
    expected: int  # seeds that the study asks for
    diverged: int = 0  # seeds of these whose run diverged
    by_seed: Mapping[int, float] = field(default_factory=dict)  # the values behind mean, std and n
    best: bool = False  # of its column, if comparable
    gain: Result | None = None  # over the plain backbone; None without one
    images: ImageInterval | None = None  # of the gain, if shown
    reproduction: ReproductionVerdict | None = None  # if published numbers are shown
    run_ids: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Return whether no seed is missing."""
        return self.n + self.diverged >= self.expected


@dataclass(frozen=True)
class Row:
    """A row of the table. Costs have one value per image shape among the data sets."""

    title: str
    backbone: str
    method: str
    settings: tuple[str, ...]  # values of the table's extra columns
    costs: Mapping[str, tuple[float, ...]]  # by name
    cells: Mapping[tuple[str, str], Cell]  # by data set and metric
    marks: tuple[str, ...] = ()  # of its notes
    diverged: Mapping[str, tuple[int, int]] = field(default_factory=dict)  # runs that diverged and ended, by data set
