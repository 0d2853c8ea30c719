"""Power of a design: the smallest true difference that it decides, and the seeds that a difference needs.

One definition for plans and reports: a difference is decided if its simultaneous interval excludes zero, of a seed rule
at any of its analyses. Effects are in standard deviations of the contrast over seeds.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from slbench.stats.moderation import priors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

POWER = 0.8
MIN_DF = 5  # of a standard deviation that says how many seeds are needed
MAX_SEEDS = 100
DRAWS = 4000  # of the critical value
RULE_DRAWS = 20_000  # of the estimates and variances at each analysis of a seed rule


@dataclass(frozen=True)
class Design:
    """A family of contrasts over seeds.

    Args:
        level: of each simultaneous interval, in (0, 1).
        cells: cells in which each contrast is seen, whose variances are moderated towards each other; 1: its own.
        first: seeds of a seed rule's first analysis; None for a fixed number of seeds.
    """

    level: float
    cells: int = 1
    first: int | None = None


def power(effect: float, n: int, design: Design) -> float:
    """Return the probability to decide a true difference with n seeds.

    Exact for one cell (noncentral t). For several, the mean over simulated variances of equal cells; given them, the
    estimate is normal. Of a seed rule, the share of RULE_DRAWS simulated cells that an analysis of up to n seeds
    decides (standard error .003 at .8); a rule may stop before for equivalence, which a difference well above the
    margin rarely does.

    Args:
        effect: in standard deviations.
        n: seeds, two or more; of a seed rule at most, its first or more.
    """
    import numpy as np
    from scipy.special import ndtr

    if design.first is not None:
        below, above = rule_bounds(n, design)
        return float(np.mean((effect < below) | (effect > above)))
    bounds, shift = critical_values(n, design), effect * math.sqrt(n)
    return float(np.mean(ndtr(shift - bounds) + ndtr(-shift - bounds)))


@cache
def critical_values(n: int, design: Design) -> "NDArray[np.float64]":
    """Return draws of the critical value of an estimate, in standard errors of known variance."""
    import numpy as np
    from scipy.special import chdtri, stdtrit

    if design.cells == 1:  # the quantiles of the chi-squared law in place of draws
        shares = (np.arange(DRAWS) + 0.5) / DRAWS
        return np.asarray(stdtrit(n - 1, (1 + design.level) / 2) * np.sqrt(chdtri(n - 1, shares) / (n - 1)))
    own = np.random.default_rng(0).chisquare(n - 1, (DRAWS // design.cells, design.cells)) / (n - 1)
    scale, weight = (each[:, None] for each in priors(own, np.full(design.cells, float(n - 1))))
    values = (weight * scale + (n - 1) * own) / (weight + n - 1)
    df = np.minimum(weight + n - 1, design.cells * (n - 1))
    return np.asarray(stdtrit(df, (1 + design.level) / 2) * np.sqrt(values), dtype=np.float64).ravel()


@cache
def rule_bounds(n: int, design: Design) -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
    """Return the effects below which and above which each simulated cell is decided at some analysis of a seed rule.

    As in `slbench.stats.sequential`, the prior is estimated from the first seeds of all cells and then stays.
    """
    import numpy as np
    from scipy.special import stdtrit

    first, cells = design.first or n, design.cells
    noise = np.random.default_rng(0).standard_normal((n, RULE_DRAWS // cells, cells))
    counts = np.arange(1, n + 1)[:, None, None]
    means = noise.cumsum(axis=0) / counts
    squares = (noise**2).cumsum(axis=0) - counts * means**2
    scale, weight = np.zeros(len(noise[0])), np.zeros(len(noise[0]))
    most = math.inf
    if cells > 1:
        own, most = np.full(cells, float(first - 1)), cells * (first - 1.0)
        scale, weight = priors(squares[first - 1] / own, own)
    below, above = np.full(noise.shape[1:], -math.inf), np.full(noise.shape[1:], math.inf)
    for seeds in range(first, n + 1):
        df = weight[:, None] + seeds - 1
        std = np.sqrt(((weight * scale)[:, None] + squares[seeds - 1]) / df)
        half = stdtrit(np.minimum(df, most + seeds - first), (1 + design.level) / 2) * std / math.sqrt(seeds)
        below = np.maximum(below, -half - means[seeds - 1])
        above = np.minimum(above, half - means[seeds - 1])
    return below.ravel(), above.ravel()


@cache
def detectable_effect(n: int, design: Design, *, wanted: float = POWER) -> float:
    """Return the smallest true difference decided with probability `wanted`, in standard deviations.

    Raises:
        ValueError: for fewer than two seeds.
    """
    if n < 2:
        raise ValueError(f"deciding a difference needs at least two seeds (got {n})")
    low, high = 0.0, 1.0
    while power(high, n, design) < wanted:
        low, high = high, 2 * high
    while high - low > 1e-6 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if power(middle, n, design) >= wanted else (middle, high)
    return high


def seeds_needed(effect: float, design: Design, *, wanted: float = POWER) -> int | None:
    """Return the fewest seeds that decide a true difference with probability `wanted`; None above MAX_SEEDS.

    Args:
        effect: in standard deviations.
    """
    if effect == 0 or power(effect, MAX_SEEDS, design) < wanted:
        return None
    low, high = 1, MAX_SEEDS  # one is too few, the most are enough
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(effect, middle, design) >= wanted else (middle, high)
    return high


def std_interval(std: float, df: float, *, level: float = 0.8) -> tuple[float, float]:
    """Return the interval of a standard deviation, from the chi-squared law of its square."""
    from scipy.special import chdtri

    ends: Sequence[float] = [float(chdtri(df, (1 + sign * level) / 2)) for sign in (-1, 1)]
    return std * math.sqrt(df / ends[0]), std * math.sqrt(df / ends[1])
