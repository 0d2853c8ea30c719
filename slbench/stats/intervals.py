"""How far seeds let a number be trusted: intervals, paired differences, what so few seeds could have shown.

Everything is in points of accuracy. Rows of one grid that share a seed share initial values, batches and augmentation,
so differences are taken seed by seed.

`factorial.py` has the 2x2 question and means over backbones, `sequential.py` seeds that are added until a comparison
is decided. Student's t is taken from scipy.special, which starts at once; it is what scipy.stats computes with.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import correlation as pearson
from statistics import mean, stdev
from typing import Literal

from slbench.stats.power import LEVEL, seeds_needed, smallest_effect

__all__ = [
    "LEVEL",
    "Estimate",
    "Interval",
    "PairedDifference",
    "Verdict",
    "correlation",
    "holm",
    "mean_interval",
    "paired_difference",
    "paired_p",
    "prediction_interval",
    "seeds_needed",
    "spread_of",
    "t_bound",
    "t_interval",
]

FEW = 20  # values below which an interval is Student's: a percentile bootstrap of 3 covers 75 %, not 95 %
DRAWS = 9999  # of the bootstrap
ROUNDING = 1e-9  # points; a spread below it is that of subtracting floats, and none
Verdict = Literal["better", "worse", "undecided"]


@dataclass(frozen=True)
class Interval:
    """A mean and the interval that holds the true one in 95 of 100 repetitions of the study, or as its level says."""

    estimate: float
    low: float
    high: float
    n: int
    method: Literal["t", "bootstrap"]
    level: float = LEVEL  # in (0, 1)

    @property
    def half_width(self) -> float:
        return (self.high - self.low) / 2


@dataclass(frozen=True)
class Estimate:
    """The mean of a contrast of rows and how far it can be trusted; each value is one seed's, or one backbone's."""

    estimate: float
    std: float | None  # sample standard deviation of the values; None with one
    n: int
    interval: Interval | None  # None with one value
    p_value: float | None  # of Student's t test, two-sided; None with one value or without spread

    @property
    def verdict(self) -> Verdict:
        """Whether the interval leaves out zero, and on which side. Without spread nothing is decided."""
        if self.interval is None or not self.std or self.interval.low <= 0 <= self.interval.high:
            return "undecided"
        return "better" if self.estimate > 0 else "worse"

    @property
    def smallest_effect(self) -> float | None:
        """The smallest true mean that so many values of this spread show with power 0.8, in points."""
        if self.interval is None or not self.std:
            return None
        return smallest_effect(self.std, self.n, level=self.interval.level)

    @property
    def more_seeds(self) -> int | None:
        """How many more seeds, or backbones, show a mean of this size with power 0.8; None if it is decided."""
        if self.interval is None or self.verdict != "undecided":
            return None
        needed = seeds_needed(self.std or 0.0, self.estimate, level=self.interval.level)
        return None if needed is None else max(needed - self.n, 1)


@dataclass(frozen=True)
class PairedDifference(Estimate):
    """One row less another, over the seeds that both have."""

    correlation: float | None  # between the rows over the seeds; None below three seeds or without spread

    @property
    def words(self) -> str:
        """The difference in a sentence, with what it rests on."""
        if self.interval is None:
            return f"{self.estimate:+.2f} points with one seed, which cannot be told from noise."
        if not self.std and self.estimate:
            return f"{self.estimate:+.2f} points in each of {self.n} paired seeds, without spread to judge it by."
        how = {"t": "Student's t", "bootstrap": "bootstrap"}[self.interval.method]
        told = (
            f"{self.estimate:+.2f} points, {100 * self.interval.level:.4g} % interval "
            f"{self.interval.low:+.2f} to {self.interval.high:+.2f} ({self.n} paired seeds, {how})"
        )
        if self.verdict != "undecided":
            return f"{told}."
        needed = seeds_needed(self.std or 0.0, self.estimate, level=self.interval.level)
        more = "" if needed is None else f"; to show one of this size takes some {needed} seeds"
        return f"{told}; so few seeds show nothing below {self.interval.half_width:.2f} points{more}."


def mean_interval(values: Sequence[float], *, level: float = LEVEL) -> Interval:
    """Mean and its interval: Student's t below 20 values, a studentized bootstrap beyond.

    Raises:
        ValueError: for fewer than two values, which have no spread.
    """
    if len(values) < FEW or len(set(values)) == 1:
        return t_interval(values, level=level)
    low, high = studentized(values, level=level)
    return Interval(mean(values), low, high, len(values), "bootstrap", level)


def t_interval(values: Sequence[float], *, level: float = LEVEL) -> Interval:
    """Mean and Student's interval, however many values there are. Raises ValueError for fewer than two."""
    check_values(values)
    centre, n = mean(values), len(values)
    half = t_bound(n - 1, level) * stdev(values) / math.sqrt(n)
    return Interval(centre, centre - half, centre + half, n, "t", level)


