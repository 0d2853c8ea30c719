"""Intervals over seeds, paired differences, Holm's correction.

All numbers are in points of accuracy. Methods with the same seed share initial values, batches and augmentation, so
differences are paired by seed. See `factorial.py` for the 2x2 and means over backbones, `sequential.py` for adaptive
seeds. Student's t comes from scipy.special, which imports faster than scipy.stats.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import correlation as pearson
from statistics import mean, stdev
from typing import Literal

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
    "spread_of",
    "t_bound",
    "t_interval",
]

LEVEL = 0.95
FEW = 20  # below: Student's t, since a percentile bootstrap of 3 values covers 75 %, not 95 %
DRAWS = 9999  # of the bootstrap
ROUNDING = 1e-9  # points; a smaller spread is rounding error
Verdict = Literal["better", "worse", "undecided"]


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence interval."""

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
    """Mean of a contrast of methods; its values are of seeds or of backbones."""

    estimate: float
    std: float | None  # sample standard deviation of the values; None with one
    n: int
    interval: Interval | None  # None with one value
    p_value: float | None  # two-sided Student's t test; None with one value or without spread

    @property
    def verdict(self) -> Verdict:
        """Side of zero on which the interval lies; undecided if it contains zero or the values have no spread."""
        if self.interval is None or not self.std or self.interval.low <= 0 <= self.interval.high:
            return "undecided"
        return "better" if self.estimate > 0 else "worse"


@dataclass(frozen=True)
class PairedDifference(Estimate):
    """Difference of two methods over their common seeds."""

    correlation: float | None  # between the methods over the seeds; None below three seeds or without spread


def mean_interval(values: Sequence[float], *, level: float = LEVEL) -> Interval:
    """Return a mean with its interval: Student's t below 20 values, else a studentized bootstrap.

    Raises:
        ValueError: for fewer than two values.
    """
    if len(values) < FEW or len(set(values)) == 1:
        return t_interval(values, level=level)
    low, high = studentized(values, level=level)
    return Interval(mean(values), low, high, len(values), "bootstrap", level)


def t_interval(values: Sequence[float], *, level: float = LEVEL) -> Interval:
    """Return a mean with Student's interval for any n. Raise ValueError for fewer than two values."""
    check_values(values)
    centre, n = mean(values), len(values)
    half_width = t_bound(n - 1, level) * stdev(values) / math.sqrt(n)
    return Interval(centre, centre - half_width, centre + half_width, n, "t", level)


def check_values(values: Sequence[float]) -> None:
    """Raise ValueError for fewer than two values."""
    if len(values) < 2:
        raise ValueError(f"an interval needs at least two values (got {len(values)})")


def t_bound(freedom: float, level: float) -> float:
    """Return the two-sided quantile of |t| at this level."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + level) / 2))


def studentized(values: Sequence[float], *, level: float) -> tuple[float, float]:
    """Return the ends of the bootstrap-t interval, whose coverage is better than that of percentiles or BCa.

    Source: Efron and Tibshirani 1993, section 12.5.
    """
    import numpy as np

    sample = np.asarray(values, dtype=float)
    resampled = np.random.default_rng(0).choice(sample, (DRAWS, len(sample)))
    standard_errors = resampled.std(axis=1, ddof=1) / math.sqrt(len(sample))
    t_values = (resampled.mean(axis=1) - sample.mean())[standard_errors > 0] / standard_errors[standard_errors > 0]
    below, above = np.quantile(t_values, [(1 - level) / 2, (1 + level) / 2])
    standard_error = sample.std(ddof=1) / math.sqrt(len(sample))
    return float(sample.mean() - above * standard_error), float(sample.mean() - below * standard_error)


def paired_difference(
    one: Mapping[int, float],
    other: Mapping[int, float],
    *,
    level: float = LEVEL,
    interval: Callable[..., Interval] = mean_interval,
) -> PairedDifference:
    """Return one - other over the common seeds.

    Args:
        one, other: accuracies of two methods by seed.
        interval: function of differences and level; `t_interval` with adaptive seeds.
    Raises:
        ValueError: without a common seed.
    """
    seeds = sorted(one.keys() & other.keys())
    if not seeds:
        raise ValueError("the methods share no seed")
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
    """Return the sample standard deviation in points; 0 for rounding errors, None for fewer than two values."""
    spread = stdev(values) if len(values) > 1 else None
    return 0.0 if spread is not None and spread < ROUNDING else spread


def paired_p(differences: Sequence[float]) -> float:
    """Return the two-sided p value of the paired t test; the differences must have a spread."""
    from scipy.special import stdtr

    n = len(differences)
    return 2 * float(stdtr(n - 1, -abs(mean(differences)) / stdev(differences) * math.sqrt(n)))


def correlation(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Return Pearson's correlation; None for fewer than three pairs or constant values."""
    if len(one) < 3 or len(set(one)) == 1 or len(set(other)) == 1:
        return None
    return pearson(one, other)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return p values adjusted by Holm's method (1979), which controls the family-wise error rate.

    Args:
        p_values: None stays None, and is not counted.
    """
    order = sorted((value, index) for index, value in enumerate(p_values) if value is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (value, index) in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * value))
        adjusted[index] = largest
    return adjusted
