"""How far seeds let a number be trusted: intervals, paired differences, what so few seeds could have shown.

Everything is in points of accuracy. Rows of one grid that share a seed share initial values, batches and augmentation,
so differences are taken seed by seed.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Literal

LEVEL = 0.95
FEW = 20  # values below which an interval is Student's: a percentile bootstrap of 3 covers 75 %, not 95 %
DRAWS = 9999  # of the bootstrap
POWER = 0.8  # with which so many seeds would show an effect
MOST_SEEDS = 1000
Verdict = Literal["better", "worse", "undecided"]


@dataclass(frozen=True)
class Interval:
    """A mean and the interval that holds the true one in 95 of 100 repetitions of the study."""

    estimate: float
    low: float
    high: float
    n: int
    method: Literal["t", "bootstrap"]

    @property
    def half_width(self) -> float:
        return (self.high - self.low) / 2


@dataclass(frozen=True)
class PairedDifference:
    """One row less another, over the seeds that both have."""

    estimate: float  # mean of the differences
    std: float | None  # sample standard deviation of the differences; None with one seed
    n: int
    interval: Interval | None  # None with one seed
    p_value: float | None  # of the paired t test, two-sided; None with one seed or equal differences
    correlation: float | None  # between the rows over the seeds; None below three seeds or without spread

    @property
    def verdict(self) -> Verdict:
        """Whether the interval leaves out zero, and on which side."""
        if self.interval is None or self.interval.low <= 0 <= self.interval.high:
            return "undecided"
        return "better" if self.estimate > 0 else "worse"

    @property
    def words(self) -> str:
        """The difference in a sentence, with what it rests on."""
        if self.interval is None:
            return f"{self.estimate:+.2f} points with one seed, which cannot be told from noise."
        how = {"t": "Student's t", "bootstrap": "bootstrap"}[self.interval.method]
        told = (
            f"{self.estimate:+.2f} points, 95 % interval {self.interval.low:+.2f} to {self.interval.high:+.2f} "
            f"({self.n} paired seeds, {how})"
        )
        if self.verdict != "undecided":
            return f"{told}."
        needed = seeds_needed(self.std or 0.0, self.estimate)
        more = "" if needed is None else f"; to show one of this size takes some {needed} seeds"
        return f"{told}; so few seeds show nothing below {self.interval.half_width:.2f} points{more}."


def mean_interval(values: Sequence[float], *, level: float = LEVEL) -> Interval:
    """Mean and its interval: Student's t below 20 values, a studentized bootstrap beyond.

    Raises:
        ValueError: for fewer than two values, which have no spread.
    """
    if len(values) < 2:
        raise ValueError(f"an interval needs two values or more, got {len(values)}")
    centre, n = mean(values), len(values)
    if n < FEW or len(set(values)) == 1:
        from scipy.stats import t

        half = float(t.ppf((1 + level) / 2, n - 1)) * stdev(values) / math.sqrt(n)
        return Interval(centre, centre - half, centre + half, n, "t")
    low, high = studentized(values, level=level)
    return Interval(centre, low, high, n, "bootstrap")


def prediction_interval(values: Sequence[float], *, level: float = LEVEL) -> Interval:
    """Where one further run falls: mean ± t s sqrt(1 + 1/n). Raises ValueError for fewer than two values."""
    if len(values) < 2:
        raise ValueError(f"an interval needs two values or more, got {len(values)}")
    from scipy.stats import t

    centre, n = mean(values), len(values)
    half = float(t.ppf((1 + level) / 2, n - 1)) * stdev(values) * math.sqrt(1 + 1 / n)
    return Interval(centre, centre - half, centre + half, n, "t")


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
    one: Mapping[int, float], other: Mapping[int, float], *, level: float = LEVEL
) -> PairedDifference:
    """The first row less the second, over the seeds that both have.

    Args:
        one, other: accuracy of each by seed.
    Raises:
        ValueError: if they share no seed.
    """
    seeds = sorted(one.keys() & other.keys())
    if not seeds:
        raise ValueError("the rows share no seed")
    differences = [one[seed] - other[seed] for seed in seeds]
    n, spread = len(seeds), stdev(differences) if len(seeds) > 1 else None
    return PairedDifference(
        estimate=mean(differences),
        std=spread,
        n=n,
        interval=mean_interval(differences, level=level) if n > 1 else None,
        p_value=paired_p(differences) if spread else None,
        correlation=correlation([one[seed] for seed in seeds], [other[seed] for seed in seeds]),
    )


def paired_p(differences: Sequence[float]) -> float:
    """Two-sided p value of the paired t test."""
    from scipy.stats import ttest_1samp

    return float(ttest_1samp(differences, 0.0).pvalue)


def correlation(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Pearson's; None for fewer than three pairs, or where a row does not vary."""
    if len(one) < 3 or len(set(one)) == 1 or len(set(other)) == 1:
        return None
    from scipy.stats import pearsonr

    return float(pearsonr(one, other).statistic)


def seeds_needed(std: float, effect: float, *, level: float = LEVEL, power: float = POWER) -> int | None:
    """Seeds with which a paired t test shows an effect of this size with this power; None if no number seen here does.

    Args:
        std: of the paired differences, as far as it is known.
    """
    if std == 0 or effect == 0:
        return None
    from scipy.stats import nct, t

    for n in range(2, MOST_SEEDS + 1):
        bound = t.ppf((1 + level) / 2, n - 1)
        shift = abs(effect) / std * math.sqrt(n)
        if 1 - nct.cdf(bound, n - 1, shift) + nct.cdf(-bound, n - 1, shift) >= power:
            return n
    return None