def prediction_interval(values: Sequence[float], *, level: float = LEVEL) -> Interval:
    """Where ONE further run falls in 95 of 100 repetitions of the study: mean ± t s sqrt(1 + 1/n).

    For a published accuracy, which is one run. It takes runs to be normal, and more of them make it narrower only
    down to ± 1.96 s. Raises ValueError for fewer than two values.
    """
    check_values(values)
    centre, n = mean(values), len(values)
    half = t_bound(n - 1, level) * stdev(values) * math.sqrt(1 + 1 / n)
    return Interval(centre, centre - half, centre + half, n, "t", level)


def check_values(values: Sequence[float]) -> None:
    """Raise ValueError for fewer than two values."""
    if len(values) < 2:
        raise ValueError(f"an interval needs two values or more, got {len(values)}")


def t_bound(freedom: int, level: float) -> float:
    """What Student's t stays below, in size, with this probability."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + level) / 2))


def studentized(values: Sequence[float], *, level: float) -> tuple[float, float]:
    """Ends of the bootstrap's t interval: quantiles of resampled means, each by its own standard error.

    It covers what it says where percentiles and BCa fall short. Source: Efron and Tibshirani 1993, section 12.5.
    """
    import numpy as np

    sample = np.asarray(values, dtype=float)
    drawn = np.random.default_rng(0).choice(sample, (DRAWS, len(sample)))
    errors = drawn.std(axis=1, ddof=1) / math.sqrt(len(sample))
    moved = (drawn.mean(axis=1) - sample.mean())[errors > 0] / errors[errors > 0]
    below, above = np.quantile(moved, [(1 - level) / 2, (1 + level) / 2])
    error = sample.std(ddof=1) / math.sqrt(len(sample))
    return float(sample.mean() - above * error), float(sample.mean() - below * error)


def paired_difference(
    one: Mapping[int, float],
    other: Mapping[int, float],
    *,
    level: float = LEVEL,
    interval: Callable[..., Interval] = mean_interval,
) -> PairedDifference:
    """The first row less the second, over the seeds that both have.

    Args:
        one, other: accuracy of each by seed.
        interval: how, from the differences and the level; `t_interval` where seeds were added until decided.
    Raises:
        ValueError: if they share no seed.
    """
    seeds = sorted(one.keys() & other.keys())
    if not seeds:
        raise ValueError("the rows share no seed")
    differences = [one[seed] - other[seed] for seed in seeds]
    n, spread = len(seeds), spread_of(differences)
    return PairedDifference(
        estimate=mean(differences),
        std=spread,
        n=n,
        interval=interval(differences, level=level) if n > 1 else None,
        p_value=paired_p(differences) if spread else None,
        correlation=correlation([one[seed] for seed in seeds], [other[seed] for seed in seeds]),
    )


def spread_of(values: Sequence[float]) -> float | None:
    """Sample standard deviation in points; 0 for values that are equal but for rounding, None for fewer than two."""
    spread = stdev(values) if len(values) > 1 else None
    return 0.0 if spread is not None and spread < ROUNDING else spread


def paired_p(differences: Sequence[float]) -> float:
    """Two-sided p value of the paired t test; the differences must have a spread."""
    from scipy.special import stdtr

    n = len(differences)
    return 2 * float(stdtr(n - 1, -abs(mean(differences)) / stdev(differences) * math.sqrt(n)))


def correlation(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Pearson's; None for fewer than three pairs, or where a row does not vary."""
    if len(one) < 3 or len(set(one)) == 1 or len(set(other)) == 1:
        return None
    return pearson(one, other)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """p values corrected for being many (Holm 1979): at most 5 in 100 such families then hold a false claim.

    Args:
        p_values: None where a comparison has none; it stays None, and is not counted.
    """
    order = sorted((value, index) for index, value in enumerate(p_values) if value is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (value, index) in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * value))
        adjusted[index] = largest
    return adjusted
