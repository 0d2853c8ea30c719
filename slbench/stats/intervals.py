"""Student's interval of a mean over seeds, in points of accuracy.

Quantiles come from scipy.special, which imports faster than scipy.stats.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev

LEVEL = 0.95
ROUNDING = 1e-9  # points; a smaller spread is rounding error


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence interval."""

    estimate: float
    low: float
    high: float
    n: int
    level: float = LEVEL  # in (0, 1)


def t_interval(values: Sequence[float], *, level: float = LEVEL) -> Interval:
    """Return a mean with Student's interval. Raise ValueError for fewer than two values."""
    if len(values) < 2:
        raise ValueError(f"an interval needs at least two values (got {len(values)})")
    centre, n = mean(values), len(values)
    half_width = t_bound(n - 1, level) * stdev(values) / math.sqrt(n)
    return Interval(centre, centre - half_width, centre + half_width, n, level)


def t_bound(freedom: float, level: float) -> float:
    """Return the two-sided quantile of |t| at this level."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + level) / 2))


def spread_of(values: Sequence[float]) -> float | None:
    """Return the sample standard deviation in points; 0 for rounding errors, None for fewer than two values."""
    spread = stdev(values) if len(values) > 1 else None
    return 0.0 if spread is not None and spread < ROUNDING else spread
